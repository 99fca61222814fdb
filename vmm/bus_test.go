// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"fmt"
	"testing"
)

// cell is a handler that knows its name and the last write.
type cell struct {
	name string
	last string
}

func (c *cell) ReadIO(off uint64, p []byte) {
	for i := range p {
		p[i] = byte(off) + byte(i)
	}
}

func (c *cell) WriteIO(off uint64, p []byte) { c.last = fmt.Sprintf("%s+%d % x", c.name, off, p) }

func TestBusDispatch(t *testing.T) {
	b := newBus("test")
	a, z, m := &cell{name: "a"}, &cell{name: "z"}, &cell{name: "m"}
	for _, e := range []struct {
		at span
		c  *cell
	}{{span{0x100, 0x108}, z}, {span{0x10, 0x18}, a}, {span{0x18, 0x20}, m}} {
		if err := b.insert(e.at, e.c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		addr uint64
		n    int
		want string // handler and offset; empty for nobody
	}{
		{0x0f, 1, ""}, {0x10, 1, "a+0"}, {0x17, 1, "a+7"}, {0x18, 4, "m+0"}, {0x1c, 4, "m+4"},
		{0x1e, 4, ""}, {0x16, 4, ""}, {0x20, 1, ""}, {0x100, 8, "z+0"}, {0x107, 1, "z+7"}, {0x108, 1, ""},
		{1<<64 - 1, 1, ""}, {1<<64 - 1, 8, ""}, {0, 8, ""},
	} {
		h, off := b.find(c.addr, c.n)
		got := ""
		if h != nil {
			got = fmt.Sprintf("%s+%d", h.(*cell).name, off)
		}
		if got != c.want {
			t.Errorf("access of %d at %#x goes to %q, want %q", c.n, c.addr, got, c.want)
		}
	}
	p := []byte{1, 2}
	b.read(0x50, p)
	if p[0] != 0xff || p[1] != 0xff {
		t.Errorf("nobody's address reads % x", p)
	}
	b.write(0x102, []byte{7})
	if z.last != "z+2 07" {
		t.Errorf("write went to %q", z.last)
	}
	b.remove(0x18)
	if h, _ := b.find(0x18, 1); h != nil {
		t.Error("a removed handler is still found")
	}
	if h, _ := b.find(0x10, 1); h != a {
		t.Error("remove took the neighbour")
	}
}

func TestBusRefusesOverlap(t *testing.T) {
	b := newBus("test")
	if err := b.insert(span{0x100, 0x200}, &cell{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []span{{0x100, 0x200}, {0xff, 0x101}, {0x1ff, 0x300}, {0x140, 0x150}, {0, 0x1000}, {0x10, 0x10}, {0x20, 0x10}} {
		if err := b.insert(s, &cell{}); err == nil {
			t.Errorf("[%#x, %#x) was accepted", s.start, s.end)
		}
	}
	for _, s := range []span{{0xf0, 0x100}, {0x200, 0x201}} {
		if err := b.insert(s, &cell{}); err != nil {
			t.Errorf("neighbour refused: %v", err)
		}
	}
}

// TestBusAllocatesNothing: an exit costs no garbage.
func TestBusAllocatesNothing(t *testing.T) {
	b := newBus("test")
	if err := b.insert(span{0x100, 0x200}, &cell{}); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() { b.read(0x104, p); b.read(0x1, p) }); n != 0 {
		t.Errorf("%v allocations an access", n)
	}
}
