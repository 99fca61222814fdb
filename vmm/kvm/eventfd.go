// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"
	"unsafe"
)

// Flags of struct kvm_ioeventfd and struct kvm_irqfd.
const (
	ioeventfdDatamatch = 1 << 0
	ioeventfdPIO       = 1 << 1
	ioeventfdDeassign  = 1 << 2

	irqfdDeassign = 1 << 0
	irqfdResample = 1 << 1
)

// ioeventfd is struct kvm_ioeventfd, 64 bytes.
type ioeventfd struct {
	Datamatch uint64
	Addr      uint64
	Len       uint32
	FD        int32
	Flags     uint32
	_         [36]uint8
}

// IOEvent names a guest write that the kernel turns into a tick of an eventfd
// instead of an exit.
type IOEvent struct {
	PIO   bool   // Addr is an I/O port, else a guest-physical address
	Addr  uint64 // of the write
	Width int    // bytes: 1, 2, 4, 8; 0 takes any width and value
	Match uint64 // the value written, where MatchValue is set
	// MatchValue has the kernel compare the value; needs a Width.
	MatchValue bool
	FD         int // the eventfd
}

// AddIOEvent registers e; RemoveIOEvent, with the same values, undoes it.
func (v *VM) AddIOEvent(e IOEvent) error { return v.setIOEvent(e, 0) }

// RemoveIOEvent undoes AddIOEvent.
func (v *VM) RemoveIOEvent(e IOEvent) error { return v.setIOEvent(e, ioeventfdDeassign) }

func (v *VM) setIOEvent(e IOEvent, flags uint32) error {
	if e.PIO {
		flags |= ioeventfdPIO
	}
	if e.MatchValue {
		flags |= ioeventfdDatamatch
	}
	k := ioeventfd{Datamatch: e.Match, Addr: e.Addr, Len: uint32(e.Width), FD: int32(e.FD), Flags: flags}
	if _, err := ioctlPtr(v.fd, iow(nrIOEventFD, unsafe.Sizeof(k)), unsafe.Pointer(&k)); err != nil {
		return fmt.Errorf("KVM_IOEVENTFD at %#x, width %d: %w", e.Addr, e.Width, err)
	}
	return nil
}

// irqfd is struct kvm_irqfd, 32 bytes.
type irqfd struct {
	FD         uint32
	GSI        uint32
	Flags      uint32
	ResampleFD uint32
	_          [16]uint8
}

// AddIRQFD raises gsi whenever the eventfd ticks. With resample >= 0 the line is
// a level: the kernel lowers it at the guest's end of interrupt and ticks the
// eventfd resample.
func (v *VM) AddIRQFD(gsi uint32, fd, resample int) error {
	k := irqfd{FD: uint32(fd), GSI: gsi}
	if resample >= 0 {
		k.Flags = irqfdResample
		k.ResampleFD = uint32(resample)
	}
	return v.setIRQFD(&k)
}

// RemoveIRQFD undoes AddIRQFD.
func (v *VM) RemoveIRQFD(gsi uint32, fd int) error {
	return v.setIRQFD(&irqfd{FD: uint32(fd), GSI: gsi, Flags: irqfdDeassign})
}

func (v *VM) setIRQFD(k *irqfd) error {
	if _, err := ioctlPtr(v.fd, iow(nrIRQFD, unsafe.Sizeof(*k)), unsafe.Pointer(k)); err != nil {
		return fmt.Errorf("KVM_IRQFD for GSI %d: %w", k.GSI, err)
	}
	return nil
}
