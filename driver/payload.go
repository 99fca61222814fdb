// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"errors"

	"golang.org/x/sys/unix"

	"virtbinder/internal/lockrank"
)

// The copy of step 6: what translate.go decided, written into the target's window
// with no lock held. The buffer is in state building, both processes are pinned.

type stepKind uint8

const (
	stepPayload stepKind = iota // n bytes of the payload at pos
	stepObject                  // n bytes of the translated object number pos
	stepZero                    // n zero bytes
	stepPointer                 // 8 bytes: pos as a number
)

// step writes n bytes at dst of the buffer.
type step struct {
	kind        stepKind
	dst, pos, n uint64
}

func (bd *builder) payload(dst, pos, n uint64) {
	if n > 0 {
		bd.steps = append(bd.steps, step{stepPayload, dst, pos, n})
	}
}

// placeSegments turns segments and fix-ups into steps: nothing of a fix-up's place
// is ever written from the sender.
func (bd *builder) placeSegments() failure {
	next := 0
	for _, s := range bd.segments {
		pos, end := s.dst, s.dst+s.n
		for pos < end {
			stop := end
			if next < len(bd.fixups) && bd.fixups[next].off < end {
				stop = max(bd.fixups[next].off, pos)
			}
			if stop-s.dst > s.have && stop > pos {
				return refuse(unix.EINVAL) // the errnos of the kernel's deferred copy
			}
			bd.payload(pos, s.pos+pos-s.dst, stop-pos)
			pos = stop
			if stop == end {
				break
			}
			f := bd.fixups[next]
			next++
			if f.off%4 != 0 {
				return refuse(unix.EINVAL)
			}
			if f.val != 0 {
				bd.steps = append(bd.steps, step{stepPointer, f.off, f.val, 8})
			} else {
				bd.steps = append(bd.steps, step{stepZero, f.off, 0, f.size})
			}
			pos = max(pos, f.off+f.size)
		}
		bd.zero(end, align8(end))
	}
	bd.zero(bd.sgPos, bd.sgEnd)
	return accepted
}

// zero clears what nobody writes, so that nothing of an earlier buffer shows.
func (bd *builder) zero(from, to uint64) {
	if to > from {
		bd.steps = append(bd.steps, step{stepZero, from, 0, to - from})
	}
}

// copyOut carries the steps out. A fault on either side is an error.
func (bd *builder) copyOut() failure {
	lockrank.AssertNone("copying a payload")
	if bd.copyFn == nil {
		bd.copyFn = bd.copy
	}
	if err := bd.target.vm.env.Copy(bd.copyFn); err != nil {
		var errno unix.Errno
		if errors.As(err, &errno) {
			return refuse(errno)
		}
		return refuse(unix.EFAULT)
	}
	return accepted
}

func (bd *builder) copy() error {
	win := bd.target.vm.env.Bytes(bd.b.windowOff(), bd.b.size)
	for _, s := range bd.steps {
		dst := win[s.dst : s.dst+s.n]
		switch s.kind {
		case stepPayload:
			if err := bd.r.Payload.ReadAt(dst, s.pos); err != nil {
				return err
			}
		case stepObject:
			copy(dst, bd.r.Objects[s.pos].Raw[:s.n])
		case stepZero:
			clear(dst)
		case stepPointer:
			le.PutUint64(dst, s.pos)
		}
	}
	offs := win[align8(bd.tr.DataSize):]
	for i := uint32(0); i < bd.g.ObjCount; i++ {
		le.PutUint64(offs[i*8:], bd.r.Objects[bd.g.ObjFirst+i].Offset)
	}
	clear(win[bd.tr.DataSize:align8(bd.tr.DataSize)])
	if bd.label != "" {
		n := copy(win[bd.secctx:], bd.label)
		clear(win[bd.secctx+uint64(n) : bd.secctx+align8(uint64(len(bd.label))+1)])
	}
	return nil
}
