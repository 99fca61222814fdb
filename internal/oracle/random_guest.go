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
	our, their := g.once(ours, p), g.once(stock, p)
	if our == their {
		out.Result = Equal
		return out
	}
	if small, differs := g.smallest(p); differs {
		p = small
		our, their = g.once(ours, p), g.once(stock, p)
		out.Result = Different
	}
	out.Steps, out.Diff, out.Theirs = len(p.Steps), judge("", "", their, our).Diff, their
	if sys, err := g.newSystem(stock, stockFeatures()); err == nil {
		out.Source, _ = p.Source(sys)
		_ = sys.Close()
	}
	return out
}

// smallest finds a small part of a program in which the drivers still differ, and is
// sure of it. It reports false if there is none: the program itself does not always.
func (g *guest) smallest(p bindertest.Program) (small bindertest.Program, differs bool) {
	if !g.differs(p, proofs) {
		return p, false
	}
	left := budget
	small = p.Minimize(func(p bindertest.Program) bool {
		left--
		return left >= 0 && g.differs(p, tries)
	})
	if !g.differs(small, proofs) {
		return p, true // what is small is not sure
	}
	return small, true
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

// differs reports whether the drivers never do the same.
func (g *guest) differs(p bindertest.Program, tries int) bool {
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
