// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"virtbinder/driver/alloc"
	"virtbinder/internal/guestmem"
	"virtbinder/internal/lockrank"
)

const pageSize = 4096

// errWindow is what a process gets when the VM's window has no room for it.
var errWindow = fmt.Errorf("the buffer window is full: %w", unix.ENOMEM)

// window is a driver.Window over one sparse memfd, which the guest maps as the
// device's shared-memory region. Its size is sealed, so that no access of ours can
// lie beyond its end. Pages are committed when first touched and dropped by
// Release. The limit counts reserved bytes, as each of them may come to be
// touched; a hostile guest kernel can touch unreserved ones too, which only a
// limit on the whole process (a memory cgroup) bounds.
type window struct {
	// Invariant after newWindow.
	file  *os.File
	bytes []byte
	limit uint64 // bytes that may be reserved

	rangesMu lockrank.Mutex
	ranges   alloc.Allocator
	reserved uint64
	failed   uint64
}

// newWindow makes a window of size bytes of which at most limit may be reserved.
func newWindow(name string, size, limit uint64) (*window, error) {
	fd, err := unix.MemfdCreate("vbinder:"+name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	w := &window{file: os.NewFile(uintptr(fd), "vbinder window"), limit: limit}
	w.rangesMu.Init(lockrank.Device, "vbinder.window.rangesMu")
	if err := w.mapFile(size); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	w.ranges.Reset(size, pageSize)
	return w, nil
}

func (w *window) mapFile(size uint64) error {
	fd := int(w.file.Fd())
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return fmt.Errorf("ftruncate to %d bytes: %w", size, err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	b, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("mmap of %d bytes: %w", size, err)
	}
	w.bytes = b
	return nil
}

func (w *window) close() error {
	b := w.bytes
	w.bytes = nil
	if b == nil {
		return nil
	}
	return errors.Join(unix.Munmap(b), w.file.Close())
}

// Reserve is driver.Window's.
func (w *window) Reserve(size uint64) (off uint64, err error) {
	w.rangesMu.Lock()
	defer w.rangesMu.Unlock()
	if size == 0 || size%pageSize != 0 {
		return 0, fmt.Errorf("a buffer window of %d bytes is not a number of pages: %w", size, unix.EINVAL)
	}
	if size > w.limit-w.reserved {
		w.failed++
		return 0, errWindow
	}
	if _, off, err = w.ranges.Alloc(size, false); err != nil {
		w.failed++
		return 0, errWindow
	}
	w.reserved += size
	return off, nil
}

// Release is driver.Window's. The range is free for reuse only after its memory
// was dropped.
func (w *window) Release(off, size uint64) {
	if w.Bytes(off, size) == nil || !w.holds(off, size) {
		return
	}
	w.drop(off, size)
	w.rangesMu.Lock()
	defer w.rangesMu.Unlock()
	if r, ok := w.ranges.Find(off); ok {
		w.ranges.Free(r)
		w.reserved -= size
	}
}

// renew takes every range back from a VM that was lost.
func (w *window) renew() {
	w.drop(0, uint64(len(w.bytes)))
	w.rangesMu.Lock()
	defer w.rangesMu.Unlock()
	w.ranges.Reset(uint64(len(w.bytes)), pageSize)
	w.reserved = 0
}

func (w *window) holds(off, size uint64) bool {
	w.rangesMu.Lock()
	defer w.rangesMu.Unlock()
	r, ok := w.ranges.Find(off)
	if !ok {
		return false
	}
	_, have := w.ranges.Bounds(r)
	return have == size
}

// drop makes a range read as zero and gives its memory back; if the hole cannot
// be punched, at least the bytes go.
func (w *window) drop(off, size uint64) {
	const hole = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	for {
		err := unix.Fallocate(int(w.file.Fd()), hole, int64(off), int64(size))
		if err == nil {
			return
		}
		if err != unix.EINTR {
			break
		}
	}
	_ = w.Copy(func() error { clear(w.Bytes(off, size)); return nil })
}

// Bytes is driver.Window's; nil for a range outside the window.
func (w *window) Bytes(off, size uint64) []byte {
	n := uint64(len(w.bytes))
	if size > n || off > n-size {
		return nil
	}
	return w.bytes[off : off+size : off+size]
}

// Copy is driver.Window's.
func (w *window) Copy(f func() error) (err error) {
	defer guestmem.Recover(guestmem.Enter(), &err)
	return f()
}

// usage returns the bytes reserved now and the number of failed reservations.
func (w *window) usage() (reserved, failed uint64) {
	w.rangesMu.Lock()
	defer w.rangesMu.Unlock()
	return w.reserved, w.failed
}
