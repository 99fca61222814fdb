// SPDX-License-Identifier: Apache-2.0

package pci

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// ConfigSize is the size of a type-0 configuration space in bytes.
const ConfigSize = 256

// Offsets in the configuration header.
const (
	OffVendor       = 0x00
	OffDevice       = 0x02
	OffCommand      = 0x04
	OffStatus       = 0x06
	OffRevision     = 0x08
	OffClass        = 0x09 // three bytes
	OffHeaderType   = 0x0e
	OffBAR0         = 0x10
	OffSubVendor    = 0x2c
	OffSubDevice    = 0x2e
	OffCapabilities = 0x34
	offFirstCap     = 0x40
)

// Bits of the command register.
const (
	CommandIO     = 1 << 0 // decode I/O BARs
	CommandMemory = 1 << 1 // decode memory BARs
	CommandMaster = 1 << 2 // may send MSIs and access memory
)

const statusCapList = 1 << 4

// Capability identifiers.
const (
	CapVendor = 0x09
	CapMSIX   = 0x11
)

// NumBARs is the number of BAR registers of a type-0 function.
const NumBARs = 6

// Header identifies a function.
type Header struct {
	Vendor, Device       uint16
	Revision             uint8
	Class                uint32 // class, subclass, interface: 24 bits
	SubVendor, SubDevice uint16
}

// Config is a type-0 configuration space. Its methods may be called from any
// goroutine and accept any offset and length: what lies outside reads as zero and
// swallows writes.
type Config struct {
	bars []BAR // invariant

	mu    sync.Mutex // a leaf; guards what follows
	space [ConfigSize]byte
	mask  [ConfigSize]byte // bits that a write may change
	next  int              // where the next capability goes
	last  int              // offset of the pointer to it
}

