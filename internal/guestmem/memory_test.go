// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"bytes"
	"errors"
	"math"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// twoRegions is memory with a seam at 0x3000 and a hole from 0x5000 to 0x9000.
func twoRegions(t testing.TB) *Memory {
	t.Helper()
	m := new(Memory)
	for gpa, n := range map[uint64]int{0x1000: 0x2000, 0x3000: 0x2000, 0x9000: 0x1000} {
		if err := m.Add(gpa, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestRanges(t *testing.T) {
	m := twoRegions(t)
	for _, c := range []struct {
		gpa, n       uint64
		check, slice bool
	}{
		{0x1000, 1, true, true},
		{0x1000, 0x2000, true, true},
		{0x2fff, 2, true, false}, // over the seam
		{0x1000, 0x4000, true, false},
		{0x1000, 0x4001, false, false},
		{0x4fff, 1, true, true},
		{0x5000, 1, false, false},
		{0xfff, 2, false, false},
		{0, 1, false, false},
		{0x9000, 0x1000, true, true},
		{0x9fff, 2, false, false},
		{math.MaxUint64, 2, false, false},
		{0x9000, math.MaxUint64, false, false},
	} {
		if got := m.Check(c.gpa, c.n); got != c.check {
			t.Errorf("Check(%#x, %#x) = %v", c.gpa, c.n, got)
		}
		if _, err := m.Slice(c.gpa, c.n); (err == nil) != c.slice {
			t.Errorf("Slice(%#x, %#x): %v", c.gpa, c.n, err)
		}
		if c.n > 0x10000 {
			continue
		}
		p := bytes.Repeat([]byte{0xaa}, int(c.n))
		werr, rerr := m.WriteAt(p, c.gpa), m.ReadAt(make([]byte, c.n), c.gpa)
		var re *RangeError
		if (werr == nil) != c.check || (rerr == nil) != c.check || werr != nil && !errors.As(werr, &re) {
			t.Errorf("copies at %#x, %#x: %v, %v", c.gpa, c.n, werr, rerr)
		}
	}
	if m.Size() != 0x5000 {
		t.Errorf("size %#x", m.Size())
	}
}

func TestCopyOverTheSeam(t *testing.T) {
	m := twoRegions(t)
	want := []byte("across two regions")
	if err := m.WriteAt(want, 0x2ff8); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if err := m.ReadAt(got, 0x2ff8); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	before := bytes.Clone(got)
	if err := m.WriteAt(make([]byte, 0x2000), 0x4000); err == nil {
		t.Error("a write into the hole")
	}
	if err := m.ReadAt(got, 0x2ff8); err != nil || !bytes.Equal(got, before) {
		t.Error("a refused write changed memory")
	}
}

func TestAddRefuses(t *testing.T) {
	m := twoRegions(t)
	b := make([]byte, 0x2000)
	for name, c := range map[string]struct {
		gpa  uint64
		host []byte
	}{
		"empty":              {0x20000, nil},
		"same place":         {0x1000, b[:8]},
		"overlap at the end": {0x4ff8, b[:16]},
		"around a region":    {0x8000, b},
		"odd address":        {0x20001, b},
		"odd length":         {0x20000, b[:9]},
		"odd host address":   {0x20000, b[1:9]},
		"wraps":              {math.MaxUint64 - 7, b},
	} {
		if err := m.Add(c.gpa, c.host); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRemoveWaitsForCopies(t *testing.T) {
	for range 50 {
		m := new(Memory)
		host, err := unix.Mmap(-1, 0, 1<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Add(0x1000, host); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				p := make([]byte, 1<<16)
				for m.ReadAt(p, 0x1000) == nil {
				}
			})
		}
		if err := m.Remove(0x1000); err != nil {
			t.Fatal(err)
		}
		if err := unix.Munmap(host); err != nil { // a copy in flight would fault now
			t.Fatal(err)
		}
		wg.Wait()
		if m.Remove(0x1000) == nil {
			t.Error("removed twice")
		}
	}
}

// TestFaultBecomesAnError cuts the file under a mapping short: touching the page
// is SIGBUS then.
func TestFaultBecomesAnError(t *testing.T) {
	fd, err := unix.MemfdCreate("guestmem", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "guestmem")
	defer f.Close()
	if err := f.Truncate(8192); err != nil {
		t.Fatal(err)
	}
	host, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(host)
	m := new(Memory)
	if err := m.Add(0, host); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	var fe *FaultError
	if err := m.ReadAt(make([]byte, 8), 4096); !errors.As(err, &fe) {
		t.Errorf("read: %v", err)
	}
	if err := m.WriteAt(make([]byte, 8), 4092); !errors.As(err, &fe) {
		t.Errorf("write: %v", err)
	}
	if err := m.ReadAt(make([]byte, 8), 0); err != nil {
		t.Errorf("a good page: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("another panic was swallowed")
		}
	}()
	func() (err error) {
		defer Recover(Enter(), &err)
		var none []int
		_ = none[len(host)]
		return nil
	}()
}

func TestCopiesAllocateNothing(t *testing.T) {
	m := twoRegions(t)
	p := make([]byte, 256)
	n := testing.AllocsPerRun(100, func() {
		if m.WriteAt(p, 0x2f80) != nil || m.ReadAt(p, 0x2f80) != nil {
			t.Fatal("copy failed")
		}
		if _, err := m.Slice(0x1000, 64); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRead(b *testing.B) {
	m := twoRegions(b)
	p := make([]byte, 44)
	for b.Loop() {
		if err := m.ReadAt(p, 0x1000); err != nil {
			b.Fatal(err)
		}
	}
}
