// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/virtiotest"
)

// fixCap is the room for fix-ups in an answer; it is small, so that FETCH_FIX is
// used too.
const fixCap = 4

// eventBuffers is how many the guest driver posts.
const eventBuffers = 16

// NewRing makes a System whose guest driver talks to a device through virtqueues.
func NewRing() (*Kernel, error) {
	k := newKernel("ring")
	r := &ring{k: k, waiting: map[slot]*chain{}, plain: map[sender]uint64{}, spare: map[int][]virtiotest.Span{}}
	var err error
	r.dev, err = vbinder.New(vbinder.Config{Core: driver.New(driver.Config{}), Name: "fake", Inline: true, WindowSize: windowSize, Report: k.report})
	if err != nil {
		return nil, err
	}
	if r.drv, err = virtiotest.Start(r.dev, virtiotest.Config{Inline: true, Memory: 32 << 20}); err != nil {
		return nil, errors.Join(err, r.dev.Close())
	}
	r.win = r.drv.Machine.Shared(r.drv.SharedMemory()[0].GPA)
	for range eventBuffers {
		r.postEvent(r.drv.Queue(wire.QEvent).Room(wire.SizeofEvent))
	}
	r.drv.Queue(wire.QEvent).Kick()
	k.transport = r
	return k, nil
}

// ring is the transport of requests as bytes, through the device's queues.
type ring struct {
	k       *Kernel
	dev     *vbinder.Device
	drv     *virtiotest.Driver
	win     []byte
	waiting map[slot]*chain
	plain   map[sender]uint64         // the reply that a thread may free without a doorbell
	spare   map[int][]virtiotest.Span // free buffers, by size
}

// slot is where a chain is on the rings.
type slot struct {
	queue int
	head  uint16
}

// sender is a thread.
type sender struct {
	proc driver.ProcID
	tid  uint32
}

// chain is a request on a ring, or an event buffer.
type chain struct {
	out, in virtiotest.Span
	fixCap  uint32
	done    func(*driver.Response)
}

// buffer takes a buffer of at least n bytes.
func (r *ring) buffer(n int) virtiotest.Span {
	size := 256
	for size < n {
		size *= 2
	}
	if free := r.spare[size]; len(free) > 0 {
		s := free[len(free)-1]
		r.spare[size] = free[:len(free)-1]
		return s
	}
	return r.drv.Queue(wire.QRequest).Room(size)
}

func (r *ring) free(s virtiotest.Span) { r.spare[int(s.Len)] = append(r.spare[int(s.Len)], s) }

// submit puts a request on a queue and rings the doorbell.
func (r *ring) submit(queue int, request []byte, fixes uint32, br int, done func(*driver.Response)) {
	r.put(queue, request, fixes, br, done)
	r.drv.Queue(queue).Kick()
}

// put puts it there.
func (r *ring) put(queue int, request []byte, fixes uint32, br int, done func(*driver.Response)) {
	q := r.drv.Queue(queue)
	c := &chain{out: r.buffer(len(request)), in: r.buffer(wire.SizeofResp + int(fixes)*wire.SizeofFix + br), fixCap: fixes, done: done}
	copy(q.Bytes(c.out), request)
	head, err := q.Submit([]virtiotest.Span{{GPA: c.out.GPA, Len: uint32(len(request))}}, []virtiotest.Span{c.in})
	if err != nil {
		panic(err) // the scenario parks more than the ring holds
	}
	r.waiting[slot{queue, head}] = c
}

// settle takes what the device has given back off the rings.
func (r *ring) settle() (any bool) {
	for i := range wire.QRequest + 1 {
		q := r.drv.Queue(i)
		for u, ok := q.Used(); ok; u, ok = q.Used() {
			any = true
			c := r.waiting[slot{i, u.Head}]
			delete(r.waiting, slot{i, u.Head})
			if i == wire.QEvent {
				r.k.eventBytes(q.Bytes(c.in))
				r.postEvent(c.in)
				continue
			}
			resp := decode(q.Bytes(c.in)[:u.Written], c.fixCap)
			r.free(c.out)
			r.free(c.in)
			c.done(resp)
		}
		if any && i == wire.QEvent {
			q.Kick()
		}
	}
	return any
}

