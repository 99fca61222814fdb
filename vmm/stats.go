// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"sync/atomic"
	"syscall"

	gokvm "github.com/bobuhiro11/gokvm/kvm"

	"virtbinder/vmm/kvm"
)

// exitKind is why a processor left the guest.
type exitKind int

const (
	exitPort exitKind = iota
	exitMemory
	exitHalt
	exitInterrupted
	exitOther
	exitKinds
)

var exitNames = [exitKinds]string{"port", "memory", "halt", "interrupted", "other"}

// exitCounts counts one processor's exits; only its own thread adds.
type exitCounts struct {
	n [exitKinds]atomic.Uint64
	_ [64]byte // so that two processors share no cache line
}

// count takes note of what Run returned.
func (e *exitCounts) count(c *kvm.VCPU, errno syscall.Errno) {
	kind := exitOther
	switch {
	case errno == syscall.EINTR:
		kind = exitInterrupted
	case errno != 0:
	case c.Reason() == gokvm.EXITIO:
		kind = exitPort
	case c.Reason() == gokvm.EXITMMIO:
		kind = exitMemory
	case c.Reason() == gokvm.EXITHLT:
		kind = exitHalt
	}
	e.n[kind].Add(1)
}

// Exits returns how often each processor left the guest, by why.
func (m *Machine) Exits() []map[string]uint64 {
	out := make([]map[string]uint64, len(m.exits))
	for i := range m.exits {
		out[i] = map[string]uint64{}
		for kind, name := range exitNames {
			out[i][name] = m.exits[i].n[kind].Load()
		}
	}
	return out
}
