// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"virtbinder/driver/bindertest"
)

// random runs the programs of n seeds.
func (g *guest) random(first, n uint64) error {
	run := g.program1
	if len(g.drivers) == 1 {
		run = g.alone
	}
	for seed := first; seed < first+n; seed++ {
		if err := g.out.Encode(Line{Program: &ProgramLine{Seed: seed}}); err != nil {
			return err
		}
		if err := g.out.Encode(Line{Program: run(seed)}); err != nil {
			return err
		}
	}
	return g.out.Encode(Line{End: true})
}

// alone runs one program where there is nothing to compare it with.
func (g *guest) alone(seed uint64) *ProgramLine {
	transcript, err := g.try(ours, bindertest.NewProgram(seed))
	if err != nil {
		return &ProgramLine{Seed: seed, Result: Broken, Diff: transcript + err.Error()}
	}
	return &ProgramLine{Seed: seed, Result: Ran}
}

// How often a program is run on each driver before it counts as different, while it is
// made smaller and at the end. If both ever do the same, then what differs is when
// things happen to be done, which neither driver promises.
const (
	tries  = 1
	proofs = 12
)

// budget is how many smaller programs are tried, at most.
const budget = 200

// program1 compares one program. Of one that differs it finds a small part that does.
func (g *guest) program1(seed uint64) *ProgramLine {
	p := bindertest.NewProgram(seed)
	out := &ProgramLine{Seed: seed, Result: Unstable}
	found, differs := g.differ(p, 1)
	if !differs {
		out.Result = Equal
		return out
	}
	if sure, differs := g.differ(p, proofs); differs {
		out.Result = Different
		p, found = g.smallest(p, sure)
	}
	out.Steps, out.Diff, out.Theirs = len(p.Steps), judge("", "", found.their, found.our).Diff, found.their
	if sys, err := g.newSystem(stock, stockFeatures()); err == nil {
		out.Source, _ = p.Source(sys)
		_ = sys.Close()
	}
	return out
}

// smallest finds a small part of a program in which the drivers still differ, and is
// sure of it. Else it is the program itself, and what is known of that.
func (g *guest) smallest(p bindertest.Program, known pair) (bindertest.Program, pair) {
	left := budget
	small := p.Minimize(func(p bindertest.Program) bool {
		left--
		if left < 0 {
			return false
		}
		_, differs := g.differ(p, tries)
		return differs
	})
	if sure, differs := g.differ(small, proofs); differs {
		return small, sure
	}
	return p, known
}

// once runs a program, made of what both drivers of this kernel can do; a machine that
// breaks is part of what it leaves.
func (g *guest) once(name string, p bindertest.Program) string {
	transcript, err := g.try(name, p)
	if err != nil {
		transcript += "\n" + err.Error()
	}
	return transcript
}

func (g *guest) try(name string, p bindertest.Program) (transcript string, err error) {
	return g.run(name, stockFeatures(), p.Scenario())
}

// pair is what a program came to on both drivers.
type pair struct{ our, their string }

// differ reports whether the drivers never do the same, and what they did last.
func (g *guest) differ(p bindertest.Program, tries int) (last pair, differs bool) {
	our, their := map[string]bool{}, map[string]bool{}
	for range tries {
		last = pair{g.once(ours, p), g.once(stock, p)}
		our[last.our], their[last.their] = true, true
		if our[last.their] || their[last.our] {
			return last, false
		}
	}
	return last, true
}