func (r *ring) postEvent(s virtiotest.Span) {
	head, err := r.drv.Queue(wire.QEvent).Submit(nil, []virtiotest.Span{s})
	if err != nil {
		panic(err)
	}
	r.waiting[slot{wire.QEvent, head}] = &chain{in: s}
}

// eventBytes takes one event in.
func (k *Kernel) eventBytes(b []byte) {
	e := driver.Event{Kind: driver.EventKind(le.Uint32(b[wire.OffEventType:])), Proc: driver.ProcID(le.Uint64(b[wire.OffEventProc:])),
		TID: le.Uint32(b[wire.OffEventTid:])}
	if e.Kind != driver.EventPut {
		k.event(e)
		return
	}
	for i := range le.Uint32(b[wire.OffEventCount:]) {
		e.Token = le.Uint32(b[wire.OffEventToken+4*i:])
		k.event(e)
	}
}

// call makes a request that is answered at once.
func (r *ring) call(queue int, op uint32, id driver.ProcID, tid, seq uint32, body []byte, fixes uint32) *driver.Response {
	var resp *driver.Response
	r.submit(queue, header(op, id, tid, seq, body), fixes, 0, func(got *driver.Response) { resp = got })
	for resp == nil {
		if !r.settle() {
			panic(fmt.Sprintf("fake: operation %d was not answered", op))
		}
	}
	return resp
}

func header(op uint32, id driver.ProcID, tid, seq uint32, body []byte) []byte {
	b := make([]byte, wire.SizeofReq, wire.SizeofReq+len(body))
	le.PutUint32(b[wire.OffReqOp:], op)
	le.PutUint32(b[wire.OffReqCtlLen:], uint32(wire.SizeofReq+len(body)))
	le.PutUint64(b[wire.OffReqProc:], uint64(id))
	le.PutUint32(b[wire.OffReqTid:], tid)
	le.PutUint32(b[wire.OffReqSeq:], seq)
	return append(b, body...)
}

// decode reads an answer.
func decode(b []byte, fixes uint32) *driver.Response {
	resp := &driver.Response{TxnPos: driver.NoPos, Nice: driver.NoNice, Status: unix.EIO}
	if len(b) < wire.SizeofResp {
		return resp
	}
	*resp = driver.Response{
		Status: unix.Errno(-int32(le.Uint32(b[wire.OffRespStatus:]))), Flags: le.Uint32(b[wire.OffRespFlags:]),
		Val: le.Uint64(b[wire.OffRespVal:]), WriteConsumed: le.Uint64(b[wire.OffRespWriteConsumed:]),
		TxnPos: le.Uint32(b[wire.OffRespTxnPos:]), SenderEUID: le.Uint32(b[wire.OffRespSenderEuid:]),
		SenderProc: driver.ProcID(le.Uint64(b[wire.OffRespSenderProc:])), Delivery: le.Uint64(b[wire.OffRespDelivery:]),
		Nice: int32(le.Uint32(b[wire.OffRespNice:])),
	}
	for i := range min(le.Uint32(b[wire.OffRespFixCount:]), fixes) {
		f := b[wire.SizeofResp+wire.SizeofFix*i:]
		resp.Fix = append(resp.Fix, driver.Fix{Off: le.Uint64(f), Token: le.Uint32(f[wire.OffFixToken:]), Kind: driver.FixKind(le.Uint32(f[wire.OffFixKind:]))})
	}
	if n := le.Uint32(b[wire.OffRespBrLen:]); n > 0 {
		at := wire.SizeofResp + wire.SizeofFix*fixes
		resp.BR = append([]byte(nil), b[at:at+n]...)
	}
	return resp
}

func (r *ring) context(name string) (driver.ContextID, unix.Errno) {
	b := make([]byte, wire.SizeofContext)
	copy(b[:wire.LenContextName-1], name)
	resp := r.call(wire.QRequest, wire.OpContext, 0, 0, 0, b, 0)
	return driver.ContextID(resp.Val), resp.Status
}

