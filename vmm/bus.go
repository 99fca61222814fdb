// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// handler is a device's register block on a bus. The offset is from the start
// of its range; p is 1 to 8 bytes and lies within the range. Both methods run
// in the thread of the vCPU that made the access, several at a time.
type handler interface {
	ReadIO(off uint64, p []byte)
	WriteIO(off uint64, p []byte)
}

// bus is an address space of register blocks: ports, or physical addresses.
// Lookups read an immutable sorted table, take no lock and allocate nothing;
// changes (a guest moves a BAR) copy it.
type bus struct {
	name  string
	mu    sync.Mutex // serialises insert and remove
	table atomic.Pointer[[]busEntry]
}

type busEntry struct {
	at span
	h  handler
}

func newBus(name string) *bus {
	b := &bus{name: name}
	b.table.Store(new([]busEntry))
	return b
}

// insert claims a range for h. It fails if another handler has part of it.
func (b *bus) insert(at span, h handler) error {
	if at.end <= at.start {
		return fmt.Errorf("%s bus: range [%#x, %#x) is empty or wraps around", b.name, at.start, at.end)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := *b.table.Load()
	i, _ := slices.BinarySearchFunc(old, at.start, compareEntry)
	for _, e := range old[max(i-1, 0):min(i+1, len(old))] {
		if at.start < e.at.end && e.at.start < at.end {
			return fmt.Errorf("%s bus: [%#x, %#x) overlaps [%#x, %#x)", b.name, at.start, at.end, e.at.start, e.at.end)
		}
	}
	table := slices.Insert(slices.Clone(old), i, busEntry{at, h})
	b.table.Store(&table)
	return nil
}

// remove gives up the range that begins at start. A vCPU that looked the
// handler up just before may still call it.
func (b *bus) remove(start uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := *b.table.Load()
	if i, found := slices.BinarySearchFunc(old, start, compareEntry); found {
		table := slices.Delete(slices.Clone(old), i, i+1)
		b.table.Store(&table)
	}
}

func compareEntry(e busEntry, addr uint64) int {
	switch {
	case e.at.start < addr:
		return -1
	case e.at.start > addr:
		return 1
	}
	return 0
}

// find returns the handler of an access and its offset there, or nil if the
// access is not wholly inside one range.
func (b *bus) find(addr uint64, n int) (handler, uint64) {
	table := *b.table.Load()
	lo, hi := 0, len(table)
	for lo < hi { // the last entry that starts at or below addr
		mid := int(uint(lo+hi) / 2)
		if table[mid].at.start <= addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil, 0
	}
	e := &table[lo-1]
	if !e.at.contains(addr, uint64(n)) {
		return nil, 0
	}
	return e.h, addr - e.at.start
}

// read answers an access of the guest; where nobody is, it reads all ones.
func (b *bus) read(addr uint64, p []byte) {
	h, off := b.find(addr, len(p))
	if h == nil {
		fillOnes(p)
		return
	}
	h.ReadIO(off, p)
}

// write passes an access on; where nobody is, it is lost.
func (b *bus) write(addr uint64, p []byte) {
	if h, off := b.find(addr, len(p)); h != nil {
		h.WriteIO(off, p)
	}
}

func fillOnes(p []byte) {
	for i := range p {
		p[i] = 0xff
	}
}
