// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"fmt"
	"math/rand/v2"
)

// Program is a scenario that nobody wrote: its steps come from a seed. What a step
// does depends on its own number and on what the processes know by then (handles,
// buffers, cookies), so a program with steps left out is a program still.
type Program struct {
	Seed  uint64
	Steps []Step
}

// Step is one thing that one thread does.
type Step struct {
	Seed uint64
	Drop uint8 // bits of the commands that it leaves out
}

// maxCommands is how many commands one call has at most.
const maxCommands = 3

// NewProgram makes the program of a seed.
func NewProgram(seed uint64) Program {
	rng := rand.New(rand.NewPCG(seed, 0))
	p := Program{Seed: seed, Steps: make([]Step, 30+rng.IntN(31))}
	for i := range p.Steps {
		p.Steps[i].Seed = rng.Uint64()
	}
	return p
}

// Scenario makes it one.
func (p Program) Scenario() Scenario {
	name := fmt.Sprintf("random/%d", p.Seed)
	return Scenario{Name: name, Pins: "nothing in particular", Needs: []Feature{Signals, Files}, run: func(t *T) { runProgram(t, p) }}
}

// Source is what the program comes to on a System, as the body of a scenario. It may
// be wrong in details; the transcript is not.
func (p Program) Source(sys System) (source string, err error) {
	s := p.Scenario()
	s.run = func(t *T) { source = runProgram(t, p) }
	_, err = Run(sys, s)
	return source, err
}

// Minimize leaves out what a program needs not to be different. differs runs it.
func (p Program) Minimize(differs func(Program) bool) Program {
	for n := len(p.Steps) / 2; n > 0; {
		smaller := false
		for at := 0; at < len(p.Steps); {
			q := p.without(at, n)
			if differs(q) {
				p, smaller = q, true
			} else {
				at += n
			}
		}
		if !smaller || n > len(p.Steps) {
			n /= 2
		}
	}
	for i := range p.Steps {
		for bit := range maxCommands {
			q := p.without(0, 0)
			q.Steps[i].Drop |= 1 << bit
			if differs(q) {
				p = q
			}
		}
	}
	return p
}

// without is a copy that lacks n steps.
func (p Program) without(at, n int) Program {
	steps := append([]Step(nil), p.Steps[:at]...)
	return Program{Seed: p.Seed, Steps: append(steps, p.Steps[min(at+n, len(p.Steps)):]...)}
}
