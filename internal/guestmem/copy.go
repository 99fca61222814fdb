// SPDX-License-Identifier: Apache-2.0

package guestmem

import "fmt"

// RangeError says that a guest named memory that it does not have.
type RangeError struct {
	GPA uint64 // first byte of the range
	Len uint64 // length of the range in bytes
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("guest memory: [%#x, +%#x) is not in guest RAM", e.GPA, e.Len)
}

// Check reports whether all n bytes from gpa on are guest memory. An empty range
// is, wherever it lies. Adjacent regions count as one.
func (m *Memory) Check(gpa, n uint64) bool {
	for n > 0 {
		r := m.find(gpa)
		if r == nil {
			return false
		}
		here := r.end() - gpa
		if here >= n {
			return true
		}
		gpa, n = gpa+here, n-here
	}
	return true
}

// ReadAt fills p from guest memory at gpa. It fails with a *RangeError, before
// copying anything, if some of the range is no guest memory, and with a
// *FaultError if a page could not be read.
func (m *Memory) ReadAt(p []byte, gpa uint64) error { return m.copyRange(p, gpa, false) }

// WriteAt copies p into guest memory at gpa. It fails as ReadAt does.
func (m *Memory) WriteAt(p []byte, gpa uint64) error { return m.copyRange(p, gpa, true) }

func (m *Memory) copyRange(p []byte, gpa uint64, write bool) error {
	if r := m.find(gpa); r != nil && uint64(len(p)) <= r.end()-gpa && r.enter() { // nearly always
		_, err := copyRegion(r, p, gpa, write)
		r.leave()
		return err
	}
	if !m.Check(gpa, uint64(len(p))) {
		return &RangeError{GPA: gpa, Len: uint64(len(p))}
	}
	for len(p) > 0 {
		r := m.find(gpa)
		if r == nil || !r.enter() { // removed since Check
			return &RangeError{GPA: gpa, Len: uint64(len(p))}
		}
		n, err := copyRegion(r, p, gpa, write)
		r.leave()
		if err != nil {
			return err
		}
		p, gpa = p[n:], gpa+uint64(n)
	}
	return nil
}

// copyRegion copies as much of p as the pinned region r holds from gpa on.
func copyRegion(r *region, p []byte, gpa uint64, write bool) (n int, err error) {
	defer Recover(Enter(), &err)
	host := r.host[gpa-r.gpa:]
	if write {
		return copy(host, p), nil
	}
	return copy(p, host), nil
}

// Slice returns the n bytes of host memory behind gpa. The range must lie in one
// region. The guest may change the bytes at any moment, and the slice is not
// pinned (see the package comment): use it for ring indices and the like, never
// to hold what a decision depends on.
func (m *Memory) Slice(gpa, n uint64) ([]byte, error) {
	r := m.find(gpa)
	if r == nil || n > r.end()-gpa {
		return nil, &RangeError{GPA: gpa, Len: n}
	}
	off := gpa - r.gpa
	return r.host[off : off+n : off+n], nil
}
