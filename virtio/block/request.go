// SPDX-License-Identifier: Apache-2.0

package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"virtbinder/virtio"
)

// Requests.
const (
	requestRead        = 0
	requestWrite       = 1
	requestFlush       = 4
	requestGetID       = 8
	requestDiscard     = 11
	requestWriteZeroes = 13
)

// Answers.
const (
	statusOK          = 0
	statusError       = 1
	statusUnsupported = 2
)

const (
	headerSize   = 16
	statusSize   = 1
	eraseEntry   = 16 // a range of a discard or of zeroes
	eraseUnmap   = 1  // its flag
	bounceSize   = 256 << 10
	bounceAlign  = 4096
	loggedErrors = 8 // of one device; the guest must not fill the log
)

// header is what a request begins with.
type header struct {
	kind   uint32
	sector uint64
}

// errUnsupported is a request that this disk does not know.
var errUnsupported = errors.New("not supported")

// serve executes the request in w.chain and returns how many bytes it wrote. A
// chain without room for a status cannot be answered at all.
func (w *worker) serve() (written uint32) {
	c := &w.chain
	room := c.Writable() - statusSize
	if room < 0 {
		w.dev.failed(header{}, errors.New("the request has no room for a status"))
		return 0
	}
	h, n, err := w.execute(room)
	status := byte(statusOK)
	switch {
	case errors.Is(err, errUnsupported):
		status = statusUnsupported
	case err != nil:
		status = statusError
	}
	if err != nil {
		w.dev.failed(h, err)
	}
	if err := c.WriteAt([]byte{status}, room); err != nil {
		return 0
	}
	return uint32(n + statusSize)
}

// execute does what the request says. The room for data that goes to the guest is
// given; n is how much of it was filled.
func (w *worker) execute(room int) (h header, n int, err error) {
	var raw [headerSize]byte
	if err := w.chain.ReadAt(raw[:], 0); err != nil {
		return h, 0, err
	}
	h.kind = binary.LittleEndian.Uint32(raw[0:])
	h.sector = binary.LittleEndian.Uint64(raw[8:])
	if w.buf == nil {
		w.buf = alignedBuffer()
	}
	w.dev.count.request(h.kind)
	payload := w.chain.Readable() - headerSize
	switch h.kind {
	case requestRead:
		n, err = w.read(h.sector, room)
	case requestWrite:
		err = w.write(h.sector, payload)
	case requestFlush:
		err = w.flush()
	case requestGetID:
		n, err = w.getID(room)
	case requestDiscard, requestWriteZeroes:
		err = w.erase(h.kind, payload)
	default:
		err = errUnsupported
	}
	return h, n, err
}

// extent proves that n bytes from a sector on are on the disk, in whole blocks.
func (d *Device) extent(sector uint64, n int64) (off int64, err error) {
	if sector > d.sectors || uint64(n+SectorSize-1)/SectorSize > d.sectors-sector {
		return 0, fmt.Errorf("%d bytes at sector %d: the disk has %d sectors", n, sector, d.sectors)
	}
	off = int64(sector) * SectorSize
	if n%int64(d.blockSize) != 0 || off%int64(d.blockSize) != 0 {
		return 0, fmt.Errorf("%d bytes at sector %d: not whole blocks of %d bytes", n, sector, d.blockSize)
	}
	return off, nil
}

func (w *worker) read(sector uint64, n int) (int, error) {
	off, err := w.dev.extent(sector, int64(n))
	if err != nil {
		return 0, err
	}
	for done := 0; done < n; {
		part := w.buf[:min(bounceSize, n-done)]
		if _, err := w.dev.cfg.Backend.ReadAt(part, off+int64(done)); err != nil {
			return done, err
		}
		if err := w.chain.WriteAt(part, done); err != nil {
			return done, err
		}
		done += len(part)
	}
	w.dev.count.readBytes.Add(uint64(n))
	return n, nil
}

