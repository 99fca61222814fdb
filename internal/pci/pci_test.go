// SPDX-License-Identifier: Apache-2.0

package pci

import (
	"encoding/binary"
	"slices"
	"testing"
)

func newConfig(t *testing.T) *Config {
	t.Helper()
	c, err := NewConfig(
		Header{Vendor: 0x1af4, Device: 0x1053, Revision: 1, Class: 0xff0000, SubVendor: 0x1af4, SubDevice: 0x1100},
		[]BAR{{0, IO, 8}, {1, Mem32, 4096}, {2, Mem64, 0x4000}, {4, Mem64Prefetch, 8 << 30}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Config) u32(off uint16) uint32 {
	var b [4]byte
	c.Read(off, b[:])
	return binary.LittleEndian.Uint32(b[:])
}

func (c *Config) put32(off uint16, v uint32) {
	c.Write(off, binary.LittleEndian.AppendUint32(nil, v))
}

func TestHeaderIsReadOnly(t *testing.T) {
	c := newConfig(t)
	want := []uint32{0x10531af4, 0, 0xff000001, 0}
	for range 2 {
		for i, w := range want {
			if got := c.u32(uint16(4 * i)); got != w && i != 1 && i != 3 {
				t.Errorf("word %d is %#x, want %#x", i, got, w)
			}
		}
		for off := range uint16(64) {
			if off < OffBAR0 || off >= OffBAR0+24 {
				c.Write(off, []byte{0xff})
			}
		}
	}
	if got := c.u32(0x2c); got != 0x11001af4 {
		t.Errorf("subsystem %#x", got)
	}
	if got := c.Command(); got != CommandIO|CommandMemory|CommandMaster|1<<10 {
		t.Errorf("command %#x", got)
	}
}

func TestBARSizing(t *testing.T) {
	c := newConfig(t)
	for i := range 6 {
		c.put32(uint16(OffBAR0+4*i), 0xffffffff)
	}
	want := []uint32{0xfffffff9, 0xfffff000, 0xffffc004, 0xffffffff, 0x0000000c, 0xfffffffe}
	for i, w := range want {
		if got := c.u32(uint16(OffBAR0 + 4*i)); got != w {
			t.Errorf("BAR %d sizes to %#x, want %#x", i, got, w)
		}
	}
}

func TestPlacement(t *testing.T) {
	c := newConfig(t)
	c.SetBARAddr(0, 0xc000)
	c.SetBARAddr(4, 0x1234<<33)
	c.SetBARAddr(3, 1) // the upper half of BAR 2 is no BAR
	if a, on := c.Placement(0); a != 0xc000 || on {
		t.Errorf("%#x, %v", a, on)
	}
	c.Write(OffCommand, []byte{CommandMemory})
	if a, on := c.Placement(4); a != 0x1234<<33 || !on {
		t.Errorf("%#x, %v", a, on)
	}
	if _, on := c.Placement(0); on {
		t.Error("the I/O BAR decodes without its command bit")
	}
	if a, on := c.Placement(3); a != 0 || on {
		t.Error("a BAR that is none decodes")
	}
}

func TestBadBARs(t *testing.T) {
	for name, bars := range map[string][]BAR{
		"index 6":          {{6, Mem32, 4096}},
		"64-bit at 5":      {{5, Mem64, 4096}},
		"twice":            {{1, Mem32, 4096}, {1, IO, 8}},
		"over a pair":      {{2, Mem64, 4096}, {3, Mem32, 4096}},
		"size 3000":        {{0, Mem32, 3000}},
		"size 0":           {{0, Mem32, 0}},
		"4 GiB in 32 bit":  {{0, Mem32, 1 << 32}},
		"ports beyond 64K": {{0, IO, 1 << 16}},
	} {
		if _, err := NewConfig(Header{}, bars); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCapabilityList(t *testing.T) {
	c := newConfig(t)
	a, err := c.AddCapability(CapVendor, []byte{1, 2, 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.AddCapability(CapMSIX, make([]byte, 10), []byte{0xff, 0xc0})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for at := byte(c.u32(OffCapabilities)); at != 0; at = byte(c.u32(uint16(at)) >> 8) {
		got = append(got, at)
	}
	if !slices.Equal(got, []byte{byte(a), byte(b)}) || a%4 != 0 || b%4 != 0 {
		t.Errorf("list %v, want %d, %d", got, a, b)
	}
	c.put32(uint16(a), 0xffffffff)
	c.put32(uint16(b), 0xffffffff)
	if v := c.u32(uint16(a)); v != uint32(b)<<8|CapVendor|0x0201<<16 {
		t.Errorf("a read-only capability became %#x", v)
	}
	if v := c.u32(uint16(b)); v != 0xc0ff0000|CapMSIX {
		t.Errorf("writable bits: %#x", v)
	}
	if _, err := c.AddCapability(CapVendor, make([]byte, 200), nil); err == nil {
		t.Error("a capability past the end was accepted")
	}
}

func TestAccessAtTheEdges(t *testing.T) {
	c := newConfig(t)
	b := []byte{1, 2, 3, 4}
	c.Read(254, b)
	if !slices.Equal(b, []byte{0, 0, 0, 0}) {
		t.Errorf("past the end: %v", b)
	}
	c.Read(0xfff0, b)
	c.Write(0xffff, b)
	c.Write(254, b)
	c.Read(0, nil)
	c.Write(0, nil)
}

// sent records messages of an MSI-X table.
type sent []uint32

func newMSIX(t *testing.T, n int) (*MSIX, *sent) {
	t.Helper()
	s := new(sent)
	m, err := NewMSIX(n, func(addr uint64, data uint32) {
		if addr != 0xfee00000 {
			t.Errorf("address %#x", addr)
		}
		*s = append(*s, data)
	})
	if err != nil {
		t.Fatal(err)
	}
	for v := range n {
		e := make([]byte, 16)
		binary.LittleEndian.PutUint64(e, 0xfee00000)
		binary.LittleEndian.PutUint32(e[8:], uint32(100+v))
		e[12] = 1 // masked
		m.Access(uint64(v*16), e, true)
	}
	return m, s
}

func (s *sent) want(t *testing.T, what string, data ...uint32) {
	t.Helper()
	if !slices.Equal(*s, data) {
		t.Errorf("%s: sent %v, want %v", what, *s, data)
	}
	*s = nil
}

func TestMSIXMasksAndPends(t *testing.T) {
	m, s := newMSIX(t, 3)
	unmask := func(v int, masked byte) { m.Access(uint64(v*16+12), []byte{masked, 0, 0, 0}, true) }
	m.Fire(0)
	s.want(t, "disabled")
	m.SetControl(msixEnable)
	s.want(t, "what came while disabled is lost")
	m.Fire(1)
	s.want(t, "masked")
	pending := make([]byte, 8)
	if m.Access(m.PBAOffset(), pending, false); pending[0] != 2 {
		t.Errorf("pending bits %x", pending)
	}
	unmask(1, 0)
	s.want(t, "unmasked", 101)
	m.Fire(1)
	s.want(t, "open", 101)
	m.SetControl(msixEnable | msixMaskAll)
	m.Fire(1)
	m.Fire(1)
	s.want(t, "function masked")
	m.SetControl(msixEnable)
	s.want(t, "function unmasked", 101)
	m.Fire(3)
	m.Fire(0xffff)
	s.want(t, "no such vector")
	m.Access(m.PBAOffset(), []byte{0xff}, true)
	unmask(0, 0)
	unmask(2, 0)
	s.want(t, "pending bits cannot be written")
	m.Reset()
	m.Fire(1)
	s.want(t, "reset")
}

func TestMSIXGeometry(t *testing.T) {
	for _, n := range []int{1, 4, 64, 65, 129, MaxVectors} {
		m, err := NewMSIX(n, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.PBAOffset() < uint64(16*n) || m.BARSize() < m.PBAOffset()+uint64((n+63)/64*8) || m.BARSize()&(m.BARSize()-1) != 0 {
			t.Errorf("%d vectors: pending bits at %#x in %#x", n, m.PBAOffset(), m.BARSize())
		}
		body, _ := m.Capability(1)
		if got := int(binary.LittleEndian.Uint16(body)) + 1; got != n {
			t.Errorf("capability says %d vectors, want %d", got, n)
		}
	}
	for _, n := range []int{0, -1, MaxVectors + 1} {
		if _, err := NewMSIX(n, nil); err == nil {
			t.Errorf("%d vectors were accepted", n)
		}
	}
}

func TestMSIXOddAccesses(t *testing.T) {
	m, s := newMSIX(t, 2)
	m.SetControl(msixEnable)
	for off := range m.BARSize() + 8 {
		for n := range 9 {
			m.Access(off, make([]byte, n), false)
		}
	}
	m.Access(31, []byte{1, 2}, true) // over the end of the table
	m.Access(1<<63, []byte{1}, true) // far out
	m.Access(0, nil, true)
	s.want(t, "nothing")
}
