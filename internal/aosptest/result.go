// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"fmt"
	"slices"
	"strings"
)

// Result is what the suite leaves in build/aosp.json.
type Result struct {
	Passed   bool      `json:"passed"` // what the stock driver passes, virtbinder passes
	Programs []Program `json:"programs"`
	Figures  []Figure  `json:"figures"`
	Errors   []string  `json:"errors"` // why there is less to compare than there should be
}

// Program is what became of one program in one run.
type Program struct {
	Name       string `json:"name"`
	Guest      string `json:"guest"` // kernel series
	LSM        string `json:"lsm"`
	Virtbinder *Count `json:"virtbinder"`
	// Stock is nil where the stock driver cannot serve servicemanager.
	Stock *Count `json:"stock"`
	// FailedNames and RetriedNames are tests by driver. Retried tests did not pass at
	// first and were run again; what counts is how they ended at last.
	FailedNames  map[string][]string `json:"failed_names"`
	RetriedNames map[string][]string `json:"retried_names"`
	// Worse are the tests that the stock driver passes and virtbinder does not. Without
	// a stock driver in this guest it is the one under SELinux, on the same kernel.
	Worse []string `json:"worse"`
}

// Count is how a program's tests ended on one driver.
type Count struct {
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Skipped int     `json:"skipped"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"` // a crash, a hang, tests that never began
}

// Figure is one measurement on both drivers in one guest.
type Figure struct {
	Name       string  `json:"name"`
	Guest      string  `json:"guest"`
	Unit       string  `json:"unit"`
	Virtbinder float64 `json:"virtbinder"`
	Stock      float64 `json:"stock"`
	Ratio      float64 `json:"ratio"` // virtbinder / stock
}

// bar is which tests virtbinder has to pass: by kernel series and program, what the
// stock driver passed.
type bar map[[2]string][]string

// compare makes the result of all runs. A run in which the stock driver can serve
// comes before one in which it cannot.
func compare(runs []*raw) *Result {
	r := &Result{Programs: []Program{}, Figures: []Figure{}, Errors: []string{}}
	held := bar{}
	for _, run := range runs {
		for _, p := range run.Programs {
			key := [2]string{run.Guest, p.Name}
			if s := p.On[stock]; s != nil {
				held[key] = s.passed()
			}
			if n := len(held[key]); n < p.Least {
				r.Errors = append(r.Errors, fmt.Sprintf("%s, guest %s, %s: virtbinder is held to %d tests that pass on the stock driver; they should be %d or more",
					p.Name, run.Guest, run.LSM, n, p.Least))
			}
			r.Programs = append(r.Programs, summary(run, p, held[key]))
		}
		r.Figures = append(r.Figures, run.Figures...)
	}
	r.judge()
	return r
}

// judge says whether virtbinder is as good as the stock driver.
func (r *Result) judge() {
	worse := func(p Program) bool { return len(p.Worse) > 0 }
	r.Passed = len(r.Programs) > 0 && len(r.Errors) == 0 && !slices.ContainsFunc(r.Programs, worse)
}

// summary compares one program with what it is held to.
func summary(run *raw, p rawProgram, held []string) Program {
	out := Program{
		Name: p.Name, Guest: run.Guest, LSM: run.LSM,
		FailedNames: map[string][]string{}, RetriedNames: map[string][]string{}, Worse: []string{},
	}
	for driver, at := range map[string]**Count{virtbinder: &out.Virtbinder, stock: &out.Stock} {
		on := p.On[driver]
		if on == nil {
			continue
		}
		*at = &Count{Passed: on.count(Passed), Failed: on.count(Failed), Skipped: on.count(Skipped), Seconds: on.Seconds, Error: on.Error}
		out.FailedNames[driver] = on.named(Failed)
		out.RetriedNames[driver] = append([]string{}, on.Retried...)
	}
	for _, name := range held {
		if p.On[virtbinder].Results[name] != Passed {
			out.Worse = append(out.Worse, name)
		}
	}
	return out
}

func (r *ran) passed() []string { return r.named(Passed) }

// named returns the tests that ended in a way, sorted.
func (r *ran) named(o Outcome) []string {
	names := []string{}
	for name, got := range r.Results {
		if got == o {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Table is the result to be read: pass/fail/skip.
func (r *Result) Table() string {
	var b strings.Builder
	for _, p := range r.Programs {
		fmt.Fprintf(&b, "%-5s %-9s %-34s %-14s %-14s %s\n", p.Guest, p.LSM, p.Name, p.Virtbinder, p.Stock, p.remarks())
	}
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "%-5s %-44s %10.1f %10.1f %s, ratio %.2f\n", f.Guest, f.Name, f.Virtbinder, f.Stock, f.Unit, f.Ratio)
	}
	return fmt.Sprintf("%-5s %-9s %-34s %-14s %-14s\n", "guest", "lsm", "program", "virtbinder", "stock") + b.String()
}

// String is passed/failed/skipped.
func (c *Count) String() string {
	if c == nil {
		return "cannot serve"
	}
	text := fmt.Sprintf("%d/%d/%d", c.Passed, c.Failed, c.Skipped)
	if c.Error != "" {
		text += " !"
	}
	return text
}

// remarks are what the numbers do not say.
func (p Program) remarks() string {
	var said []string
	if len(p.Worse) > 0 {
		said = append(said, "WORSE: "+strings.Join(p.Worse, ", "))
	}
	for _, driver := range []string{virtbinder, stock} {
		if n := len(p.RetriedNames[driver]); n > 0 {
			said = append(said, fmt.Sprintf("%s: %d run again", driver, n))
		}
	}
	return strings.Join(said, "; ")
}
