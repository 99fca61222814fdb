// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"virtbinder/driver/bindertest"
)

// scenarios is the work of running the list.
type scenarios struct {
	*say
	series, only string

	results Results
	goldens map[string]string // the stock driver's transcripts
	ours    map[string]string // and ours
	done    []string
	current Line // what has begun
	our     Line // ours, until the stock driver has run it too
}

func (w *scenarios) args() []string {
	args := []string{"--only", w.only}
	if len(w.done) > 0 {
		args = append(args, "--skip", strings.Join(w.done, ","))
	}
	return args
}

func (w *scenarios) take(l Line) (last bool) {
	switch {
	case l.End:
		return true
	case l.NA != "" && l.System == ours:
		w.ours[l.Scenario] = l.Transcript
		w.check(l)
	case l.NA != "":
		w.add(Outcome{Name: l.Scenario, Kernel: w.series, Result: NA, Why: l.NA})
	case l.Begin:
		w.current = l
	case l.System == ours:
		w.our = l
		w.ours[l.Scenario] = l.Transcript
	default:
		w.compare(w.our, l)
	}
	return false
}

func (w *scenarios) lost(why string) bool {
	if !w.current.Begin {
		return false
	}
	w.add(Outcome{Name: w.current.Scenario, Kernel: w.series, Result: Different, Why: "on " + w.current.System + ", " + why})
	return true
}

// check judges a scenario that the stock driver cannot run by what is recorded.
func (w *scenarios) check(our Line) {
	want, from, recorded := bindertest.Recorded(our.Scenario)
	o := Outcome{Name: our.Scenario, Kernel: w.series, Result: NA, Why: our.NA + "; ours is what is recorded in " + from}
	switch {
	case our.Error != "":
		o.Result, o.Why = Different, our.Error
	case !recorded:
		o.Result, o.Why = Different, our.NA+", and nothing is recorded: go test -update ./driver/bindertest"
	case want != our.Transcript:
		o.Result, o.Why = Different, our.NA+"; ours is not what is recorded in "+from
		o.Diff = udiff.Unified(from, ours, want, our.Transcript)
	}
	w.add(o)
}

// compare judges a scenario that both have run.
func (w *scenarios) compare(our, their Line) {
	o := judge(their.Scenario, w.series, their.Transcript, our.Transcript)
	for _, l := range []Line{our, their} {
		if l.Error != "" {
			o.Result = Different
			o.Why += fmt.Sprintf("%s: %s\n", l.System, l.Error)
		}
	}
	if their.Error == "" {
		w.goldens[o.Name] = their.Transcript
	}
	w.add(o)
}

// add records an outcome.
func (w *scenarios) add(o Outcome) {
	w.current = Line{}
	w.done = append(w.done, o.Name)
	w.results.Scenarios = append(w.results.Scenarios, o)
	w.outcome(&o)
}
