// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"fmt"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder/wire"
)

const (
	// firstRead is how much of a request is copied before its length is known;
	// nearly all control parts fit.
	firstRead = 1024
	// keepBytes and keepEntries are what a free request keeps of its memory.
	keepBytes   = 16 << 10
	keepEntries = 256
	// minRead is what every read returns: BR_NOOP.
	minRead = 4
)

// Step 4 of a transaction's way: the control part, copied once and decoded.

// request is one chain with everything that is made of it. It belongs to its
// queue's free list, to a runner, or to the core. It is the driver.Payload of its
// own core request.
type request struct {
	// Invariant after newRequest.
	queue *queue

	next   *request // in the free list
	chain  virtio.Chain
	head   wire.Header
	ctl    []byte // private copy of the control part
	core   driver.Request
	wr     wire.WriteRead
	arg    [wire.LenIoctlArg]byte
	fixCap uint32 // room for fix-ups in the answer
	repCap uint32 // for reports
	brCap  uint32 // and for BR commands
	out    []byte // the answer
}

func newRequest(q *queue) *request {
	r := &request{queue: q, ctl: make([]byte, 0, firstRead), out: make([]byte, 0, firstRead)}
	r.core.Payload = r
	r.core.Data = r
	return r
}

// trim gives back what an unusually large request has taken.
func (r *request) trim() {
	if cap(r.ctl) > keepBytes {
		r.ctl = make([]byte, 0, firstRead)
	}
	if cap(r.out) > keepBytes {
		r.out = make([]byte, 0, firstRead)
	}
	if cap(r.core.Resp.BR) > keepBytes {
		r.core.Resp.BR = nil
	}
	if cap(r.core.Resp.Fix) > keepEntries {
		r.core.Resp.Fix = nil
	}
	if cap(r.core.Resp.Reports) > keepEntries {
		r.core.Resp.Reports = nil
	}
	if cap(r.core.Objects) > keepEntries || cap(r.core.FDs) > keepEntries {
		r.core.Objects, r.core.FDs = nil, nil
	}
	r.wr.Trim(keepEntries)
	r.core.Stream, r.core.Gather = nil, nil
}

// clear makes the answer an empty success.
func (r *request) clear() {
	r.fixCap, r.repCap, r.brCap = 0, 0, 0
	r.core.Resp.Clear()
}

// load copies the control part out of the chain, each byte once.
func (r *request) load() (err error) {
	readable := r.chain.Readable()
	r.ctl = r.ctl[:min(readable, firstRead)]
	if err := r.chain.ReadAt(r.ctl, 0); err != nil {
		return err
	}
	if r.head, err = wire.ParseHeader(r.ctl); err != nil {
		return err
	}
	n := int64(r.head.CtlLen)
	if n > maxCtl || n > int64(readable) {
		return &wire.Error{Errno: unix.EPROTO, Field: "vbinder_req.ctl_len", Value: uint64(n),
			Reason: fmt.Sprintf("more than the %d bytes that are readable or the %d allowed", readable, maxCtl)}
	}
	have := len(r.ctl)
	if int(n) <= have {
		r.ctl = r.ctl[:n]
		return nil
	}
	if int(n) > cap(r.ctl) {
		r.ctl = append(make([]byte, 0, n), r.ctl...)
	}
	r.ctl = r.ctl[:n]
	return r.chain.ReadAt(r.ctl[have:], have)
}

// address puts the header's names into the core's request.
func (r *request) address() {
	r.core.Proc, r.core.TID, r.core.Seq = r.head.Proc, r.head.TID, r.head.Seq
}

// room checks that the answer fits the chain, whatever it will be.
func (r *request) room(fixCap, repCap, brCap uint32) error {
	switch {
	case fixCap > maxFix:
		return &wire.Error{Errno: unix.EINVAL, Field: "fix_cap", Value: uint64(fixCap), Reason: fmt.Sprintf("more than %d", maxFix)}
	case repCap > maxReports:
		return &wire.Error{Errno: unix.EINVAL, Field: "vbinder_wr.report_cap", Value: uint64(repCap), Reason: fmt.Sprintf("more than %d", maxReports)}
	case brCap > maxRead:
		return &wire.Error{Errno: unix.EINVAL, Field: "vbinder_wr.read_size", Value: uint64(brCap), Reason: fmt.Sprintf("more than %d", maxRead)}
	case brCap > 0 && brCap < minRead:
		return &wire.Error{Errno: unix.EINVAL, Field: "vbinder_wr.read_size", Value: uint64(brCap), Reason: "less than one BR code"}
	case wire.ResponseSize(fixCap, repCap, brCap) > uint64(r.chain.Writable()):
		return &wire.Error{Errno: unix.EINVAL, Field: "writable part", Value: uint64(r.chain.Writable()), Reason: "too small for the answer"}
	}
	r.fixCap, r.repCap, r.brCap = fixCap, repCap, brCap
	return nil
}

// ReadAt is driver.Payload's.
func (r *request) ReadAt(p []byte, pos uint64) error {
	if uint64(len(p)) > r.wr.Payload || pos > r.wr.Payload-uint64(len(p)) {
		return fmt.Errorf("vbinder: payload bytes [%d, +%d) of %d: %w", pos, len(p), r.wr.Payload, unix.EFAULT)
	}
	if len(r.wr.Extents) == 0 {
		return r.chain.ReadAt(p, len(r.ctl)+int(pos))
	}
	for i := r.wr.Find(pos); len(p) > 0; i++ {
		e := &r.wr.Extents[i]
		skip := pos - e.Pos
		part := p[:min(e.Len-skip, uint64(len(p)))]
		if err := r.queue.act.mem.ReadAt(part, e.GPA+skip); err != nil {
			return err
		}
		p, pos = p[len(part):], pos+uint64(len(part))
	}
	return nil
}
