// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// Results of a comparison.
const (
	Equal     = "equal"
	Different = "different"
	NA        = "n/a"
)

// Outcome is one scenario on one kernel.
type Outcome struct {
	Name   string `json:"name"`
	Kernel string `json:"kernel"`
	Result string `json:"result"`
	Why    string `json:"why"`  // n/a: the reason; different: that of a deliberate difference, or what broke
	Diff   string `json:"diff"` // from the stock driver's transcript to ours

	Intended bool   `json:"-"` // a deliberate difference
	Golden   string `json:"-"` // the stock driver's transcript
}

// Failed says that it must not be so.
func (o *Outcome) Failed() bool { return o.Result == Different && !o.Intended }

// judge holds two transcripts against each other.
func judge(name, kernel, theirs, our string) Outcome {
	o := Outcome{Name: name, Kernel: kernel, Result: Equal, Golden: theirs}
	if theirs != our {
		o.Result = Different
		o.Diff = udiff.Unified(stock, ours, theirs, our)
	}
	return o
}

// Results is what oracle.json holds.
type Results struct {
	Scenarios []Outcome `json:"scenarios"`
}

// Count counts those with a result, on a kernel or on all of them ("").
func (r *Results) Count(kernel, result string) (n int) {
	for _, o := range r.Scenarios {
		if o.Result == result && (kernel == "" || o.Kernel == kernel) {
			n++
		}
	}
	return n
}

// Failed lists what must not be so.
func (r *Results) Failed() (names []string) {
	for _, o := range r.Scenarios {
		if o.Failed() {
			names = append(names, o.Kernel+" "+o.Name)
		}
	}
	return names
}

// Write writes the file.
func (r *Results) Write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// section is the part of a name before the slash.
func section(name string) string {
	s, _, _ := strings.Cut(name, "/")
	return s
}
