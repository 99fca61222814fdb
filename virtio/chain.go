// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// MaxChain is the largest number of descriptors in a chain, indirect ones
// included.
const MaxChain = 64

// errChainInUse is a bug in a device: Pop into a Chain that was not pushed.
var errChainInUse = errors.New("virtio: Pop into a chain that is still in use")

// Chain is one request taken from a queue: a readable part, written by the
// driver, followed by a writable part for the answer. The caller owns it, may
// reuse it after Push, and must not copy it between Pop and Push. The zero value
// is ready for Pop. Its methods may be called from any goroutine, but not while
// Pop or Push runs on it.
//
// A Chain holds addresses, not bytes: the guest can change readable bytes at any
// time, so copy once what a decision depends on.
type Chain struct {
	queue    *Queue // nil before the first Pop and after Push
	head     uint16 // first descriptor: its name in the used ring
	nread    int    // segments that are readable; the rest are writable
	nseg     int
	readable int // bytes
	writable int // bytes
	seg      [MaxChain]segment
}

// segment is a range that was proved to be guest memory.
type segment struct {
	gpa uint64
	len uint32
}

// Readable returns the number of bytes that the driver wrote.
func (c *Chain) Readable() int { return c.readable }

// Writable returns the number of bytes that the device may write.
func (c *Chain) Writable() int { return c.writable }

// Taken reports whether the chain holds a request that was not pushed yet.
func (c *Chain) Taken() bool { return c.queue != nil }

// ReadAt fills p from the readable part, from byte off on. All of p must lie
// within it. It fails with ErrReset if the queue was reset since Pop.
func (c *Chain) ReadAt(p []byte, off int) error {
	if off < 0 || len(p) > c.readable-off {
		return fmt.Errorf("virtio: read of %d bytes at %d in a readable part of %d", len(p), off, c.readable)
	}
	return c.copyPart(c.seg[:c.nread], p, off, false)
}

// WriteAt copies p into the writable part, from byte off on. All of p must fit.
// It fails with ErrReset if the queue was reset since Pop.
func (c *Chain) WriteAt(p []byte, off int) error {
	if off < 0 || len(p) > c.writable-off {
		return fmt.Errorf("virtio: write of %d bytes at %d in a writable part of %d", len(p), off, c.writable)
	}
	return c.copyPart(c.seg[c.nread:c.nseg], p, off, true)
}

func (c *Chain) copyPart(segs []segment, p []byte, off int, write bool) error {
	q := c.queue
	if q == nil || !q.enter() {
		return ErrReset
	}
	defer q.leave()
	mem := q.cfg.Memory
	for i := 0; i < len(segs) && len(p) > 0; i++ {
		n := int(segs[i].len)
		if off >= n {
			off -= n
			continue
		}
		part := p[:min(n-off, len(p))]
		gpa := segs[i].gpa + uint64(off)
		var err error
		if write {
			err = mem.WriteAt(part, gpa)
		} else {
			err = mem.ReadAt(part, gpa)
		}
		if err != nil {
			return err
		}
		p, off = p[len(part):], 0
	}
	return nil
}

// descriptor is a private copy of one entry of a descriptor table.
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

const (
	descNext     = 1 // VIRTQ_DESC_F_NEXT
	descWrite    = 2 // VIRTQ_DESC_F_WRITE
	descIndirect = 4 // VIRTQ_DESC_F_INDIRECT
)

func parseDescriptor(b *[descSize]byte) descriptor {
	return descriptor{
		addr:  binary.LittleEndian.Uint64(b[0:]),
		len:   binary.LittleEndian.Uint32(b[8:]),
		flags: binary.LittleEndian.Uint16(b[12:]),
		next:  binary.LittleEndian.Uint16(b[14:]),
	}
}

// walk fills c from the chain that begins at head. Each descriptor is copied
// once and only the copy is looked at. Loops end at the bound of MaxChain.
// Called with q.mu held.
func (q *Queue) walk(c *Chain, head uint16) error {
	c.nread, c.nseg, c.readable, c.writable = 0, 0, 0, 0
	table := descTable{queue: q, count: uint32(q.cfg.Size)}
	index := head
	for {
		d, err := table.at(index)
		if err != nil {
			return err
		}
		if d.flags&descIndirect != 0 {
			if table, err = q.indirectTable(table, d); err != nil {
				return err
			}
			index = 0
			continue
		}
		if err := q.add(c, d); err != nil {
			return err
		}
		if d.flags&descNext == 0 {
			return nil
		}
		index = d.next
	}
}

// descTable is the queue's own table or an indirect one.
type descTable struct {
	queue    *Queue
	indirect bool
	gpa      uint64 // of an indirect table
	count    uint32
}

// at copies one descriptor out of the table.
func (t *descTable) at(i uint16) (descriptor, error) {
	q := t.queue
	if uint32(i) >= t.count {
		return descriptor{}, q.ringError("descriptor %d is outside the table of %d", i, t.count)
	}
	var raw [descSize]byte
	if !t.indirect {
		copy(raw[:], q.desc[uint64(i)*descSize:])
		return parseDescriptor(&raw), nil
	}
	if err := q.readIndirect(&raw, t.gpa+uint64(i)*descSize); err != nil {
		return descriptor{}, err
	}
	return parseDescriptor(&raw), nil
}

// readIndirect copies a descriptor of an indirect table, which lies in one
// region, into raw.
func (q *Queue) readIndirect(raw *[descSize]byte, gpa uint64) error {
	b, err := q.cfg.Memory.Slice(gpa, descSize)
	if err != nil {
		return &RingError{Queue: q.cfg.Name, Reason: "indirect table", Cause: err}
	}
	copy(raw[:], b)
	return nil
}

// indirectTable checks the descriptor d, found in table from, that names an
// indirect table.
func (q *Queue) indirectTable(from descTable, d descriptor) (descTable, error) {
	switch {
	case !q.indirectOK:
		return descTable{}, q.ringError("an indirect descriptor, which was not negotiated")
	case from.indirect:
		return descTable{}, q.ringError("an indirect table within an indirect table")
	case d.flags&descNext != 0:
		return descTable{}, q.ringError("an indirect descriptor that also has NEXT")
	case d.len == 0 || d.len%descSize != 0 || d.len/descSize > MaxQueueSize:
		return descTable{}, q.ringError("an indirect table of %d bytes", d.len)
	case !q.cfg.Memory.Check(d.addr, uint64(d.len)):
		return descTable{}, q.ringError("an indirect table outside guest memory at %#x", d.addr)
	}
	return descTable{queue: q, indirect: true, gpa: d.addr, count: d.len / descSize}, nil
}

// add appends one data descriptor to the chain.
func (q *Queue) add(c *Chain, d descriptor) error {
	write := d.flags&descWrite != 0
	switch {
	case c.nseg == MaxChain:
		return q.ringError("a chain of more than %d descriptors", MaxChain)
	case d.len == 0:
		return q.ringError("an empty descriptor")
	case !write && c.nread < c.nseg:
		return q.ringError("a readable descriptor after a writable one")
	case !q.cfg.Memory.Check(d.addr, uint64(d.len)):
		return q.ringError("a buffer outside guest memory: [%#x, +%#x)", d.addr, d.len)
	case int64(c.readable)+int64(c.writable)+int64(d.len) > math.MaxUint32:
		return q.ringError("a chain of 4 GiB or more")
	}
	c.seg[c.nseg] = segment{gpa: d.addr, len: d.len}
	c.nseg++
	if write {
		c.writable += int(d.len)
		return nil
	}
	c.nread = c.nseg
	c.readable += int(d.len)
	return nil
}
