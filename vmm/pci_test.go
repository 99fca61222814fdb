// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"virtbinder/internal/pci"
)

// fakeFunction is a PCI function with one BAR of each kind.
type fakeFunction struct {
	*pci.Config
	placed []string // SetBARAddr calls
	access string   // the last BARAccess
}

var fakeBARs = []pci.BAR{
	{Index: 0, Kind: pci.IO, Size: 8},
	{Index: 1, Kind: pci.Mem32, Size: 0x1000},
	{Index: 2, Kind: pci.Mem64, Size: 0x4000},
	{Index: 4, Kind: pci.Mem64Prefetch, Size: 8 << 30},
}

func newFakeFunction(t *testing.T) *fakeFunction {
	t.Helper()
	c, err := pci.NewConfig(pci.Header{Vendor: 0x1234, Device: 0x5678}, fakeBARs)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeFunction{Config: c}
}

func (f *fakeFunction) ConfigRead(off uint16, p []byte)  { f.Config.Read(off, p) }
func (f *fakeFunction) ConfigWrite(off uint16, p []byte) { f.Config.Write(off, p) }
func (f *fakeFunction) BARs() []pci.BAR                  { return fakeBARs }
func (f *fakeFunction) BARAccess(bar int, off uint64, p []byte, write bool) {
	f.access = fmt.Sprintf("%d+%#x %d %v", bar, off, len(p), write)
}
func (f *fakeFunction) SetBARAddr(bar int, addr uint64, on bool) {
	f.placed = append(f.placed, fmt.Sprintf("%d at %#x %v", bar, addr, on))
}

// pciBench is a bus with a function in slot 1, driven through the ports.
type pciBench struct {
	t      *testing.T
	bus    *pciBus
	fn     *fakeFunction
	resets int
}

