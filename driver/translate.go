// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Step 6 of a transaction's way: space in the target's window, and every object
// checked and translated, one function a kind. All from the request's private
// records, under Core.mu; payload.go writes the result.

// layout is where things stand in the new buffer, and the state of the walk over
// its objects. Offsets are bytes from the buffer's start.
type layout struct {
	label    string // security context to go along; "" for none
	secctx   uint64 // where it stands
	sgPos    uint64 // next free byte of the scatter-gather space
	sgEnd    uint64
	userPos  uint64 // data up to here is accounted for
	steps    []step
	fixups   []fixup
	objInfo  []objInfo
	lastObj  int    // object that the last fix-up was in, -1: none
	lastMin  uint64 // the next fix-up there must not be before it
	segments []segment
}

// objInfo is what later objects need of an earlier PTR.
type objInfo struct {
	userBuffer uint64 // in the sender
	bufOff     uint64 // in the buffer
}

// segment is a PTR's bytes: n of them at dst, from pos in the payload, have readable.
type segment struct {
	dst, n, pos, have uint64
}

// fixup is a place in a segment that is not the sender's: a pointer, or size bytes
// of descriptor numbers that the guest writes at delivery.
type fixup struct {
	off, size, val uint64
}

func (l *layout) reset() {
	*l = layout{steps: l.steps[:0], fixups: l.fixups[:0], objInfo: l.objInfo[:0], segments: l.segments[:0], lastObj: -1}
}

// reserve makes the transaction and its buffer.
func (bd *builder) reserve() failure {
	th, tr := bd.th, &bd.tr
	core := th.proc.vm.core
	if !bd.target.room(statTransaction) || !th.proc.room(statTransactionComplete) {
		return refuse(unix.ENOMEM)
	}
	t := core.newTransaction(th.proc.vm)
	bd.t = t
	t.id, t.code, t.flags, t.nice = bd.id, tr.Code, tr.Flags, bd.r.Nice
	t.senderEUID = bd.r.EUID
	oneway := !bd.reply && tr.Flags&uapi.TF_ONE_WAY != 0
	t.started, t.fromPID, t.fromTID, t.needReply = bd.started, th.proc.pid, th.tid, !bd.reply && !oneway
	extra := tr.Extra
	if bd.node != nil && bd.node.wantsSecctx {
		bd.label = th.proc.label
		added := align8(uint64(len(bd.label)) + 1)
		if extra += added; extra < added {
			return refuse(unix.EINVAL)
		}
	}
	b, errno := bd.target.newBuffer(tr.DataSize, tr.OffsetsSize, extra, oneway, th.proc.pid)
	switch errno {
	case 0:
	case unix.ESRCH:
		return failure{uapi.BR_DEAD_REPLY, errno}
	default:
		return refuse(errno)
	}
	bd.target.noticeSpace(bd.x)
	bd.b, t.buffer = b, b
	b.id = t.id
	b.txn, b.node, b.clear = t, bd.node, tr.Flags&uapi.TF_CLEAR_BUF != 0
	bd.sgPos = align8(tr.DataSize) + align8(tr.OffsetsSize)
	bd.sgEnd = bd.sgPos + tr.Extra
	if bd.label != "" {
		bd.secctx = bd.sgPos + align8(extra) - align8(uint64(len(bd.label))+1)
		t.secctx = b.userAddr() + bd.secctx
	}
	switch {
	case bd.g.OffsetsFault:
		return refuse(unix.EFAULT)
	case tr.OffsetsSize%8 != 0, tr.Extra%8 != 0:
		return refuse(unix.EINVAL)
	case uint64(bd.g.ObjCount) != tr.OffsetsSize/8:
		return refuse(unix.EFAULT) // the guest driver stated fewer than it counted
	}
	return accepted
}

// objects walks the offsets array.
func (bd *builder) objects() failure {
	objs := bd.r.Objects[bd.g.ObjFirst : bd.g.ObjFirst+bd.g.ObjCount]
	size := bd.tr.DataSize
	for i := range objs {
		o := &objs[i]
		bd.objInfo = append(bd.objInfo, objInfo{})
		if o.Offset != bd.userPos {
			if o.Offset < bd.userPos || o.Offset > size || o.Offset > bd.g.DataLen {
				return refuse(unix.EFAULT)
			}
			bd.payload(bd.userPos, bd.g.DataPos+bd.userPos, o.Offset-bd.userPos)
		}
		raw := uapi.Object(o.Raw[:])
		n := uint64(0)
		if o.RawLen >= 4 && o.Offset%4 == 0 && o.Offset < size {
			n = uint64(uapi.ObjectSize(raw.Type()))
		}
		if n == 0 || n > uint64(o.RawLen) || n > size-o.Offset {
			return refuse(unix.EINVAL)
		}
		bd.userPos = o.Offset + n
		if f := bd.object(i, objs, raw[:n]); f != accepted {
			return f
		}
		bd.steps = append(bd.steps, step{kind: stepObject, dst: o.Offset, pos: uint64(int(bd.g.ObjFirst) + i), n: n})
	}
	if rest := size - bd.userPos; rest > 0 {
		if size > bd.g.DataLen {
			return refuse(unix.EFAULT)
		}
		bd.payload(bd.userPos, bd.g.DataPos+bd.userPos, rest)
	}
	return bd.placeSegments()
}

