// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"virtbinder/driver/bindertest"
)

// random runs the programs of n seeds on both drivers.
func (g *guest) random(first, n uint64) error {
	for seed := first; seed < first+n; seed++ {
		if err := g.out.Encode(Line{Program: &ProgramLine{Seed: seed}}); err != nil {
			return err
		}
		if err := g.out.Encode(Line{Program: g.program1(seed)}); err != nil {
			return err
		}
	}
	return g.out.Encode(Line{End: true})
}

// tries is how often a program that differed is run again on each driver. If both
// ever do the same, then what differs is when things happen to be done, which
// neither driver promises.
const tries = 4

// program1 compares one program. Of one that differs it finds a small part that does.
func (g *guest) program1(seed uint64) *ProgramLine {
	p := bindertest.NewProgram(seed)
	out := &ProgramLine{Seed: seed, Result: Equal}
	if g.once(ours, p) == g.once(stock, p) {
		return out
	}
	if !g.differs(p) {
		out.Unstable = true
		return out
	}
	p = p.Minimize(g.differs)
	our, their := g.once(ours, p), g.once(stock, p)
	o := judge("", "", their, our)
	out.Result, out.Steps, out.Diff, out.Theirs = Different, len(p.Steps), o.Diff, their
	if sys, err := g.newSystem(stock); err == nil {
		out.Source, _ = p.Source(sys)
		_ = sys.Close()
	}
	return out
}

// once runs a program, made of what both drivers of this kernel can do; a machine that
// breaks is part of what it leaves.
func (g *guest) once(name string, p bindertest.Program) string {
	sys, err := g.newSystemFor(name, stockFeatures())
	var transcript string
	if err == nil {
		transcript, err = runOn(sys, p.Scenario())
	}
	if err != nil {
		transcript += "\n" + err.Error()
	}
	return transcript
}

// differs reports whether the drivers never do the same.
func (g *guest) differs(p bindertest.Program) bool {
	our, their := map[string]bool{}, map[string]bool{}
	for range tries {
		a, b := g.once(ours, p), g.once(stock, p)
		our[a], their[b] = true, true
		if our[b] || their[a] {
			return false
		}
	}
	return true
}
