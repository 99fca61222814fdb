// SPDX-License-Identifier: Apache-2.0

package alloc

import (
	"math/rand"
	"slices"
	"sort"
	"testing"
)

// naive is the twin that the allocator is checked against: a list of ranges and
// a linear search.
type naive struct {
	size, async uint64
	used        []span
}

type span struct {
	off, size uint64
	async     bool
}

// alloc says whether there is room, and takes the range at got, which must be one of
// the smallest that are large enough.
func (n *naive) alloc(size uint64, async bool, got uint64) (fits, best bool) {
	if async && n.async < size {
		return false, false
	}
	bestSize, gotSize, pos := ^uint64(0), uint64(0), uint64(0)
	sort.Slice(n.used, func(i, j int) bool { return n.used[i].off < n.used[j].off })
	for i := 0; i <= len(n.used); i++ {
		end := n.size
		if i < len(n.used) {
			end = n.used[i].off
		}
		gap := end - pos
		if gap >= size {
			bestSize = min(bestSize, gap)
		}
		if pos == got && gap > 0 {
			gotSize = gap
		}
		if i < len(n.used) {
			pos = n.used[i].off + n.used[i].size
		}
	}
	if bestSize == ^uint64(0) {
		return false, false
	}
	n.used = append(n.used, span{got, size, async})
	if async {
		n.async -= size
	}
	return true, gotSize == bestSize
}

func (n *naive) free(off uint64) {
	for i, s := range n.used {
		if s.off == off {
			if s.async {
				n.async += s.size
			}
			n.used = append(n.used[:i], n.used[i+1:]...)
			return
		}
	}
}

// TestAgainstNaive runs random programs on the allocator and on its twin.
func TestAgainstNaive(t *testing.T) {
	for seed := int64(0); seed < 50; seed++ {
		rnd := rand.New(rand.NewSource(seed))
		const size = 1 << 14
		var a Allocator
		a.Reset(size, Align)
		n := &naive{size: size, async: size / 2}
		var live []uint64
		for step := 0; step < 2000; step++ {
			if len(live) > 0 && rnd.Intn(5) < 2 {
				i := rnd.Intn(len(live))
				r, ok := a.Find(live[i])
				if !ok {
					t.Fatalf("seed %d step %d: lost range at %#x", seed, step, live[i])
				}
				a.Free(r)
				n.free(live[i])
				if _, ok := a.Find(live[i]); ok {
					t.Fatalf("seed %d step %d: a freed range is found at %#x", seed, step, live[i])
				}
				live = append(live[:i], live[i+1:]...)
				continue
			}
			sz := uint64(1+rnd.Intn(64)) * Align
			async := rnd.Intn(3) == 0
			_, off, err := a.Alloc(sz, async)
			fits, best := n.alloc(sz, async, off)
			if (err == nil) != fits || fits && !best {
				t.Fatalf("seed %d step %d: alloc %d: got %#x, %v; fits %v, best fit %v", seed, step, sz, off, err, fits, best)
			}
			if fits {
				live = append(live, off)
			}
			a.checkTree(t, a.root)
			a.checkEach(t, live)
		}
		for _, off := range live {
			r, _ := a.Find(off)
			a.Free(r)
		}
		if a.Len() != 0 || a.AsyncFree() != size/2 {
			t.Fatalf("seed %d: %d ranges left, oneway budget %d", seed, a.Len(), a.AsyncFree())
		}
		if _, off, err := a.Alloc(size, false); err != nil || off != 0 {
			t.Fatalf("seed %d: the window did not come back whole: %v", seed, err)
		}
	}
}

// checkEach checks that the allocated ranges are found by their offsets and in their
// order, and no others are.
func (a *Allocator) checkEach(t *testing.T, offs []uint64) {
	var got []uint64
	a.Each(func(r Range, off, _ uint64, _ bool) bool {
		if found, ok := a.Find(off); !ok || found != r {
			t.Fatalf("range %d begins at %#x, where %d is found", r, off, found)
		}
		got = append(got, off)
		return true
	})
	if want := slices.Sorted(slices.Values(offs)); !slices.Equal(got, want) {
		t.Fatalf("ranges at %#x, want %#x", got, want)
	}
	for _, off := range offs {
		for _, inside := range []uint64{off + 1, off + Align/2, a.size + off, ^off} {
			if _, ok := a.Find(inside); ok {
				t.Fatalf("a range is found at %#x", inside)
			}
		}
	}
}

// checkTree checks that a tree is red-black, and returns the black nodes of a path.
func (a *Allocator) checkTree(t *testing.T, r Range) int {
	if r == none {
		return 1
	}
	n := &a.nodes[r]
	for _, c := range []Range{n.left, n.right} {
		if c != none && a.nodes[c].parent != r || n.red && a.red(c) {
			t.Fatalf("range %d has a child %d that it should not", r, c)
		}
	}
	black := a.checkTree(t, n.left)
	if black != a.checkTree(t, n.right) {
		t.Fatalf("range %d: paths of different black length", r)
	}
	if !n.red {
		black++
	}
	return black
}

func TestFindOnlyExactStart(t *testing.T) {
	var a Allocator
	a.Reset(4096, Align)
	_, off, _ := a.Alloc(64, false)
	if _, ok := a.Find(off + 8); ok {
		t.Error("found a range at an address inside it")
	}
	if _, ok := a.Find(64); ok {
		t.Error("found the free remainder")
	}
}

// BenchmarkAllocFree is the steady state: one buffer taken and given back beside
// many small ones that stay.
func BenchmarkAllocFree(b *testing.B) {
	var a Allocator
	a.Reset(1<<20, Align)
	for i := 0; i < 10000; i++ {
		if _, _, err := a.Alloc(64, false); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r, _, _ := a.Alloc(128, false)
		a.Free(r)
	}
}
