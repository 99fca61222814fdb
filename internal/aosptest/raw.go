// SPDX-License-Identifier: Apache-2.0

package aosptest

// Drivers, by the names that they have in results and for session.sh.
const (
	virtbinder = "virtbinder"
	stock      = "stock"
)

// raw is all that one run saw: what the process beside the guest hands to the one
// that compares.
type raw struct {
	Guest    string // kernel series
	LSM      string
	Programs []rawProgram
	Figures  []Figure
}

type rawProgram struct {
	Name  string
	Least int             // tests that should pass on the stock driver
	On    map[string]*ran // by driver
}

// ran is one program on one driver.
type ran struct {
	Results map[string]Outcome
	Retried []string // did not pass at first; sorted
	Seconds float64
	Error   string // how the program itself failed: a crash, a hang, tests that never began
}

// count returns how many tests ended in a way.
func (r *ran) count(o Outcome) int {
	n := 0
	for _, got := range r.Results {
		if got == o {
			n++
		}
	}
	return n
}
