// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"context"
	"errors"
	"sync"

	"virtbinder/vmm/kvm"
)

// ErrEnded is the error of what only a running machine can do.
var ErrEnded = errors.New("the machine has ended")

// gate holds processors outside the guest. Devices go on: what was begun is
// finished, and the interrupts of it wait for the guest.
type gate struct {
	mu      sync.Mutex // a leaf
	changed sync.Cond  // on mu: any of the below did
	shut    bool
	open    bool // for good: the machine ends
	held    int  // processors that wait
}

func newGate() *gate {
	g := &gate{}
	g.changed.L = &g.mu
	return g
}

// pass waits while the gate is shut, and reports whether it did.
func (g *gate) pass() (waited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut && !g.open {
		waited = true
		g.held++
		g.changed.Broadcast()
		g.changed.Wait()
		g.held--
	}
	return waited
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	g.shut = shut
	g.mu.Unlock()
	g.changed.Broadcast()
}

// release lets everybody pass from now on.
func (g *gate) release() {
	g.mu.Lock()
	g.open = true
	g.mu.Unlock()
	g.changed.Broadcast()
}

// await waits until n processors are held, the gate was opened, or ctx ends.
func (g *gate) await(ctx context.Context, n int) error {
	defer context.AfterFunc(ctx, func() {
		g.mu.Lock() // so that the wait below cannot miss it
		defer g.mu.Unlock()
		g.changed.Broadcast()
	})()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut && !g.open && g.held < n && ctx.Err() == nil {
		g.changed.Wait()
	}
	switch {
	case g.open:
		return ErrEnded
	case !g.shut:
		return errors.New("the machine was resumed meanwhile")
	}
	return ctx.Err()
}

// Pause takes all processors out of the guest and holds them; it returns when
// they are. Pausing a paused machine does nothing. If ctx ends first the machine
// goes on.
func (m *Machine) Pause(ctx context.Context) error {
	if m.stopping.Load() {
		return ErrEnded
	}
	m.gate.set(true)
	m.paused.Store(true)
	m.kickAll()
	err := m.gate.await(ctx, len(m.vcpus))
	if err != nil {
		m.Resume()
	}
	return err
}

// Resume lets the processors go on. The guest's clock did not stand still.
func (m *Machine) Resume() {
	m.paused.Store(false)
	m.gate.set(false)
}

// Ended says whether the machine has come to its end, or is about to.
func (m *Machine) Ended() bool { return m.stopping.Load() }

// Paused says whether the machine is to stand still.
func (m *Machine) Paused() bool { return m.paused.Load() }

// hold waits while the machine is paused. A guest with a paravirtual clock is told
// then, so that it does not take the pause for a processor that hangs.
func (m *Machine) hold(c *kvm.VCPU) {
	if !m.paused.Load() {
		return
	}
	if m.gate.pass() {
		c.ClockPaused()
	}
}
