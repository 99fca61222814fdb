// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// ExitSystemEvent is the exit reason that gokvm's list stops short of.
const ExitSystemEvent gokvm.ExitType = 24

// IO is a port access of the guest, repeated Count times (string instructions).
type IO struct {
	Port  uint16
	Size  int // bytes an access: 1, 2, 4
	Count int
	Write bool
	// Data is Size*Count bytes of the run page: what the guest wrote, or where
	// the answer goes.
	Data []byte
}

// MMIO is an access to a guest-physical address without memory.
type MMIO struct {
	Addr  uint64
	Write bool
	Data  []byte // 1 to 8 bytes of the run page
}

// mmioExit is the union member of struct kvm_run for KVM_EXIT_MMIO.
type mmioExit struct {
	Addr    uint64
	Data    [8]uint8
	Len     uint32
	IsWrite uint8
}

func (c *VCPU) data() *gokvm.RunData { return (*gokvm.RunData)(unsafe.Pointer(&c.run[0])) }

// Reason returns why the last Run came back.
func (c *VCPU) Reason() gokvm.ExitType { return gokvm.ExitType(c.data().ExitReason) }

// IO returns the port access of an EXITIO. Valid until the next Run. No
// allocation.
func (c *VCPU) IO() (IO, bool) {
	dir, size, port, count, off := c.data().IO()
	n := size * count
	if off > uint64(len(c.run)) || n > uint64(len(c.run))-off {
		return IO{}, false
	}
	return IO{
		Port:  uint16(port),
		Size:  int(size),
		Count: int(count),
		Write: dir == gokvm.EXITIOOUT,
		Data:  c.run[off : off+n : off+n],
	}, true
}

// MMIO returns the access of an EXITMMIO. Valid until the next Run. No
// allocation.
func (c *VCPU) MMIO() MMIO {
	x := (*mmioExit)(unsafe.Pointer(&c.data().Data[0]))
	n := min(x.Len, uint32(len(x.Data)))
	return MMIO{Addr: x.Addr, Write: x.IsWrite != 0, Data: x.Data[:n:n]}
}

// Describe puts the exit into words for an error message, with the place where
// the guest stood.
func (c *VCPU) Describe() string {
	d := c.data()
	s := fmt.Sprintf("vCPU %d: exit reason %d (%v)", c.ID, d.ExitReason, c.Reason())
	switch c.Reason() {
	case gokvm.EXITINTERNALERROR:
		sub, n := uint32(d.Data[0]), min(uint32(d.Data[0]>>32), 16)
		s += fmt.Sprintf(", suberror %d, data %#x", sub, d.Data[1:1+n])
	case gokvm.EXITFAILENTRY, gokvm.EXITUNKNOWN:
		s += fmt.Sprintf(", hardware reason %#x", d.Data[0])
	case ExitSystemEvent:
		s += fmt.Sprintf(", event %d", uint32(d.Data[0]))
	}
	if r, err := c.Regs(); err == nil {
		s += fmt.Sprintf(", rip %#x rsp %#x rflags %#x", r.RIP, r.RSP, r.RFLAGS)
	}
	return s
}
