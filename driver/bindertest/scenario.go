// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"fmt"
	"slices"
)

// Scenario pins one rule of the binder interface.
type Scenario struct {
	Name  string    // section/rule, as "transaction/handle0-no-manager"
	Pins  string    // the rule, in one sentence
	Needs []Feature // what a System must have
	run   func(*T)
}

// sections are the lists of scenarios, one for each file of them.
var sections = [][]Scenario{
	fileScenarios,
	mmapScenarios,
	ioctlScenarios,
	commandScenarios,
	returnScenarios,
	objectScenarios,
	transactionScenarios,
	reportScenarios,
	poolScenarios,
	referenceScenarios,
	deathScenarios,
	freezeScenarios,
	suspendScenarios,
	heldScenarios,
	onewayScenarios,
	callerScenarios,
	lsmScenarios,
	regressionScenarios,
}

// Scenarios lists all of them, in the order of their sections.
func Scenarios() []Scenario { return slices.Concat(sections...) }

// Missing names the first Feature that the scenario needs and a System has not.
func (s Scenario) Missing(has func(Feature) bool) (f Feature, missing bool) {
	for _, f := range s.Needs {
		if !has(f) {
			return f, true
		}
	}
	return "", false
}

// Run runs a scenario on a System which is new: no process, no context manager yet.
// (A context may have had one before, which was root: no other uid is ever the first.)
// It returns the transcript: what was done and all that could be observed. An error
// means that the System broke, not that it behaves differently; the transcript then
// ends where it did.
func Run(sys System, s Scenario) (transcript string, err error) {
	t := &T{sys: sys, names: newNames()}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case broken:
			err = fmt.Errorf("%s on %s: %w", s.Name, sys.Name(), p.err)
		default:
			panic(p)
		}
		transcript = t.out.String()
	}()
	s.run(t)
	return
}
