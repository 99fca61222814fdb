// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"virtbinder/internal/pci"
)

// PCIFunction is a PCI device as the bus sees it; virtio.PCI is one.
type PCIFunction interface {
	// ConfigRead and ConfigWrite access the 256-byte type-0 configuration
	// space, BAR sizing included. p is 1, 2 or 4 bytes.
	ConfigRead(off uint16, p []byte)
	ConfigWrite(off uint16, p []byte)
	// BARs lists the base address registers in use; it does not change.
	BARs() []pci.BAR
	// BARAccess is a guest's access to a BAR; it runs in the vCPU's thread.
	BARAccess(bar int, off uint64, p []byte, write bool)
	// SetBARAddr tells where the bus decodes a BAR, or that it no longer does.
	SetBARAddr(bar int, addr uint64, enabled bool)
}

// pciBus is the machine's only PCI bus, reached through configuration mechanism
// #1: an address port and a data port. It assigns addresses to BARs as firmware
// would and follows the guest when that moves them.
//
// Lock: pciBus.mu is held over calls of ConfigWrite and SetBARAddr, so that two
// vCPUs cannot move one BAR at once; those may take the machine's memory-slot
// lock and the device's own, never pciBus.mu.
type pciBus struct {
	log       *slog.Logger
	pio, mmio *bus
	layout    layout
	reset     func() // the reset control register asks for it

	addr atomic.Uint32 // the address port

	mu    sync.Mutex
	slots [pciSlots]*pciSlot // invariant after set-up
	next  map[pci.Kind]uint64
}

// pciSlot is a function and where its BARs are decoded, guarded by pciBus.mu.
type pciSlot struct {
	number int
	fn     PCIFunction
	bars   []*placedBAR
}

type placedBAR struct {
	pci.BAR
	fn PCIFunction

	addr uint64 // what the function was told last
	on   bool
	// refused is the address at which something else was in the way, so that
	// the log says so once and not at each of the guest's writes.
	refused uint64
}

// ReadIO and WriteIO make a BAR a handler on the buses.
func (b *placedBAR) ReadIO(off uint64, p []byte) { b.fn.BARAccess(b.Index, off, p, false) }

// WriteIO passes a guest's write on.
func (b *placedBAR) WriteIO(off uint64, p []byte) { b.fn.BARAccess(b.Index, off, p, true) }

// Ports of configuration mechanism #1.
const (
	pciAddressPort = 0xcf8
	pciDataPort    = 0xcfc
	pciPorts       = 8

	pciConfigEnable = 1 << 31
	resetOffset     = resetPort - pciAddressPort
	resetNow        = 1 << 2
)

// Fields of configuration space that the bus watches.
const (
	pciCommand    = 0x04
	pciBAR0       = 0x10
	pciBAREnd     = 0x28
	pciCommandIO  = 1 << 0
	pciCommandMem = 1 << 1

	barIOMask  = ^uint64(0x3)
	barMemMask = ^uint64(0xf)

	pciIOFloor = 0x1000 // below are the PC's own ports
)

func newPCIBus(pio, mmio *bus, l layout, reset func(), log *slog.Logger) (*pciBus, error) {
	b := &pciBus{log: log, pio: pio, mmio: mmio, layout: l, reset: reset, next: map[pci.Kind]uint64{
		pci.IO: l.pciIO.start, pci.Mem32: l.pci32.start, pci.Mem64: l.pci64.start,
	}}
	b.slots[0] = &pciSlot{fn: hostBridge{}}
	return b, pio.insert(span{pciAddressPort, pciAddressPort + pciPorts}, b)
}

// add plugs a function into the next free slot and gives its BARs addresses.
// It is called before the guest runs.
func (b *pciBus) add(fn PCIFunction) (slot int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot = slices.Index(b.slots[:], nil)
	if slot < 0 {
		return 0, fmt.Errorf("the PCI bus is full: %d devices at most", pciSlots-1)
	}
	s := &pciSlot{number: slot, fn: fn}
	for _, bar := range fn.BARs() {
		addr, err := b.allocate(bar)
		if err != nil {
			return 0, fmt.Errorf("PCI slot %d, BAR %d: %w", slot, bar.Index, err)
		}
		writeBAR(fn, bar, addr)
		s.bars = append(s.bars, &placedBAR{BAR: bar, fn: fn})
	}
	b.slots[slot] = s
	b.followLocked(s)
	return slot, nil
}

// allocate takes a naturally aligned piece of the window for a BAR's kind.
func (b *pciBus) allocate(bar pci.BAR) (uint64, error) {
	kind, window := pci.Mem64, b.layout.pci64
	switch bar.Kind {
	case pci.IO:
		kind, window = pci.IO, b.layout.pciIO
	case pci.Mem32:
		kind, window = pci.Mem32, b.layout.pci32
	}
	if bar.Size == 0 || bar.Size&(bar.Size-1) != 0 {
		return 0, fmt.Errorf("size %#x is not a power of two", bar.Size)
	}
	addr := alignUp(b.next[kind], bar.Size)
	if !window.contains(addr, bar.Size) {
		return 0, fmt.Errorf("%#x bytes do not fit into the %v window [%#x, %#x)", bar.Size, bar.Kind, window.start, window.end)
	}
	b.next[kind] = addr + bar.Size
	return addr, nil
}

