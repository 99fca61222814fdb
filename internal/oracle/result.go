// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"virtbinder/driver/bindertest"
)

// Results of a comparison.
const (
	Equal     = "equal"
	Different = "different"
	NA        = "n/a"
	Unstable  = "unstable" // of a random program: a driver does not always do the same
)

// Results of a program that was run on virtbinder alone.
const (
	Ran    = "ran"
	Broken = "broken"
)

// Outcome is one scenario on one kernel.
type Outcome struct {
	Name   string `json:"name"`
	Kernel string `json:"kernel"`
	Result string `json:"result"`
	Why    string `json:"why"`  // n/a: the reason; different: that of a deliberate difference, or what broke
	Diff   string `json:"diff"` // from the stock driver's transcript to ours
}

// Failed says that it must not be so. A difference in what both do may be declared;
// something that broke may not.
func (o *Outcome) Failed() bool {
	d, declared := bindertest.Differs(o.Kernel, o.Name)
	return o.Result == Different && (!declared || o.Why != d.Reason)
}

// judge holds two transcripts against each other.
func judge(name, kernel, theirs, our string) Outcome {
	o := Outcome{Name: name, Kernel: kernel, Result: Equal}
	if theirs == our {
		return o
	}
	o.Result = Different
	o.Diff = udiff.Unified(stock, ours, theirs, our)
	d, declared := bindertest.Differs(kernel, name)
	if !declared {
		return o
	}
	o.Why = d.Reason
	if want, recorded := bindertest.OurGolden(name); recorded && want != our {
		o.Why = "a difference is declared, but ours is not what is recorded of it"
		o.Diff = udiff.Unified("recorded", ours, want, our)
	}
	return o
}

// Results is what oracle.json holds.
type Results struct {
	Scenarios []Outcome `json:"scenarios"`
}

// Count counts those with a result.
func (r *Results) Count(result string) (n int) {
	for _, o := range r.Scenarios {
		if o.Result == result {
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

// section is the part of a name before the slash.
func section(name string) string {
	s, _, _ := strings.Cut(name, "/")
	return s
}
