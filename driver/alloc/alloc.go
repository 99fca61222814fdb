// SPDX-License-Identifier: Apache-2.0

// Package alloc divides a process's buffer window into ranges: best fit over the
// free ranges, the remainder split off, neighbours joined on free, and a second
// budget of half the window for oneway buffers, as the kernel's binder_alloc.c.
//
// It knows no locks, no memory and no clock: offsets in, offsets out. Every
// operation is O(log n) in the number of free ranges, however many are allocated,
// and allocates nothing once its tables have grown to the window's working set.
package alloc

import "errors"

// Align is the alignment of binder buffers, in bytes.
const Align = 8

// ErrNoSpace says that no free range is large enough, or that the oneway budget
// is used up. The kernel's errno for both is ENOSPC.
var ErrNoSpace = errors.New("no space left in the buffer window")

// Range names an allocated range by a small number that stays fixed until Free.
type Range int32

const (
	none  Range = 0 // nodes[0] is never used
	first Range = 1 // begins at 0: of two ranges that are joined the left one stays
)

// node is one range of the window, and if it is free a node of the tree.
type node struct {
	off, size   uint64
	prev, next  Range // neighbours by address
	left, right Range // children in the tree
	parent      Range
	red         bool
	free        bool
	async       bool
}

// Allocator divides one window. The zero value is one of no bytes. It is not safe
// for concurrent use.
type Allocator struct {
	size      uint64
	free      uint64
	asyncFree uint64
	nodes     []node
	spare     []Range
	root      Range // of the free ranges' tree
	begins    begins
	used      int
}

// Reset makes a an allocator of size bytes, all free. Every range is to be a multiple
// of align, a power of two, as size is.
func (a *Allocator) Reset(size, align uint64) {
	a.begins.reset(align)
	*a = Allocator{size: size, free: size, asyncFree: size / 2, nodes: append(a.nodes[:0], node{}), spare: a.spare[:0], begins: a.begins}
	if size > 0 {
		a.insert(a.newNode(node{size: size, free: true}))
	}
}

// Size is the window's size in bytes.
func (a *Allocator) Size() uint64 { return a.size }

// FreeBytes is what is not allocated. It may be in pieces.
func (a *Allocator) FreeBytes() uint64 { return a.free }

// AsyncFree is what is left of the oneway budget, in bytes.
func (a *Allocator) AsyncFree() uint64 { return a.asyncFree }

// Len is the number of allocated ranges.
func (a *Allocator) Len() int { return a.used }

// Alloc takes size bytes (a multiple of the alignment, not 0), from the oneway budget too
// when async. It returns the range and its offset in the window.
func (a *Allocator) Alloc(size uint64, async bool) (Range, uint64, error) {
	if async && a.asyncFree < size {
		return none, 0, ErrNoSpace
	}
	r := a.bestFit(size)
	if r == none {
		return none, 0, ErrNoSpace
	}
	if rest := a.nodes[r].size - size; rest > 0 {
		n := a.nodes[r]
		tail := a.newNode(node{off: n.off + size, size: rest, prev: r, next: n.next, free: true})
		if n.next != none {
			a.nodes[n.next].prev = tail
		}
		a.nodes[r].next, a.nodes[r].size = tail, size
		a.insert(tail)
	}
	a.remove(r) // after the insertion, as in the kernel
	n := &a.nodes[r]
	n.free, n.async = false, async
	a.free -= size
	if async {
		a.asyncFree -= size
	}
	a.used++
	a.begins.set(n.off, r)
	return r, n.off, nil
}

// Find returns the allocated range that starts exactly at off.
func (a *Allocator) Find(off uint64) (Range, bool) {
	r := a.begins.at(off)
	return r, r != none
}

// Bounds returns the offset and size of a range, in bytes.
func (a *Allocator) Bounds(r Range) (off, size uint64) { return a.nodes[r].off, a.nodes[r].size }

// Free gives an allocated range back and joins it with free neighbours.
func (a *Allocator) Free(r Range) {
	n := &a.nodes[r]
	a.begins.set(n.off, none)
	a.used--
	a.free += n.size
	if n.async {
		a.asyncFree += n.size
	}
	n.free, n.async = true, false
	if n.next != none && a.nodes[n.next].free {
		a.join(r, n.next)
	}
	if p := a.nodes[r].prev; p != none && a.nodes[p].free {
		a.remove(p)
		a.joinInto(p, r)
		r = p
	}
	a.insert(r)
}

// Each calls f for every allocated range in address order until it returns false.
func (a *Allocator) Each(f func(r Range, off, size uint64, async bool) bool) {
	for r := first; int(r) < len(a.nodes) && r != none; r = a.nodes[r].next {
		if n := &a.nodes[r]; !n.free && !f(r, n.off, n.size, n.async) {
			return
		}
	}
}

// join takes the free range next out of the tree and into r, its left neighbour.
func (a *Allocator) join(r, next Range) {
	a.remove(next)
	a.joinInto(r, next)
}

// joinInto adds next, which is in no tree, to its left neighbour r.
func (a *Allocator) joinInto(r, next Range) {
	n := a.nodes[next]
	a.nodes[r].size += n.size
	a.nodes[r].next = n.next
	if n.next != none {
		a.nodes[n.next].prev = r
	}
	a.spare = append(a.spare, next)
}

// bestFit finds the smallest free range that is large enough; of several, the one
// that is highest in the tree.
func (a *Allocator) bestFit(size uint64) Range {
	best := none
	for r := a.root; r != none; {
		n := &a.nodes[r]
		switch {
		case n.size == size:
			return r
		case n.size > size:
			best, r = r, n.left
		default:
			r = n.right
		}
	}
	return best
}

func (a *Allocator) newNode(n node) Range {
	n.left, n.right, n.parent = none, none, none
	if l := len(a.spare); l > 0 {
		r := a.spare[l-1]
		a.spare = a.spare[:l-1]
		a.nodes[r] = n
		return r
	}
	a.nodes = append(a.nodes, n)
	return Range(len(a.nodes) - 1)
}
