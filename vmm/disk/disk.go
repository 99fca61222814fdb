// SPDX-License-Identifier: Apache-2.0

// Package disk opens what a guest's disk is kept in: raw image files and block
// devices.
//
// A disk is locked for as long as it is open, against other processes and other
// machines of this one: writers alone, readers together. The lock is on the open
// file (fcntl's OFD locks, which QEMU takes too) and ends with it.
//
// Formats with a structure of their own (qcow2 and the like) are refused by name
// rather than shown to the guest as they are: there is no well-kept Go library that
// could be used for them.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"virtbinder/vmm/image"
)

// Options say how to open a disk.
type Options struct {
	Path     string
	ReadOnly bool
	Direct   bool // past the host's page cache (O_DIRECT)
}

// Disk is an open disk. Its methods but Close may be called from any goroutine.
type Disk struct {
	file      *os.File
	path      string
	size      int64
	blockSize int
	readOnly  bool
}

// sector is the unit that guests count in.
const sector = 512

// zeroesSize is how much WriteZeroes writes at a time.
const zeroesSize = 1 << 20

// Open opens and locks a disk.
func Open(o Options) (*Disk, error) {
	flags := os.O_RDWR
	if o.ReadOnly {
		flags = os.O_RDONLY
	}
	if o.Direct {
		flags |= unix.O_DIRECT
	}
	f, err := os.OpenFile(o.Path, flags|unix.O_NONBLOCK, 0) // a named pipe must not hang us
	if errors.Is(err, unix.EINVAL) && o.Direct {
		return nil, fmt.Errorf("disk %s: its file system does no direct I/O: leave direct off", o.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	d := &Disk{file: f, path: o.Path, readOnly: o.ReadOnly}
	if err := d.prepare(o); err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

func (d *Disk) prepare(o Options) (err error) {
	if err := d.lock(); err != nil {
		return err
	}
	if d.size, err = d.measure(); err != nil {
		return err
	}
	if d.blockSize, err = d.findBlockSize(o.Direct); err != nil {
		return err
	}
	if d.size == 0 || d.size%int64(d.blockSize) != 0 {
		return d.isNot(fmt.Sprintf("%d bytes long", d.size), fmt.Sprintf("a multiple of %d bytes: is it cut off?", d.blockSize))
	}
	return d.checkFormat()
}

// isNot says what the file is and what a disk would be.
func (d *Disk) isNot(looks, want string) error {
	return &image.Error{Role: "disk", Path: d.path, Looks: looks, Want: want}
}

// lock keeps others out. Reading a disk that someone writes gives a broken file
// system, so a reader excludes writers.
func (d *Disk) lock() error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if d.readOnly {
		l.Type = unix.F_RDLCK
	}
	err := unix.FcntlFlock(d.file.Fd(), unix.F_OFD_SETLK, &l)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("disk %s is in use by another machine: stop that one first, or open the disk read-only in both", d.path)
	}
	if err != nil {
		return fmt.Errorf("disk %s: lock: %w", d.path, err)
	}
	return nil
}

// measure returns the size in bytes.
func (d *Disk) measure() (int64, error) {
	info, err := d.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("disk: %w", err)
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return info.Size(), nil
	case mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0:
		end, err := d.file.Seek(0, io.SeekEnd)
		if err != nil {
			return 0, fmt.Errorf("disk %s: size: %w", d.path, err)
		}
		return end, nil
	default:
		return 0, d.isNot("neither a file nor a block device ("+mode.Type().String()+")", "a raw disk image or a block device")
	}
}

// findBlockSize tries what direct I/O takes here; file systems differ, and only
// recent kernels tell.
func (d *Disk) findBlockSize(direct bool) (int, error) {
	if !direct {
		return sector, nil
	}
	buf, err := unix.Mmap(-1, 0, 2*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0, fmt.Errorf("disk %s: %w", d.path, err)
	}
	defer func() { _ = unix.Munmap(buf) }()
	for size := sector; size <= 4096; size *= 2 {
		if _, err = d.file.ReadAt(buf[:size], int64(size)); err == nil || errors.Is(err, io.EOF) {
			return size, nil
		}
	}
	return 0, fmt.Errorf("disk %s: direct I/O does not work here (%w): leave direct off", d.path, err)
}

// structured are the formats that hold a disk inside, and packed what has to be
// unpacked first.
var (
	structured = []image.Kind{image.Qcow2, image.VMDK, image.VHDX, image.VDI}
	packed     = []image.Kind{image.Gzip, image.XZ, image.Zstd, image.LZ4, image.Bzip2, image.Zip}
)

// checkFormat refuses files that are no raw disks. It reads through a file of its
// own: direct I/O has its rules.
func (d *Disk) checkFormat() error {
	f, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	defer f.Close()
	kind, err := image.Identify(f)
	if err != nil {
		return fmt.Errorf("disk: read %s: %w", d.path, err)
	}
	switch {
	case slices.Contains(structured, kind):
		return d.isNot(kind.String(), fmt.Sprintf("a raw disk: convert it with `qemu-img convert -O raw %s disk.raw`", d.path))
	case kind == image.AndroidSparse:
		return d.isNot(kind.String(), fmt.Sprintf("a raw disk: convert it with `simg2img %s disk.raw`", d.path))
	case slices.Contains(packed, kind):
		return d.isNot(kind.String(), "a raw disk: unpack it first")
	}
	return nil
}

// Size returns the number of bytes.
func (d *Disk) Size() int64 { return d.size }

// BlockSize returns the smallest unit of transfer.
func (d *Disk) BlockSize() int { return d.blockSize }

// ReadOnly reports how the disk was opened.
func (d *Disk) ReadOnly() bool { return d.readOnly }

// ReadAt reads.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) { return d.file.ReadAt(p, off) }

// WriteAt writes.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) { return d.file.WriteAt(p, off) }

// Sync makes what was written durable. The size never changes, so data is all.
func (d *Disk) Sync() error { return unix.Fdatasync(int(d.file.Fd())) }

// Discard gives space back to the host, where it can.
func (d *Disk) Discard(off, n int64) error {
	err := d.allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // it is a hint
	}
	return err
}

// WriteZeroes makes a range read as zeroes, by erasing it if the host can.
func (d *Disk) WriteZeroes(off, n int64, unmap bool) error {
	modes := []uint32{unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE}
	if unmap {
		modes = append([]uint32{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE}, modes...)
	}
	for _, mode := range modes {
		if err := d.allocate(mode, off, n); !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	zeroes, err := unix.Mmap(-1, 0, zeroesSize, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(zeroes) }()
	for end := off + n; off < end; off += zeroesSize {
		if _, err := d.file.WriteAt(zeroes[:min(zeroesSize, end-off)], off); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) allocate(mode uint32, off, n int64) error {
	if n == 0 {
		return nil
	}
	for {
		if err := unix.Fallocate(int(d.file.Fd()), mode, off, n); err != unix.EINTR {
			return err
		}
	}
}

// Close makes everything durable and releases the disk.
func (d *Disk) Close() error {
	var errs []error
	if !d.readOnly {
		if err := d.Sync(); err != nil {
			errs = append(errs, fmt.Errorf("disk %s: the last writes may be lost: %w", d.path, err))
		}
	}
	return errors.Join(append(errs, d.file.Close())...)
}