func (w *worker) write(sector uint64, n int) error {
	if w.dev.readOnly {
		return errReadOnly
	}
	off, err := w.dev.extent(sector, int64(n))
	if err != nil {
		return err
	}
	for done := 0; done < n; {
		part := w.buf[:min(bounceSize, n-done)]
		if err := w.chain.ReadAt(part, headerSize+done); err != nil {
			return err
		}
		if _, err := w.dev.cfg.Backend.WriteAt(part, off+int64(done)); err != nil {
			return err
		}
		done += len(part)
	}
	w.dev.count.writtenBytes.Add(uint64(n))
	return w.settle()
}

var errReadOnly = errors.New("the disk is read-only")

// flush makes what was written durable. On a read-only disk nothing was.
func (w *worker) flush() error {
	if w.dev.readOnly {
		return nil
	}
	return w.dev.cfg.Backend.Sync()
}

// settle makes a change durable before it is answered, if the driver does not
// flush.
func (w *worker) settle() error {
	if w.dev.writeback.Load() {
		return nil
	}
	return w.dev.cfg.Backend.Sync()
}

func (w *worker) getID(room int) (int, error) {
	if room < maxID {
		return 0, fmt.Errorf("%d bytes of room for an id of %d", room, maxID)
	}
	var id [maxID]byte
	copy(id[:], w.dev.cfg.ID)
	return maxID, w.chain.WriteAt(id[:], 0)
}

// erase serves discards and zeroes: a list of ranges, all proved before the first
// is touched.
func (w *worker) erase(kind uint32, n int) error {
	if w.dev.readOnly {
		return errReadOnly
	}
	if n <= 0 || n%eraseEntry != 0 || n/eraseEntry > eraseSegments {
		return fmt.Errorf("a list of ranges of %d bytes", n)
	}
	list := w.buf[:n]
	if err := w.chain.ReadAt(list, headerSize); err != nil {
		return err
	}
	for b := list; len(b) > 0; b = b[eraseEntry:] {
		if _, err := w.dev.eraseRange(kind, b); err != nil {
			return err
		}
	}
	for b := list; len(b) > 0; b = b[eraseEntry:] {
		r, _ := w.dev.eraseRange(kind, b) // the bytes are ours: proved above
		var err error
		if kind == requestDiscard {
			err = w.dev.cfg.Backend.Discard(r.off, r.n)
		} else {
			err = w.dev.cfg.Backend.WriteZeroes(r.off, r.n, r.unmap)
		}
		if err != nil {
			return err
		}
	}
	return w.settle()
}

// erasure is one range, in bytes.
type erasure struct {
	off, n int64
	unmap  bool
}

func (d *Device) eraseRange(kind uint32, b []byte) (r erasure, err error) {
	sector, count := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
	flags := binary.LittleEndian.Uint32(b[12:])
	if count > eraseSectors {
		return r, fmt.Errorf("a range of %d sectors; %d is the most", count, eraseSectors)
	}
	if flags&^eraseUnmap != 0 || flags != 0 && kind == requestDiscard {
		return r, errUnsupported
	}
	r.n, r.unmap = int64(count)*SectorSize, flags&eraseUnmap != 0
	r.off, err = d.extent(sector, r.n)
	return r, err
}

// failed counts a request that was not served, and logs the first few.
func (d *Device) failed(h header, err error) {
	if errors.Is(err, virtio.ErrReset) || d.count.failures.Add(1) > loggedErrors {
		return
	}
	d.log.Warn("a request failed", "disk", d.cfg.ID, "type", h.kind, "sector", h.sector, "err", err)
}

// alignedBuffer returns memory that direct I/O takes.
func alignedBuffer() []byte {
	b := make([]byte, bounceSize+bounceAlign)
	skip := -uintptr(unsafe.Pointer(&b[0])) % bounceAlign
	return b[skip : skip+bounceSize : skip+bounceSize]
}