func (bd *builder) object(i int, objs []Object, raw uapi.Object) failure {
	switch raw.Type() {
	case uapi.BINDER_TYPE_BINDER, uapi.BINDER_TYPE_WEAK_BINDER:
		return bd.binder(&objs[i], raw)
	case uapi.BINDER_TYPE_HANDLE, uapi.BINDER_TYPE_WEAK_HANDLE:
		return bd.handle(&objs[i], raw)
	case uapi.BINDER_TYPE_FD:
		return bd.fd(&objs[i], raw)
	case uapi.BINDER_TYPE_FDA:
		return bd.fdArray(i, objs, raw)
	default:
		return bd.ptr(i, objs, raw)
	}
}

// binder turns an object of the sender into a handle of the target.
func (bd *builder) binder(o *Object, raw uapi.Object) failure {
	strong := raw.Type() == uapi.BINDER_TYPE_BINDER
	n, errno := bd.th.proc.newNode(raw)
	if errno != 0 {
		return refuse(errno)
	}
	defer n.put(bd.x)
	if n.cookie != raw.Cookie() {
		return refuse(unix.EINVAL)
	}
	if o.LSMError != 0 {
		return refuse(unix.EPERM)
	}
	ref, errno := bd.target.incRefForNode(bd.x, n, strong, bd.th)
	if errno != 0 {
		return refuse(errno)
	}
	typ := uint32(uapi.BINDER_TYPE_WEAK_HANDLE)
	if strong {
		typ = uapi.BINDER_TYPE_HANDLE
	}
	raw.SetType(typ)
	raw.SetBinder(uint64(ref.handle))
	raw.SetCookie(0)
	bd.b.held = append(bd.b.held, heldObject{typ: typ, handle: ref.handle})
	return accepted
}

// handle turns a handle of the sender into one of the target, or into the object
// itself where the target serves it.
func (bd *builder) handle(o *Object, raw uapi.Object) failure {
	strong := raw.Type() == uapi.BINDER_TYPE_HANDLE
	src := bd.th.proc.ref(raw.Handle(), strong)
	if src == nil {
		bd.th.proc.userError("passes on a handle it does not hold", "handle", raw.Handle())
		return refuse(unix.EINVAL)
	}
	if o.LSMError != 0 {
		return refuse(unix.EPERM)
	}
	n := src.node
	if n.proc == bd.target {
		typ := uint32(uapi.BINDER_TYPE_WEAK_BINDER)
		if strong {
			typ = uapi.BINDER_TYPE_BINDER
		}
		n.inc(strong, false, nil)
		raw.SetType(typ)
		raw.SetBinder(n.ptr)
		raw.SetCookie(n.cookie)
		bd.b.held = append(bd.b.held, heldObject{typ: typ, ptr: n.ptr})
		return accepted
	}
	ref, errno := bd.target.incRefForNode(bd.x, n, strong, nil)
	if errno != 0 {
		return refuse(errno)
	}
	raw.SetBinder(uint64(ref.handle))
	raw.SetCookie(0)
	bd.b.held = append(bd.b.held, heldObject{typ: raw.Type(), handle: ref.handle})
	return accepted
}

// file takes one descriptor of the sender along, to be installed at off.
func (bd *builder) file(fds []FD, i int, off uint64, kind FixKind) failure {
	allowed := false
	if bd.inReplyTo != nil {
		allowed = bd.inReplyTo.flags&uapi.TF_ACCEPT_FDS != 0
	} else {
		allowed = bd.node.acceptFDs
	}
	if !allowed {
		return refuse(unix.EPERM)
	}
	if i >= len(fds) {
		return refuse(unix.EFAULT)
	}
	if fds[i].Err != 0 || fds[i].Token == 0 {
		if fds[i].Err == 0 {
			return refuse(unix.EBADF)
		}
		return refuse(fds[i].Err)
	}
	bd.t.fds = append(bd.t.fds, fdInstall{off: off, token: fds[i].Token, kind: kind})
	fds[i].Token = 0 // ours now
	return accepted
}

