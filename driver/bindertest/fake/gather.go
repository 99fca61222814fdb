// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
)

var le = binary.LittleEndian

// Limits of one request, as the device states them.
const (
	maxCtl     = 128 << 10
	maxSection = 4 << 20
)

// gather reads what a BC stream needs from its sender, as guest/module/gather.c.
type gather struct {
	p *process
	r *request
}

// piece gathers the stream [addr, addr+size) as far as one request can carry it.
// It says what could be read and judges nothing.
func (g *gather) piece(addr, size uint64) {
	for pos := uint64(0); pos < size; {
		before := *g.r
		n, unknown := g.command(addr + pos)
		if n == 0 {
			g.r.Fault = true
			return
		}
		if g.ctlLen() > maxCtl && pos > 0 {
			g.cut(&before)
			g.r.Partial = true
			return
		}
		pos += n
		if unknown {
			return
		}
	}
}

// cut goes back to an earlier state of the request.
func (g *gather) cut(before *request) {
	for _, f := range g.r.FDs[len(before.FDs):] {
		g.p.k.putToken(f.Token)
	}
	*g.r = *before
}

func (g *gather) ctlLen() int {
	r := g.r
	return 72 + (len(r.Stream)+7)&^7 + 48*len(r.Gather) + 80*len(r.Objects) + 8*len(r.FDs)
}

// command gathers one command and returns its length, 0 if it is unreadable.
func (g *gather) command(addr uint64) (n uint64, unknown bool) {
	b, errno := g.p.readAll(addr, 4)
	if errno != 0 {
		return 0, false
	}
	code := le.Uint32(b)
	if !known(code) {
		g.r.Stream = append(g.r.Stream, b...)
		return 4, true
	}
	n = 4 + uint64(uapi.PayloadSize(code))
	if b, errno = g.p.readAll(addr, n); errno != 0 {
		return 0, false
	}
	pos := len(g.r.Stream)
	g.r.Stream = append(g.r.Stream, b...)
	switch code {
	case uapi.BC_TRANSACTION, uapi.BC_REPLY:
		g.transaction(pos, uapi.DecodeTransactionData(b[4:], false))
	case uapi.BC_TRANSACTION_SG, uapi.BC_REPLY_SG:
		g.transaction(pos, uapi.DecodeTransactionData(b[4:], true))
	}
	return n, false
}

// known says whether the guest driver knows a command: by number, direction and size.
func known(code uint32) bool {
	sizes := [...]uint32{64, 64, 4, 8, 4, 4, 4, 4, 16, 16, 8, 0, 0, 0, 12, 12, 8, 72, 72, 12, 12, 8}
	nr := code & 0xff
	if code>>8&0xff != 'c' || nr >= uint32(len(sizes)) {
		return false
	}
	if code == uapi.BC_ACQUIRE_RESULT || code == uapi.BC_ATTEMPT_ACQUIRE {
		return false // never implemented: refused before their payload is read
	}
	dir := uint32(1)
	if sizes[nr] == 0 {
		dir = 0
	}
	return code == dir<<30|sizes[nr]<<16|'c'<<8|nr
}

func align8(n uint64) uint64 { return (n + 7) &^ 7 }

// section adds memory to the payload.
func (g *gather) section(addr, n uint64) (pos, got uint64) {
	pos = uint64(len(g.r.payload))
	b := make([]byte, n)
	got = uint64(g.p.read(b, addr))
	g.r.payload = append(g.r.payload, b[:got]...)
	return pos, got
}

func (g *gather) transaction(cmdPos int, tr uapi.TransactionData) {
	t := driver.Gather{CmdPos: uint32(cmdPos), DataPos: uint64(len(g.r.payload)), ObjFirst: uint32(len(g.r.Objects))}
	if tr.DataSize <= maxSection && tr.OffsetsSize <= maxSection && tr.Extra <= maxSection {
		t.DataPos, t.DataLen = g.section(tr.Buffer, tr.DataSize)
		g.offsets(&t, tr)
		g.objects(&t, tr)
	}
	g.r.Gather = append(g.r.Gather, t)
}

func (g *gather) offsets(t *driver.Gather, tr uapi.TransactionData) {
	b, errno := g.p.readAll(tr.Offsets, tr.OffsetsSize)
	if errno != 0 {
		t.OffsetsFault = true
		return
	}
	for ; len(b) >= 8; b = b[8:] {
		g.r.Objects = append(g.r.Objects, driver.Object{Offset: le.Uint64(b)})
		t.ObjCount++
	}
}

// objects stops at the first bad one, as the host will.
func (g *gather) objects(t *driver.Gather, tr uapi.TransactionData) {
	left := tr.Extra
	objs := g.r.Objects[t.ObjFirst:]
	for i := range objs {
		o := &objs[i]
		if o.Offset > tr.DataSize || tr.DataSize-o.Offset < 4 {
			return
		}
		n := min(uint64(len(o.Raw)), tr.DataSize-o.Offset)
		if uint64(g.p.read(o.Raw[:n], tr.Buffer+o.Offset)) < n {
			clear(o.Raw[:])
			return
		}
		o.RawLen = uint32(n)
		raw := uapi.Object(o.Raw[:])
		size := uapi.ObjectSize(raw.Type())
		if size == 0 {
			return
		}
		if size > int(n) {
			continue
		}
		switch raw.Type() {
		case uapi.BINDER_TYPE_FD:
			o.FDFirst, o.FDCount = uint32(len(g.r.FDs)), 1
			g.fd(raw.Handle())
		case uapi.BINDER_TYPE_FDA:
			g.fdArray(objs, i)
		case uapi.BINDER_TYPE_PTR:
			o.SegPos = uint64(len(g.r.payload))
			if length := raw.PtrLength(); length <= left {
				left -= min(align8(length), left)
				o.SegPos, o.SegLen = g.section(raw.PtrBuffer(), length)
			}
		}
	}
}

func (g *gather) fd(n uint32) {
	f := g.p.file(int(int32(n)))
	if f == nil {
		g.r.FDs = append(g.r.FDs, driver.FD{Err: unix.EBADF})
		return
	}
	g.r.FDs = append(g.r.FDs, driver.FD{Token: g.p.k.addToken(f)})
}

// fdArray reads the descriptors from the sender's copy of the parent.
func (g *gather) fdArray(objs []driver.Object, i int) {
	o := &objs[i]
	raw := uapi.Object(o.Raw[:])
	parent, off, count := raw.FDAParent(), raw.FDAParentOffset(), raw.FDACount()
	if parent >= uint64(i) || objs[parent].RawLen < uapi.SizeBufferObject {
		return
	}
	in := uapi.Object(objs[parent].Raw[:])
	if in.Type() != uapi.BINDER_TYPE_PTR || in.PtrLength() > maxSection || off > in.PtrLength() || count > (in.PtrLength()-off)/4 {
		return
	}
	o.FDFirst = uint32(len(g.r.FDs))
	for k := uint64(0); k < count; k++ {
		b, errno := g.p.readAll(in.PtrBuffer()+off+4*k, 4)
		if errno != 0 {
			return
		}
		g.fd(le.Uint32(b))
		o.FDCount++
	}
}
