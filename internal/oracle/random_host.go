// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"time"
)

// RandomResults is what oracle-random.json holds.
type RandomResults struct {
	Kernel   string        `json:"kernel"`
	First    uint64        `json:"first"`
	Programs uint64        `json:"programs"` // that were compared
	Unstable []ProgramLine `json:"unstable"` // those that a driver does not always do the same with; they can be equal

	Different []ProgramLine `json:"different"`
}

// programs is the work of running random programs.
type programs struct {
	*say
	next, end uint64
	running   bool
	said      time.Time
	results   RandomResults
}

func (w *programs) args() []string {
	return []string{"--seed", fmt.Sprint(w.next), "--seeds", fmt.Sprint(w.end - w.next)}
}

func (w *programs) take(l Line) (last bool) {
	p := l.Program
	switch {
	case p == nil:
		return l.End
	case p.Result == "":
		w.next, w.running = p.Seed, true
	default:
		w.add(*p)
	}
	return false
}

func (w *programs) lost(why string) bool {
	if !w.running {
		return false
	}
	w.add(ProgramLine{Seed: w.next, Result: Different, Diff: why})
	return true
}

// add records a program that has been run.
func (w *programs) add(p ProgramLine) {
	w.next, w.running = p.Seed+1, false
	w.results.Programs++
	switch p.Result {
	case Unstable:
		w.results.Unstable = append(w.results.Unstable, p)
		w.line("unstable  seed %d", p.Seed)
		w.indent(p.Diff)
	case Different:
		w.results.Different = append(w.results.Different, p)
		w.line("DIFF  seed %d, after %d steps", p.Seed, p.Steps)
		for _, text := range []string{p.Source, p.Theirs, p.Diff} {
			w.indent(text)
			w.line("")
		}
	}
	if time.Since(w.said) > 30*time.Second {
		w.said = time.Now()
		w.progress()
	}
}

func (w *programs) progress() {
	took := time.Since(w.begun).Seconds()
	w.line("%d of %d programs in %.0f s: %d different, %d unstable", w.results.Programs, w.end-w.results.First, took,
		len(w.results.Different), len(w.results.Unstable))
}
