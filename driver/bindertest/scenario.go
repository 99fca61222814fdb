// SPDX-License-Identifier: Apache-2.0

package bindertest

// Scenario pins one rule of the binder interface.
type Scenario struct {
	Name  string    // section/rule, as "transaction/handle0-no-manager"
	Pins  string    // the row of the interface's description that it shows
	Needs []Feature // what a System must have
	Since string    // kernel release of the stock driver that first behaves so, "" for all
	run   func(*T)
}

// T is a scenario on its way through a System.
type T struct{}

// Scenarios lists all of them, in the order of their sections.
func Scenarios() []Scenario { return nil }

// Run runs a scenario on a System, which is new and has no process yet, and returns
// its transcript: one line for each thing that can be observed. An error means that
// the System broke, not that it behaves differently.
func Run(sys System, s Scenario) (transcript string, err error) { return "", nil }

// Golden is the transcript that the stock driver of a kernel release ("6.12") left.
func Golden(kernel, name string) (transcript string, ok bool) { return "", false }
