// SPDX-License-Identifier: Apache-2.0

// Package guestmem is the only way to the bytes of a guest's memory.
//
// A Memory is the guest-physical address space as devices see it: a few
// regions of host memory, each at a guest-physical address. Everything that a
// guest names by address goes through ReadAt, WriteAt, Check or Slice, which
// prove the whole range before touching any of it.
//
// # Faults
//
// Guest memory is a file mapping. A page of it can fail to appear (the host is
// out of memory, a file was truncated), which the kernel reports as SIGBUS and
// which would end the process. The copy routines turn such a fault into an
// *FaultError instead. Code that works on a Slice directly does the same with
//
//	defer guestmem.Recover(guestmem.Enter(), &err)
//
// # Life of a region
//
// Copies in flight pin their region. Remove takes the region out of the table
// and returns once the last of them has ended, so that the caller may unmap it.
// Slices are not pinned: whoever holds one must have stopped before Remove
// (devices are reset first).
//
// # Locking
//
// Memory.mu is held only by Add and Remove. Readers load an immutable table;
// no lock is taken and nothing is allocated on the copy paths.
package guestmem