func (r *ring) open(a driver.OpenArgs) (driver.ProcID, unix.Errno) {
	b := make([]byte, wire.SizeofOpen)
	le.PutUint64(b[wire.OffOpenContext:], uint64(a.Context))
	le.PutUint32(b[wire.OffOpenPid:], a.PID)
	le.PutUint32(b[wire.OffOpenNice:], uint32(a.Nice))
	copy(b[wire.OffOpenComm:wire.OffOpenComm+wire.LenOpenComm], a.Comm)
	resp := r.call(wire.QRequest, wire.OpOpen, 0, a.PID, 0, b, 0)
	return driver.ProcID(resp.Val), resp.Status
}

func (r *ring) mmap(id driver.ProcID, addr, size uint64) (uint64, unix.Errno) {
	resp := r.call(wire.QRequest, wire.OpMmap, id, 0, 0, le.AppendUint64(le.AppendUint64(nil, addr), size), 0)
	return resp.Val, resp.Status
}

func (r *ring) writeRead(req *request) {
	done := func(resp *driver.Response) {
		for resp.Flags&driver.RespMoreFix != 0 {
			more := r.call(wire.QRequest, wire.OpFetchFix, req.Proc, req.TID, 0, le.AppendUint32(le.AppendUint32(nil, fixCap), 0), fixCap)
			resp.Fix = append(resp.Fix, more.Fix...)
			resp.Flags = resp.Flags&^driver.RespMoreFix | more.Flags&driver.RespMoreFix
		}
		r.notePlain(req, resp)
		req.done(resp)
	}
	ctl := header(wire.OpWriteRead, req.Proc, req.TID, req.Seq, encodeWriteRead(&req.Request))
	if r.mayDefer(req) {
		r.put(wire.QDeferred, ctl, fixCap, 0, func(*driver.Response) {})
		req.done(&driver.Response{WriteConsumed: uint64(len(req.Stream)), TxnPos: driver.NoPos, Nice: driver.NoNice})
		return
	}
	r.submit(wire.QRequest, append(ctl, req.payload...), fixCap, int(req.ReadSize), done)
}

// notePlain notes which reply the thread may free without a doorbell.
func (r *ring) notePlain(req *request, resp *driver.Response) {
	if resp.Flags&driver.RespPlain != 0 {
		r.plain[sender{req.Proc, req.TID}] = uapi.DecodeTransactionData(resp.BR[resp.TxnPos+4:], false).Buffer
	}
}

// mayDefer says whether req does that and nothing else.
func (r *ring) mayDefer(req *request) bool {
	th := sender{req.Proc, req.TID}
	addr, noted := r.plain[th]
	delete(r.plain, th)
	free := le.AppendUint64(le.AppendUint32(nil, uapi.BC_FREE_BUFFER), addr)
	return noted && req.ReadSize == 0 && !req.Fault && !req.Partial && bytes.Equal(req.Stream, free)
}