// NewConfig builds the configuration space of a function with the given BARs.
func NewConfig(h Header, bars []BAR) (*Config, error) {
	c := &Config{bars: bars, next: offFirstCap, last: OffCapabilities}
	le := binary.LittleEndian
	le.PutUint16(c.space[OffVendor:], h.Vendor)
	le.PutUint16(c.space[OffDevice:], h.Device)
	le.PutUint32(c.space[OffRevision:], h.Class<<8|uint32(h.Revision))
	le.PutUint16(c.space[OffSubVendor:], h.SubVendor)
	le.PutUint16(c.space[OffSubDevice:], h.SubDevice)
	le.PutUint16(c.mask[OffCommand:], CommandIO|CommandMemory|CommandMaster|1<<10 /* INTx disable */)
	c.mask[0x0c] = 0xff // cache line size: a scratch register
	c.mask[0x3c] = 0xff // interrupt line: a scratch register
	taken := [NumBARs]bool{}
	for _, b := range bars {
		if err := c.addBAR(b, &taken); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// addBAR sets the type bits and the writable mask of a BAR register; a write of
// all ones followed by a read then gives the size, as the guest expects.
func (c *Config) addBAR(b BAR, taken *[NumBARs]bool) error {
	regs := 1
	if b.Kind.Is64() {
		regs = 2
	}
	least := uint64(16)
	if b.Kind == IO {
		least = 4
	}
	switch {
	case b.Index < 0 || b.Index+regs > NumBARs:
		return fmt.Errorf("pci: BAR %d (%s) does not fit into %d registers", b.Index, b.Kind, NumBARs)
	case b.Size < least || b.Size&(b.Size-1) != 0:
		return fmt.Errorf("pci: BAR %d: size %#x is not a power of two from %d on", b.Index, b.Size, least)
	case regs == 1 && b.Size > 1<<31, b.Kind == IO && b.Size > 1<<15:
		return fmt.Errorf("pci: BAR %d: size %#x is too large for %s", b.Index, b.Size, b.Kind)
	}
	for i := b.Index; i < b.Index+regs; i++ {
		if taken[i] {
			return fmt.Errorf("pci: BAR register %d is used twice", i)
		}
		taken[i] = true
	}
	off := OffBAR0 + 4*b.Index
	c.space[off] = kindBits(b.Kind)
	mask := ^(b.Size - 1)
	binary.LittleEndian.PutUint32(c.mask[off:], uint32(mask))
	if regs == 2 {
		binary.LittleEndian.PutUint32(c.mask[off+4:], uint32(mask>>32))
	}
	return nil
}

// kindBits are the read-only low bits of a BAR register.
func kindBits(k Kind) byte {
	switch k {
	case IO:
		return 1
	case Mem64:
		return 4
	case Mem64Prefetch:
		return 4 | 8
	default:
		return 0
	}
}

// AddCapability appends a capability: its identifier, then body from the third
// byte of the structure on. writable, nil for none, says per byte of body which
// bits the guest may change. It returns the offset of the structure.
func (c *Config) AddCapability(id uint8, body, writable []byte) (off int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	off = c.next
	if off+2+len(body) > ConfigSize {
		return 0, fmt.Errorf("pci: no room for capability %#x of %d bytes", id, 2+len(body))
	}
	c.space[c.last] = byte(off)
	c.space[OffStatus] |= statusCapList
	c.space[off] = id
	copy(c.space[off+2:], body)
	copy(c.mask[off+2:off+2+len(body)], writable)
	c.last = off + 1
	c.next = (off + 2 + len(body) + 3) &^ 3
	return off, nil
}

// Read fills p from the space at off.
func (c *Config) Read(off uint16, p []byte) {
	clear(p)
	if off >= ConfigSize {
		return
	}
	c.mu.Lock()
	copy(p, c.space[off:])
	c.mu.Unlock()
}

// Write changes the writable bits at off.
func (c *Config) Write(off uint16, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, v := range p {
		at := int(off) + i
		if at >= ConfigSize {
			return
		}
		m := c.mask[at]
		c.space[at] = c.space[at]&^m | v&m
	}
}

// Command returns the command register.
func (c *Config) Command() uint16 {
	var b [2]byte
	c.Read(OffCommand, b[:])
	return binary.LittleEndian.Uint16(b[:])
}

// BARs returns the function's BARs. The caller must not change them.
func (c *Config) BARs() []BAR { return c.bars }

// Placement returns where the registers put the BAR with the given index and
// whether the command register lets it decode there.
func (c *Config) Placement(index int) (addr uint64, enabled bool) {
	for _, b := range c.bars {
		if b.Index == index {
			return Placement(c, b)
		}
	}
	return 0, false
}

// SetBARAddr writes an address into the registers of a BAR, as firmware would.
func (c *Config) SetBARAddr(index int, addr uint64) {
	for _, b := range c.bars {
		if b.Index != index {
			continue
		}
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], addr)
		n := 4
		if b.Kind.Is64() {
			n = 8
		}
		c.Write(uint16(OffBAR0+4*index), raw[:n])
	}
}

// Reader is a configuration space that can be read.
type Reader interface {
	Read(off uint16, p []byte)
}

// Placement decodes where the registers of space put b and whether the command
// register lets it decode there. It is what a bus does after each write to the
// command register or a BAR.
func Placement(space Reader, b BAR) (addr uint64, enabled bool) {
	var raw [8]byte
	space.Read(OffCommand, raw[:2])
	command := binary.LittleEndian.Uint16(raw[:])
	n := 4
	if b.Kind.Is64() {
		n = 8
	}
	clear(raw[:])
	space.Read(uint16(OffBAR0+4*b.Index), raw[:n])
	addr = binary.LittleEndian.Uint64(raw[:]) &^ 15
	if b.Kind == IO {
		addr = uint64(binary.LittleEndian.Uint32(raw[:])) &^ 3
		return addr, command&CommandIO != 0
	}
	return addr, command&CommandMemory != 0
}
