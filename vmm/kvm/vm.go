// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"
	"syscall"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// VM is one machine: memory slots, interrupt chips, eventfds.
type VM struct {
	fd      int
	runSize int // bytes of a vCPU's shared page
}

// Close releases the machine's file descriptor. The kernel keeps the machine
// until its vCPUs are closed too.
func (v *VM) Close() error { return syscall.Close(v.fd) }

// SetMemory makes host the memory behind guest-physical addresses from gpa on,
// in the given slot. A slot is replaced only after it was removed.
func (v *VM) SetMemory(slot uint32, gpa uint64, host []byte) error {
	if len(host) == 0 {
		return fmt.Errorf("memory slot %d at %#x is empty", slot, gpa)
	}
	return v.setRegion(&gokvm.UserspaceMemoryRegion{
		Slot:          slot,
		GuestPhysAddr: gpa,
		MemorySize:    uint64(len(host)),
		UserspaceAddr: uint64(uintptr(unsafe.Pointer(&host[0]))),
	})
}

// RemoveMemory empties a slot. On return no vCPU uses it any more.
func (v *VM) RemoveMemory(slot uint32) error {
	return v.setRegion(&gokvm.UserspaceMemoryRegion{Slot: slot})
}

func (v *VM) setRegion(r *gokvm.UserspaceMemoryRegion) error {
	if _, err := ioctlPtr(v.fd, iow(nrSetUserMemoryRegion, unsafe.Sizeof(*r)), unsafe.Pointer(r)); err != nil {
		return fmt.Errorf("KVM_SET_USER_MEMORY_REGION slot %d, %#x bytes at %#x: %w", r.Slot, r.MemorySize, r.GuestPhysAddr, err)
	}
	return nil
}

// SetTSSAddr gives KVM three guest-physical pages for its own use, and the page
// before them for the identity map; both must be outside memory and devices.
// Intel processors without unrestricted guest mode need them. Call it before
// the first vCPU is made.
func (v *VM) SetTSSAddr(identity, tss uint32) error {
	addr := uint64(identity)
	if _, err := ioctlPtr(v.fd, iow(nrSetIdentityMapAddr, 8), unsafe.Pointer(&addr)); err != nil {
		return fmt.Errorf("KVM_SET_IDENTITY_MAP_ADDR %#x: %w", identity, err)
	}
	if err := gokvm.SetTSSAddr(uintptr(v.fd), tss); err != nil {
		return fmt.Errorf("KVM_SET_TSS_ADDR %#x: %w", tss, err)
	}
	return nil
}

// enableCap is struct kvm_enable_cap.
type enableCap struct {
	Cap   uint32
	Flags uint32
	Args  [4]uint64
	_     [64]uint8
}

// EnableCap turns a capability on for this machine.
func (v *VM) EnableCap(c gokvm.Capability, args ...uint64) error {
	e := enableCap{Cap: uint32(c)}
	copy(e.Args[:], args)
	if _, err := ioctlPtr(v.fd, iow(nrEnableCap, unsafe.Sizeof(e)), unsafe.Pointer(&e)); err != nil {
		return fmt.Errorf("KVM_ENABLE_CAP %v: %w", c, err)
	}
	return nil
}
