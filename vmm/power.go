// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// powerBlock is ACPI's fixed power management: the PM1 event block (status,
// enable) and the PM1 control block. The guest switches itself off here, and
// hears of the power button.
type powerBlock struct {
	off func()          // the guest wants to be off
	sci func(high bool) // drives the SCI line

	mu             sync.Mutex // a leaf
	status, enable uint16
	control        uint16
}

// Offsets in the block of ports.
const (
	pm1Status  = 0
	pm1Enable  = pm1Status + 2
	pm1Control = pm1ControlPort - pm1EventPort
	pm1Ports   = pm1Control + 2
)

const (
	pm1PowerButton = 1 << 8

	pm1SCIEnabled    = 1 << 0 // ACPI mode: always on
	pm1SleepTypeAt   = 10
	pm1SleepTypeMask = 7
	pm1SleepEnable   = 1 << 13
)

// pressButton is the power button: a guest that listens shuts down.
func (b *powerBlock) pressButton() {
	b.mu.Lock()
	b.status |= pm1PowerButton
	b.updateLocked()
	b.mu.Unlock()
}

func (b *powerBlock) updateLocked() { b.sci(b.status&b.enable != 0) }

func (b *powerBlock) ReadIO(off uint64, p []byte) {
	var regs [pm1Ports]byte
	b.mu.Lock()
	binary.LittleEndian.PutUint16(regs[pm1Status:], b.status)
	binary.LittleEndian.PutUint16(regs[pm1Enable:], b.enable)
	binary.LittleEndian.PutUint16(regs[pm1Control:], b.control|pm1SCIEnabled)
	b.mu.Unlock()
	copy(p, regs[off:])
}

func (b *powerBlock) WriteIO(off uint64, p []byte) {
	b.mu.Lock()
	for i, v := range p {
		b.writeByteLocked(off+uint64(i), v)
	}
	b.updateLocked()
	off5 := b.control&pm1SleepEnable != 0 && b.control>>pm1SleepTypeAt&pm1SleepTypeMask == sleepTypeOff
	b.control &^= pm1SleepEnable // reads as zero
	b.mu.Unlock()
	if off5 {
		b.off()
	}
}

func (b *powerBlock) writeByteLocked(off uint64, v uint8) {
	shift := off % 2 * 8
	lane := uint16(0xff) << shift
	val := uint16(v) << shift
	switch off &^ 1 {
	case pm1Status: // writing a one clears
		b.status &^= val
	case pm1Enable:
		b.enable = b.enable&^lane | val
	case pm1Control:
		b.control = b.control&^lane | val
	}
}

// atomicByte is a register that needs no lock.
type atomicByte struct{ v atomic.Uint32 }

func (a *atomicByte) load() uint8   { return uint8(a.v.Load()) }
func (a *atomicByte) store(b uint8) { a.v.Store(uint32(b)) }
