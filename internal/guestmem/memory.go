// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Alignment is what Add demands of a region's guest address, host address and
// length, in bytes. It makes a field that is naturally aligned in guest memory
// naturally aligned in host memory too.
const Alignment = 8

// Memory is a guest-physical address space. The zero value is empty and ready
// to use; all methods may be called from any goroutine.
type Memory struct {
	mu    sync.Mutex // serialises Add and Remove
	table atomic.Pointer[[]*region]
}

// region is one mapped piece. All fields but the counters are invariant after
// Add.
type region struct {
	gpa  uint64
	host []byte

	copies  atomic.Int64 // copies in flight
	removed atomic.Bool
}

func (r *region) end() uint64 { return r.gpa + uint64(len(r.host)) }

// enter pins the region for one copy; it fails once Remove has begun.
func (r *region) enter() bool {
	r.copies.Add(1)
	if r.removed.Load() {
		r.copies.Add(-1)
		return false
	}
	return true
}

func (r *region) leave() { r.copies.Add(-1) }

// Add maps host at guest-physical address gpa. The slice must stay mapped until
// Remove has returned. It fails when the region is empty, not aligned to
// Alignment, wraps around the address space or overlaps another.
func (m *Memory) Add(gpa uint64, host []byte) error {
	n := uint64(len(host))
	if n == 0 {
		return fmt.Errorf("guestmem: region at %#x is empty", gpa)
	}
	if gpa%Alignment != 0 || n%Alignment != 0 || uintptr(unsafe.Pointer(&host[0]))%Alignment != 0 {
		return fmt.Errorf("guestmem: region at %#x, %d bytes: not aligned to %d bytes", gpa, n, Alignment)
	}
	if gpa+n < gpa {
		return fmt.Errorf("guestmem: region at %#x, %d bytes: wraps around", gpa, n)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.regions()
	for _, r := range old {
		if gpa < r.end() && r.gpa < gpa+n {
			return fmt.Errorf("guestmem: region [%#x, %#x) overlaps [%#x, %#x)", gpa, gpa+n, r.gpa, r.end())
		}
	}
	table := append(slices.Clone(old), &region{gpa: gpa, host: host})
	slices.SortFunc(table, func(a, b *region) int {
		if a.gpa < b.gpa {
			return -1
		}
		return 1
	})
	m.table.Store(&table)
	return nil
}

// Remove takes the region that begins at gpa out of the address space and waits
// for the copies in flight. When it has returned, the host memory may be
// unmapped, provided nobody holds a Slice of it.
func (m *Memory) Remove(gpa uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.regions()
	i := slices.IndexFunc(old, func(r *region) bool { return r.gpa == gpa })
	if i < 0 {
		return fmt.Errorf("guestmem: no region begins at %#x", gpa)
	}
	gone := old[i]
	table := slices.Delete(slices.Clone(old), i, i+1)
	m.table.Store(&table)
	gone.removed.Store(true)
	for gone.copies.Load() != 0 {
		runtime.Gosched() // a copy is bounded by what one chain can name
	}
	return nil
}

// Size returns the number of bytes in all regions.
func (m *Memory) Size() uint64 {
	var n uint64
	for _, r := range m.regions() {
		n += uint64(len(r.host))
	}
	return n
}

func (m *Memory) regions() []*region {
	if t := m.table.Load(); t != nil {
		return *t
	}
	return nil
}

// find returns the region that holds gpa, or nil.
func (m *Memory) find(gpa uint64) *region {
	for _, r := range m.regions() { // two or three regions: a scan beats a search
		if gpa >= r.gpa && gpa-r.gpa < uint64(len(r.host)) {
			return r
		}
	}
	return nil
}