func writeBAR(fn PCIFunction, bar pci.BAR, addr uint64) {
	var p [4]byte
	off := uint16(pciBAR0 + 4*bar.Index)
	binary.LittleEndian.PutUint32(p[:], uint32(addr))
	fn.ConfigWrite(off, p[:])
	if bar.Kind.Is64() {
		binary.LittleEndian.PutUint32(p[:], uint32(addr>>32))
		fn.ConfigWrite(off+4, p[:])
	}
}

func readBAR(fn PCIFunction, bar pci.BAR) uint64 {
	var p [4]byte
	off := uint16(pciBAR0 + 4*bar.Index)
	fn.ConfigRead(off, p[:])
	addr := uint64(binary.LittleEndian.Uint32(p[:]))
	if bar.Kind.Is64() {
		fn.ConfigRead(off+4, p[:])
		addr |= uint64(binary.LittleEndian.Uint32(p[:])) << 32
	}
	if bar.Kind == pci.IO {
		return addr & barIOMask
	}
	return addr & barMemMask
}

// ReadIO answers the address and data ports.
func (b *pciBus) ReadIO(off uint64, p []byte) {
	fillOnes(p)
	if off < pciDataPort-pciAddressPort {
		var a [8]byte
		binary.LittleEndian.PutUint32(a[:], b.addr.Load())
		copy(p, a[off:4])
		return
	}
	if s, reg, ok := b.target(off, len(p)); ok {
		s.fn.ConfigRead(reg, p)
	}
}

// WriteIO takes writes to the address and data ports, and to the reset control
// register that lies among them.
func (b *pciBus) WriteIO(off uint64, p []byte) {
	switch {
	case off == 0 && len(p) == 4:
		b.addr.Store(binary.LittleEndian.Uint32(p))
	case off == resetOffset && len(p) == 1:
		if p[0]&resetNow != 0 {
			b.reset()
		}
	case off >= pciDataPort-pciAddressPort:
		if s, reg, ok := b.target(off, len(p)); ok {
			b.configWrite(s, reg, p)
		}
	}
}

// target returns the function and register that the address port and the offset
// of a data access name.
func (b *pciBus) target(off uint64, n int) (*pciSlot, uint16, bool) {
	a := b.addr.Load()
	lane := off - (pciDataPort - pciAddressPort)
	bus, fn, slot := a>>16&0xff, a>>8&7, a>>11&0x1f
	if a&pciConfigEnable == 0 || bus != 0 || fn != 0 || lane+uint64(n) > 4 || b.slots[slot] == nil {
		return nil, 0, false
	}
	return b.slots[slot], uint16(a&0xfc) + uint16(lane), true
}

func (b *pciBus) configWrite(s *pciSlot, reg uint16, p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.fn.ConfigWrite(reg, p)
	end := reg + uint16(len(p))
	if reg < pciCommand+2 && end > pciCommand || reg < pciBAREnd && end > pciBAR0 {
		b.followLocked(s)
	}
}

// followLocked makes the buses decode a function's BARs where its registers say.
// A BAR that points where no BAR may be, as during sizing, is not decoded.
func (b *pciBus) followLocked(s *pciSlot) {
	var cmd [2]byte
	s.fn.ConfigRead(pciCommand, cmd[:])
	command := binary.LittleEndian.Uint16(cmd[:])
	for _, bar := range s.bars {
		addr := readBAR(s.fn, bar.BAR)
		on := b.decodes(bar.BAR, addr, command)
		if on == bar.on && (!on || addr == bar.addr) {
			continue
		}
		b.moveLocked(s, bar, addr, on)
	}
}

func (b *pciBus) decodes(bar pci.BAR, addr uint64, command uint16) bool {
	if bar.Kind == pci.IO {
		return command&pciCommandIO != 0 && span{pciIOFloor, pciIOEnd}.contains(addr, bar.Size)
	}
	if command&pciCommandMem == 0 || addr&(bar.Size-1) != 0 {
		return false
	}
	return b.layout.pci32.contains(addr, bar.Size) || b.layout.pci64.contains(addr, bar.Size)
}

func (b *pciBus) moveLocked(s *pciSlot, bar *placedBAR, addr uint64, on bool) {
	where := b.mmio
	if bar.Kind == pci.IO {
		where = b.pio
	}
	if bar.on {
		bar.fn.SetBARAddr(bar.Index, bar.addr, false)
		where.remove(bar.addr)
		bar.on = false
	}
	bar.addr = addr
	if !on {
		return
	}
	if err := where.insert(span{addr, addr + bar.Size}, bar); err != nil {
		if bar.refused != addr {
			b.log.Warn("pci: the guest put a BAR where something else is; it is not decoded", "slot", s.number, "bar", bar.Index, "err", err)
		}
		bar.refused = addr
		return
	}
	bar.on = true
	bar.fn.SetBARAddr(bar.Index, addr, true)
}

// hostBridge is slot 0: what kernels look for to believe in a PCI bus.
type hostBridge struct{}

var hostBridgeConfig = [64]byte{
	0x00: 0x36, 0x01: 0x1b, // Red Hat
	0x02: 0x08, // generic host bridge
	0x0b: 0x06, // class: host bridge
}

func (hostBridge) ConfigRead(off uint16, p []byte) {
	clear(p)
	if int(off) < len(hostBridgeConfig) {
		copy(p, hostBridgeConfig[off:])
	}
}

func (hostBridge) ConfigWrite(uint16, []byte)               {}
func (hostBridge) BARs() []pci.BAR                          { return nil }
func (hostBridge) BARAccess(int, uint64, []byte, bool)      {}
func (hostBridge) SetBARAddr(bar int, addr uint64, on bool) {}