func (bd *builder) fdsOf(o *Object) []FD { return bd.r.FDs[o.FDFirst : o.FDFirst+o.FDCount] }

// fd is a descriptor: its number is one of 32 bits, the other half of the field is
// cleared. Flags and cookie pass through.
func (bd *builder) fd(o *Object, raw uapi.Object) failure {
	f := bd.file(bd.fdsOf(o), 0, o.Offset+8, FixFD)
	le.PutUint32(raw[12:], 0)
	return f
}

// ptr is a scatter-gather buffer, placed in the space behind the offsets; with a
// parent, the pointer there is turned to it.
func (bd *builder) ptr(i int, objs []Object, raw uapi.Object) failure {
	n := raw.PtrLength()
	if n > bd.sgEnd-bd.sgPos {
		return refuse(unix.EINVAL)
	}
	o := &objs[i]
	bd.segments = append(bd.segments, segment{dst: bd.sgPos, n: n, pos: o.SegPos, have: o.SegLen})
	bd.objInfo[i] = objInfo{userBuffer: raw.PtrBuffer(), bufOff: bd.sgPos}
	addr := bd.b.userAddr() + bd.sgPos
	raw.SetPtrBuffer(addr)
	bd.sgPos += align8(n)
	if raw.Flags()&uapi.BINDER_BUFFER_FLAG_HAS_PARENT != 0 {
		off := raw.PtrParentOffset()
		parent, ok := bd.parent(i, objs, raw.PtrParent(), off)
		if !ok {
			return refuse(unix.EINVAL)
		}
		plen := uapi.Object(objs[parent].Raw[:]).PtrLength()
		if plen < 8 || off > plen-8 {
			return refuse(unix.EINVAL)
		}
		bd.addFixup(fixup{off: bd.objInfo[parent].bufOff + off, size: 8, val: addr})
	}
	bd.lastObj, bd.lastMin = i, 0
	return accepted
}

// fdArray is an array of descriptors inside an earlier PTR's buffer.
func (bd *builder) fdArray(i int, objs []Object, raw uapi.Object) failure {
	off, count := raw.FDAParentOffset(), raw.FDACount()
	parent, ok := bd.parent(i, objs, raw.FDAParent(), off)
	if !ok {
		return refuse(unix.EINVAL)
	}
	plen := uapi.Object(objs[parent].Raw[:]).PtrLength()
	size := count * 4
	if count > 0 {
		if count > plen/4 || size > plen || off > plen-size {
			return refuse(unix.EINVAL)
		}
		at := bd.objInfo[parent].bufOff + off
		if (bd.objInfo[parent].userBuffer+off)%4 != 0 || (bd.b.userAddr()+at)%4 != 0 {
			return refuse(unix.EINVAL)
		}
		bd.addFixup(fixup{off: at, size: size})
		fds := bd.fdsOf(&objs[i])
		for k := uint64(0); k < count; k++ {
			if k >= uint64(len(fds)) {
				return refuse(unix.EINVAL) // not readable; the driver says EINVAL here, not EFAULT
			}
			if f := bd.file(fds, int(k), at+k*4, FixFDA); f != accepted {
				return f
			}
		}
		bd.b.hasFDA = true
	}
	bd.lastObj, bd.lastMin = parent, off+size
	return accepted
}

// parent checks that object number idx is an earlier PTR that object i may be
// fixed up in at off: the object of the last fix-up or one of its ancestors, at
// increasing offsets.
func (bd *builder) parent(i int, objs []Object, idx, off uint64) (int, bool) {
	if idx >= uint64(i) || uapi.Object(objs[idx].Raw[:]).Type() != uapi.BINDER_TYPE_PTR {
		return 0, false
	}
	last, min := bd.lastObj, bd.lastMin
	if last < 0 || objs[last].Offset == 0 {
		return 0, false // the driver takes offset 0 for "none yet"
	}
	for last != int(idx) {
		raw := uapi.Object(objs[last].Raw[:])
		if raw.Type() != uapi.BINDER_TYPE_PTR || raw.Flags()&uapi.BINDER_BUFFER_FLAG_HAS_PARENT == 0 {
			return 0, false
		}
		min = raw.PtrParentOffset() + 8
		last = int(raw.PtrParent())
	}
	return int(idx), off >= min
}

// addFixup keeps the fix-ups sorted; they come nearly so.
func (bd *builder) addFixup(f fixup) {
	bd.fixups = append(bd.fixups, f)
	for i := len(bd.fixups) - 1; i > 0 && bd.fixups[i-1].off > f.off; i-- {
		bd.fixups[i], bd.fixups[i-1] = bd.fixups[i-1], bd.fixups[i]
	}
}
