// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// pitSpeakerDummy has the kernel answer port 0x61 too, beside the timer.
const pitSpeakerDummy = 1

// pitConfig is struct kvm_pit_config.
type pitConfig struct {
	Flags uint32
	_     [15]uint32
}

// CreateIRQChip makes the in-kernel PIC, IOAPIC and, for vCPUs made later, local
// APICs, with the 24 GSIs routed to the pins of the same number.
func (v *VM) CreateIRQChip() error {
	if err := gokvm.CreateIRQChip(uintptr(v.fd)); err != nil {
		return fmt.Errorf("KVM_CREATE_IRQCHIP: %w", err)
	}
	return nil
}

// CreatePIT makes the in-kernel i8254 timer, wired to GSI 0.
func (v *VM) CreatePIT() error {
	c := pitConfig{Flags: pitSpeakerDummy}
	if _, err := ioctlPtr(v.fd, iow(nrCreatePIT2, unsafe.Sizeof(c)), unsafe.Pointer(&c)); err != nil {
		return fmt.Errorf("KVM_CREATE_PIT2: %w", err)
	}
	return nil
}

// irqLevel is struct kvm_irq_level.
type irqLevel struct {
	GSI   uint32
	Level uint32
}

// SetIRQ drives a line of the interrupt chips high or low. No allocation.
func (v *VM) SetIRQ(gsi uint32, high bool) error {
	l := irqLevel{GSI: gsi}
	if high {
		l.Level = 1
	}
	_, err := ioctlPtr(v.fd, iow(nrIRQLine, unsafe.Sizeof(l)), unsafe.Pointer(&l))
	return err
}

// msi is struct kvm_msi.
type msi struct {
	AddressLo uint32
	AddressHi uint32
	Data      uint32
	Flags     uint32
	DevID     uint32
	_         [12]uint8
}

// SignalMSI delivers a message-signalled interrupt, as a device's memory write
// of data to addr would. A guest that masked or mis-addressed it is no error.
// No allocation.
func (v *VM) SignalMSI(addr uint64, data uint32) error {
	m := msi{AddressLo: uint32(addr), AddressHi: uint32(addr >> 32), Data: data}
	_, err := ioctlPtr(v.fd, iow(nrSignalMSI, unsafe.Sizeof(m)), unsafe.Pointer(&m))
	return err
}

// Routing entry types and chips (struct kvm_irq_routing_entry).
const (
	routingIRQChip = 1
	routingMSI     = 2
)

// Chips of an IRQChipRoute.
const (
	ChipPICMaster = 0
	ChipPICSlave  = 1
	ChipIOAPIC    = 2
)

// Route says where a GSI leads.
type Route struct {
	GSI  uint32
	kind uint32
	a, b uint32
	c    uint32
}

// IRQChipRoute leads a GSI to a pin of an interrupt chip.
func IRQChipRoute(gsi, chip, pin uint32) Route {
	return Route{GSI: gsi, kind: routingIRQChip, a: chip, b: pin}
}

// MSIRoute leads a GSI to a message-signalled interrupt.
func MSIRoute(gsi uint32, addr uint64, data uint32) Route {
	return Route{GSI: gsi, kind: routingMSI, a: uint32(addr), b: uint32(addr >> 32), c: data}
}

// routingEntry is struct kvm_irq_routing_entry, 48 bytes.
type routingEntry struct {
	GSI   uint32
	Type  uint32
	Flags uint32
	_     uint32
	U     [8]uint32
}

// maxRoutes is the kernel's own limit.
const maxRoutes = 4096

type routingTable struct {
	count   uint32
	flags   uint32
	entries [maxRoutes]routingEntry
}

// SetRouting replaces the whole GSI routing table.
func (v *VM) SetRouting(routes []Route) error {
	if len(routes) > maxRoutes {
		return fmt.Errorf("%d interrupt routes, KVM takes %d", len(routes), maxRoutes)
	}
	t := &routingTable{count: uint32(len(routes))}
	for i, r := range routes {
		t.entries[i] = routingEntry{GSI: r.GSI, Type: r.kind, U: [8]uint32{r.a, r.b, r.c}}
	}
	if _, err := ioctlPtr(v.fd, iow(nrSetGSIRouting, 8), unsafe.Pointer(t)); err != nil {
		return fmt.Errorf("KVM_SET_GSI_ROUTING with %d routes: %w", len(routes), err)
	}
	return nil
}