// encodeWriteRead is the body of a WRITE_READ.
func encodeWriteRead(q *driver.Request) []byte {
	b := make([]byte, wire.SizeofWr)
	for off, v := range map[int]uint32{
		wire.OffWrWriteLen: uint32(len(q.Stream)), wire.OffWrTxnCount: uint32(len(q.Gather)), wire.OffWrObjCount: uint32(len(q.Objects)),
		wire.OffWrFdCount: uint32(len(q.FDs)), wire.OffWrReadSize: q.ReadSize, wire.OffWrFixCap: fixCap, wire.OffWrFlags: requestFlags(q),
		wire.OffWrNice: uint32(q.Nice), wire.OffWrEuid: q.EUID,
	} {
		le.PutUint32(b[off:], v)
	}
	b = append(b, q.Stream...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	for i := range q.Gather {
		b = append(b, encodeTxn(&q.Gather[i])...)
	}
	for i := range q.Objects {
		b = append(b, encodeObject(&q.Objects[i])...)
	}
	for _, f := range q.FDs {
		b = le.AppendUint32(le.AppendUint32(b, f.Token), uint32(-int32(f.Err)))
	}
	return b
}

func requestFlags(q *driver.Request) (flags uint32) {
	for _, f := range []struct {
		set bool
		bit uint32
	}{{q.NonBlock, wire.WrNonblock}, {q.Continued, wire.WrContinued}, {q.Fault, wire.WrFault}, {q.Partial, wire.WrPartial}} {
		if f.set {
			flags |= f.bit
		}
	}
	return flags
}

func encodeTxn(g *driver.Gather) []byte {
	b := make([]byte, wire.SizeofTxn)
	le.PutUint32(b[wire.OffTxnCmdPos:], g.CmdPos)
	if g.OffsetsFault {
		le.PutUint32(b[wire.OffTxnFlags:], wire.TxnOffsetsFault)
	}
	le.PutUint64(b[wire.OffTxnDataPos:], g.DataPos)
	le.PutUint64(b[wire.OffTxnDataLen:], g.DataLen)
	le.PutUint32(b[wire.OffTxnObjFirst:], g.ObjFirst)
	le.PutUint32(b[wire.OffTxnObjCount:], g.ObjCount)
	return b
}

func encodeObject(o *driver.Object) []byte {
	b := make([]byte, wire.SizeofObj)
	le.PutUint64(b[wire.OffObjOffset:], o.Offset)
	copy(b[wire.OffObjRaw:], o.Raw[:])
	le.PutUint32(b[wire.OffObjRawLen:], o.RawLen)
	le.PutUint32(b[wire.OffObjFdFirst:], o.FDFirst)
	le.PutUint32(b[wire.OffObjFdCount:], o.FDCount)
	le.PutUint64(b[wire.OffObjSegPos:], o.SegPos)
	le.PutUint64(b[wire.OffObjSegLen:], o.SegLen)
	return b
}

func (r *ring) ioctl(req *request, cmd uint32, arg *[24]byte) {
	body := make([]byte, wire.SizeofIoctl)
	le.PutUint32(body[wire.OffIoctlCmd:], cmd)
	le.PutUint32(body[wire.OffIoctlEuid:], req.EUID)
	copy(body[wire.OffIoctlArg:], arg[:])
	r.submit(wire.QRequest, header(wire.OpIoctl, req.Proc, req.TID, req.Seq, body), 0, wire.LenIoctlArg, req.done)
}

func (r *ring) poll(id driver.ProcID, tid uint32) (bool, unix.Errno) {
	resp := r.call(wire.QRequest, wire.OpPoll, id, tid, 0, nil, 0)
	return resp.Val != 0, resp.Status
}

func (r *ring) control(op uint32, id driver.ProcID, tid, seq uint32, body []byte) {
	r.call(wire.QControl, op, id, tid, seq, body, 0)
}

func (r *ring) cancel(id driver.ProcID, tid, seq uint32) { r.control(wire.OpCancel, id, tid, seq, nil) }
func (r *ring) release(id driver.ProcID)                 { r.control(wire.OpRelease, id, 0, 0, nil) }
func (r *ring) flush(id driver.ProcID)                   { r.control(wire.OpFlush, id, 0, 0, nil) }
func (r *ring) unmap(id driver.ProcID)                   { r.control(wire.OpUnmap, id, 0, 0, nil) }

func (r *ring) undo(id driver.ProcID, tid uint32, delivery uint64) {
	body := le.AppendUint64(nil, delivery)
	body = le.AppendUint32(le.AppendUint32(body, wire.UndoFds), 0)
	r.control(wire.OpDeliveryFailed, id, tid, 0, body)
}

func (r *ring) window() []byte        { return r.win }
func (r *ring) counts() driver.Counts { return r.dev.VM().Counts() }

func (r *ring) close() error {
	err := r.drv.Close()
	if s := r.dev.Stats(); s.WindowReserved != 0 {
		err = errors.Join(err, fmt.Errorf("%d bytes of window are reserved", s.WindowReserved))
	}
	return errors.Join(err, r.dev.Close())
}