func newPCIBench(t *testing.T) *pciBench {
	t.Helper()
	b := &pciBench{t: t, fn: newFakeFunction(t)}
	var err error
	b.bus, err = newPCIBus(newBus("port"), newBus("memory"), testLayout(t, 1<<30, 40), func() { b.resets++ }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if slot, err := b.bus.add(b.fn); slot != 1 || err != nil {
		t.Fatalf("added in slot %d, %v", slot, err)
	}
	return b
}

func (b *pciBench) selectReg(slot, reg uint32) {
	b.bus.pio.write(pciAddressPort, binary.LittleEndian.AppendUint32(nil, pciConfigEnable|slot<<11|reg&^3))
}

func (b *pciBench) read(slot, reg uint32, n int) uint32 {
	var p [4]byte
	b.selectReg(slot, reg)
	b.bus.pio.read(uint64(pciDataPort+reg&3), p[:n])
	return binary.LittleEndian.Uint32(p[:])
}

func (b *pciBench) write(slot, reg uint32, v uint32, n int) {
	b.selectReg(slot, reg)
	b.bus.pio.write(uint64(pciDataPort+reg&3), binary.LittleEndian.AppendUint32(nil, v)[:n])
}

func TestPCIProbe(t *testing.T) {
	b := newPCIBench(t)
	for _, c := range []struct {
		slot, reg uint32
		n         int
		want      uint32
	}{
		{0, 0, 4, 0x0008_1b36}, {0, 10, 2, 0x0600}, {1, 0, 4, 0x5678_1234}, {1, 2, 2, 0x5678}, {1, 1, 1, 0x12},
		{2, 0, 4, 0xffff_ffff}, {31, 0, 2, 0xffff},
	} {
		if got := b.read(c.slot, c.reg, c.n); got != c.want {
			t.Errorf("slot %d register %#x is %#x, want %#x", c.slot, c.reg, got, c.want)
		}
	}
	var p [4]byte
	b.bus.pio.write(pciAddressPort, []byte{0, 8, 0, 0}) // without the enable bit
	b.bus.pio.read(pciDataPort, p[:])
	if p != [4]byte{0xff, 0xff, 0xff, 0xff} {
		t.Errorf("disabled mechanism answers % x", p)
	}
}

// TestPCIAssignment: each BAR has an aligned address in its window, and is decoded
// only once the command register says so.
func TestPCIAssignment(t *testing.T) {
	b := newPCIBench(t)
	l := b.bus.layout
	windows := map[int]span{0: l.pciIO, 1: l.pci32, 2: l.pci64, 4: l.pci64}
	for _, bar := range fakeBARs {
		addr := readBAR(b.fn, bar)
		if !windows[bar.Index].contains(addr, bar.Size) || addr%bar.Size != 0 {
			t.Errorf("BAR %d is at %#x", bar.Index, addr)
		}
	}
	if len(b.fn.placed) != 0 {
		t.Errorf("decoded before the guest asked for it: %v", b.fn.placed)
	}
	b.write(1, pciCommand, pciCommandIO|pciCommandMem, 2)
	if len(b.fn.placed) != len(fakeBARs) {
		t.Errorf("after the command: %v", b.fn.placed)
	}
	for _, bar := range fakeBARs {
		where := b.bus.mmio
		if bar.Kind == pci.IO {
			where = b.bus.pio
		}
		where.write(readBAR(b.fn, bar)+4, make([]byte, 2))
		if want := fmt.Sprintf("%d+0x4 2 true", bar.Index); b.fn.access != want {
			t.Errorf("access to BAR %d arrived as %q", bar.Index, b.fn.access)
		}
	}
}

// TestPCIMove follows a guest that sizes, moves and switches off a BAR.
func TestPCIMove(t *testing.T) {
	b := newPCIBench(t)
	b.write(1, pciCommand, pciCommandMem, 2)
	old := readBAR(b.fn, fakeBARs[1])
	b.fn.placed = nil
	b.write(1, pciBAR0+4, 0xffff_ffff, 4) // sizing with decoding on
	if got := b.read(1, pciBAR0+4, 4); got != 0xffff_f000 {
		t.Errorf("size reads %#x", got)
	}
	if h, _ := b.bus.mmio.find(old, 4); h != nil {
		t.Error("still decoded at the old place while sizing")
	}
	b.write(1, pciBAR0+4, 0xd000_0000, 4)
	if h, _ := b.bus.mmio.find(0xd000_0000, 4); h == nil {
		t.Error("not decoded at the new place")
	}
	b.write(1, pciCommand, 0, 2)
	if h, _ := b.bus.mmio.find(0xd000_0000, 4); h != nil {
		t.Error("decoded although switched off")
	}
	want := []string{fmt.Sprintf("1 at %#x false", old), "1 at 0xd0000000 true", "1 at 0xd0000000 false"}
	if got := slices.DeleteFunc(b.fn.placed, func(s string) bool { return s[0] != '1' }); !slices.Equal(got, want) {
		t.Errorf("moves %q, want %q", got, want)
	}
}

// TestPCIRefusesWrongPlaces: a guest cannot put a BAR over memory, the PC's own
// ports or another device.
func TestPCIRefusesWrongPlaces(t *testing.T) {
	b := newPCIBench(t)
	b.write(1, pciCommand, pciCommandIO|pciCommandMem, 2)
	b.fn.placed = nil
	b.write(1, pciBAR0, 0x60, 4)           // the keyboard controller's ports
	b.write(1, pciBAR0+4, 0x10_0000, 4)    // memory
	b.write(1, pciBAR0+4, ioapicAddr, 4)   // an interrupt chip
	b.write(1, pciBAR0+12, 0xffff_ffff, 4) // beyond the address space
	second := newFakeFunction(t)           // another device
	if _, err := b.bus.add(second); err != nil {
		t.Fatal(err)
	}
	b.write(2, pciCommand, pciCommandMem, 2)
	b.write(1, pciBAR0+4, uint32(readBAR(second, fakeBARs[1])), 4)
	for _, p := range b.fn.placed {
		if p[len(p)-4:] == "true" {
			t.Errorf("decoded: BAR %s", p)
		}
	}
}

func TestResetControl(t *testing.T) {
	b := newPCIBench(t)
	b.bus.pio.write(resetPort, []byte{2})
	if b.resets != 0 {
		t.Error("reset without bit 2")
	}
	b.bus.pio.write(resetPort, []byte{6})
	if b.resets != 1 {
		t.Error("no reset")
	}
	b.selectReg(1, 8)
	var p [4]byte
	b.bus.pio.read(pciAddressPort, p[:])
	if got := binary.LittleEndian.Uint32(p[:]); got != pciConfigEnable|1<<11|8 {
		t.Errorf("address port reads %#x", got)
	}
}
