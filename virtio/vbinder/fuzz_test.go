// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/virtiotest"
)

// FuzzGuests plays programs of two hostile guest drivers, whose devices share a core.
// After each request: no chain has come back twice, the control queue answers at once,
// what is outstanding and what is reserved is what the guest can account for, an event
// is pending once.
func FuzzGuests(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomBytes(seed, 1500))
	}
	f.Fuzz(func(t *testing.T, code []byte) { newGang(t, code).run() })
}

// TestRandomGuests is a fixed lot of FuzzGuests' programs; no goroutine stays behind.
func TestRandomGuests(t *testing.T) {
	defer goleak.VerifyNone(t)
	for seed := range uint64(60) {
		newGang(t, randomBytes(seed, 3000)).run()
	}
}

func randomBytes(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

type gang struct {
	t    *testing.T
	code []byte
	all  []*bandit
}

func (g *gang) n(limit int) int {
	if len(g.code) == 0 {
		return 0
	}
	v := int(g.code[0]) % limit
	g.code = g.code[1:]
	return v
}

// bandit is one guest: what it has sent and what it was told.
type bandit struct {
	*gang
	dev      *Device
	drv      *virtiotest.Driver
	seq      uint32
	flying   map[*virtiotest.Queue]map[uint16]sent // by head
	contexts []uint64
	procs    []uint64
	reserved map[uint64]uint64 // bytes, by process
	token    uint32
	resets   int
}

// sent is a request on the ring.
type sent struct {
	op   uint32
	proc uint64
	len  uint64 // of an mmap
	room virtiotest.Span
}

func newGang(t *testing.T, code []byte) *gang {
	g := &gang{t: t, code: code}
	core := driver.New(driver.Config{})
	for _, name := range []string{"a", "b"} {
		b := &bandit{gang: g}
		dev, err := New(Config{Core: core, Name: name, Inline: true, WindowSize: 1 << 20, RequestQueues: 2,
			Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			t.Fatal(err)
		}
		b.dev = dev
		if b.drv, err = virtiotest.Start(dev, virtiotest.Config{Inline: true, Memory: 32 << 20}); err != nil {
			t.Fatal(err)
		}
		b.setup()
		g.all = append(g.all, b)
	}
	return g
}

// setup brings a guest to where interesting things begin: a context manager with a
// parked looper, and a client.
func (b *bandit) setup() {
	b.forget()
	b.send(wire.QRequest, wire.OpContext, 0, contextBody("binder"))
	b.check()
	for pid := range uint32(2) {
		b.send(wire.QRequest, wire.OpOpen, 0, openBody(b.contexts[0], "u:r:x:s0", pid+1))
		b.check()
		body := le.AppendUint64(le.AppendUint64(nil, 0x7000_0000_0000), 8192)
		proc := b.procs[pid]
		b.submit(wire.QRequest, b.header(wire.OpMmap, proc, 1, body), wire.SizeofResp, sent{op: wire.OpMmap, proc: proc, len: 8192})
		ioctl := make([]byte, wire.SizeofIoctl)
		le.PutUint32(ioctl, uapi.BINDER_SET_CONTEXT_MGR)
		b.submit(wire.QRequest, b.header(wire.OpIoctl, proc, 1, ioctl), wire.SizeofResp+wire.LenIoctlArg, sent{op: wire.OpIoctl})
		w := &writeRead{read: 256}
		w.command(uapi.BC_ENTER_LOOPER)
		b.submit(wire.QRequest, b.header(wire.OpWriteRead, proc, 1, w.body()), wire.SizeofResp+256, sent{op: wire.OpWriteRead, proc: proc})
		b.check()
	}
}

func (b *bandit) forget() {
	b.flying, b.reserved = map[*virtiotest.Queue]map[uint16]sent{}, map[uint64]uint64{}
	for _, i := range []int{wire.QControl, wire.QEvent, wire.QDeferred, wire.QRequest, wire.QRequest + 1} {
		b.flying[b.drv.Queue(i)] = map[uint16]sent{}
	}
	b.contexts, b.procs = nil, nil
}

func (g *gang) run() {
	for steps := 0; len(g.code) > 0 && steps < 300; steps++ {
		b := g.all[g.n(len(g.all))]
		b.step()
		for _, b := range g.all {
			b.check()
		}
	}
	for _, b := range g.all {
		b.drv.SetStatus(0)
		for kind, n := range b.dev.VM().Counts() {
			if n.Active != 0 {
				g.t.Errorf("%d %s left", n.Active, kind)
			}
		}
		if s := b.dev.Stats(); s.Outstanding != 0 || s.WindowReserved != 0 {
			g.t.Errorf("after a reset: %+v", s)
		}
		if err := b.drv.Close(); err != nil {
			g.t.Error(err)
		}
		if err := b.dev.Close(); err != nil {
			g.t.Error(err)
		}
	}
}

func (b *bandit) failed() bool { return b.drv.Status()&virtiotest.StatusNeedsReset != 0 }

// reset starts the device anew. Each time takes memory of the test's machine, so a
// program has only so many.
func (b *bandit) reset() {
	if b.resets++; b.resets > 6 {
		b.gang.code = nil
	}
	if err := b.drv.Up(0); err != nil {
		b.t.Fatal(err)
	}
	b.forget()
	if s := b.dev.Stats(); s.Outstanding != 0 || s.WindowReserved != 0 {
		b.t.Fatalf("after a reset: %+v", s)
	}
	b.setup()
}

// check takes what came back and looks at what did not.
func (b *bandit) check() {
	out := 0
	for q, flying := range b.flying {
		for {
			u, ok := q.Used()
			if !ok {
				break
			}
			s, mine := flying[u.Head]
			if !mine {
				b.t.Fatalf("chain %d came back twice", u.Head)
			}
			delete(flying, u.Head)
			b.answered(q, s, u.Written)
		}
		if q != b.drv.Queue(wire.QEvent) {
			out += len(flying)
		}
	}
	if b.failed() {
		b.reset()
		return
	}
	if n := len(b.flying[b.drv.Queue(wire.QControl)]); n != 0 {
		b.t.Fatalf("%d requests wait in the control queue", n)
	}
	var reserved uint64
	for _, n := range b.reserved {
		reserved += n
	}
	if s := b.dev.Stats(); s.Outstanding != out || s.WindowReserved != reserved {
		b.t.Fatalf("%d outstanding, %d of window; the guest knows of %d and %d", s.Outstanding, s.WindowReserved, out, reserved)
	}
	e := b.dev.act.Load().events
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.pending) != e.order.len() {
		b.t.Fatalf("%d levels pending, %d in order", len(e.pending), e.order.len())
	}
}

func (b *bandit) answered(q *virtiotest.Queue, s sent, written uint32) {
	if s.op == 0 || written < wire.SizeofResp {
		return
	}
	resp := q.Bytes(s.room)[:written]
	ok := le.Uint32(resp) == 0
	switch {
	case s.op == wire.OpContext && ok:
		b.contexts = append(b.contexts, le.Uint64(resp[wire.OffRespVal:]))
	case s.op == wire.OpOpen && ok:
		b.procs = append(b.procs, le.Uint64(resp[wire.OffRespVal:]))
	case s.op == wire.OpMmap && ok:
		b.reserved[s.proc] = s.len
	case s.op == wire.OpRelease && ok:
		delete(b.reserved, s.proc)
	}
}

func (b *bandit) step() {
	switch n := b.n(48); {
	case n < 3:
		b.send(wire.QRequest, wire.OpContext, 0, contextBody("binder"))
	case n < 8:
		b.send(b.any(), wire.OpOpen, 0, openBody(b.context(), "u:r:x:s0", uint32(b.n(4))))
	case n < 12:
		b.mmap()
	case n < 30:
		b.writeRead()
	case n < 33:
		b.ioctl()
	case n < 36:
		b.event()
	case n < 44:
		b.control()
	case n < 46:
		b.noise()
	case n == 46:
		b.ring()
	default:
		b.reset()
	}
}

// any is a request queue or, now and then, the deferred one, which has to refuse most of it.
func (b *bandit) any() int {
	return []int{wire.QRequest, wire.QRequest + 1, wire.QRequest, wire.QDeferred}[b.n(4)]
}

func (b *bandit) context() uint64 {
	if len(b.contexts) == 0 || b.n(16) == 0 {
		return uint64(b.n(4))
	}
	return b.contexts[b.n(len(b.contexts))]
}

func (b *bandit) proc() uint64 {
	if len(b.procs) == 0 || b.n(16) == 0 {
		return uint64(b.n(256))<<32 | uint64(b.n(4))
	}
	return b.procs[max(0, len(b.procs)-1-b.n(4))]
}

// submit puts a request on a ring.
func (b *bandit) submit(queue int, request []byte, room int, s sent) {
	q := b.drv.Queue(queue)
	s.room = q.Room(room)
	head, err := q.Submit([]virtiotest.Span{q.Put(request)}, []virtiotest.Span{s.room})
	if err != nil {
		b.reset() // full
		return
	}
	b.flying[q][head] = s
	q.Kick()
}

func (b *bandit) send(queue int, op uint32, proc uint64, body []byte) {
	b.submit(queue, b.header(op, proc, uint32(1+b.n(4)), body), wire.SizeofResp+256, sent{op: op, proc: proc})
}

func (b *bandit) header(op uint32, proc uint64, tid uint32, body []byte) []byte {
	b.seq++
	h := make([]byte, wire.SizeofReq, wire.SizeofReq+len(body))
	le.PutUint32(h[wire.OffReqOp:], op)
	le.PutUint32(h[wire.OffReqCtlLen:], uint32(wire.SizeofReq+len(body)))
	le.PutUint64(h[wire.OffReqProc:], proc)
	le.PutUint32(h[wire.OffReqTid:], tid)
	le.PutUint32(h[wire.OffReqSeq:], b.seq)
	return append(h, body...)
}

func (b *bandit) mmap() {
	proc, n := b.proc(), []uint64{8192, 8192, 4096, 1 << 16, 0, ^uint64(0), 1 << 40}[b.n(7)]
	if _, mapped := b.reserved[proc]; mapped {
		n = 0
	}
	body := le.AppendUint64(le.AppendUint64(nil, 0x7000_0000_0000), n)
	b.submit(b.any(), b.header(wire.OpMmap, proc, 1, body), wire.SizeofResp, sent{op: wire.OpMmap, proc: proc, len: min(n, maxMap)})
}

// ioctl waits at most until its process or the device goes.
func (b *bandit) ioctl() {
	body := make([]byte, wire.SizeofIoctl)
	le.PutUint32(body, []uint32{uapi.BINDER_SET_CONTEXT_MGR, uapi.BINDER_SET_CONTEXT_MGR, uapi.BINDER_FREEZE, uapi.BINDER_VERSION, uapi.BINDER_THREAD_EXIT}[b.n(5)])
	for i, v := range []uint32{uint32(b.n(4)), uint32(b.n(2)), 1 << 30 * uint32(b.n(2))} {
		le.PutUint32(body[wire.OffIoctlArg+4*i:], v)
	}
	b.send([]int{wire.QControl, wire.QRequest, wire.QRequest, wire.QRequest + 1}[b.n(4)], wire.OpIoctl, b.proc(), body)
}

func (b *bandit) event() {
	q := b.drv.Queue(wire.QEvent)
	head, err := q.Submit(nil, []virtiotest.Span{q.Room([]int{wire.SizeofEvent, wire.SizeofEvent, 8}[b.n(3)])})
	if err == nil {
		b.flying[q][head] = sent{}
		q.Kick()
	}
}

func (b *bandit) control() {
	op := []uint32{wire.OpCancel, wire.OpFlush, wire.OpRelease, wire.OpUnmap, wire.OpDeliveryFailed, wire.OpPing, wire.OpCancel, wire.OpContextEnd}[b.n(8)]
	var body []byte
	switch op {
	case wire.OpDeliveryFailed:
		body = make([]byte, wire.SizeofUndo)
		le.PutUint64(body, uint64(b.n(64)))
	case wire.OpContextEnd:
		body = le.AppendUint64(nil, b.context())
	}
	b.send(wire.QControl, op, b.proc(), body)
}

// writeRead sends a WRITE_READ that is nearly right: tables that agree with each other,
// or one number that does not.
func (b *bandit) writeRead() {
	w := &writeRead{read: []uint32{256, 256, 128, 0, 4}[b.n(5)], fixCap: uint32(b.n(4)), flags: []uint32{0, 0, 0, wire.WrNonblock, wire.WrPartial}[b.n(5)]}
	for range b.n(4) {
		switch b.n(6) {
		case 0, 1, 2:
			b.transaction(w)
		case 3:
			w.command(uapi.BC_ENTER_LOOPER)
		case 4:
			w.command(uapi.BC_FREE_BUFFER, le.AppendUint64(nil, 0x7000_0000_0000+uint64(8*b.n(32)))...)
		case 5:
			w.command(uapi.BC_ACQUIRE, byte(b.n(3)), 0, 0, 0)
		}
	}
	proc := b.proc()
	req := append(b.header(wire.OpWriteRead, proc, uint32(1+b.n(3)), w.body()), w.payload...)
	if b.n(8) == 7 && len(req) > wire.SizeofReq {
		at := wire.SizeofReq + b.n(len(req)-wire.SizeofReq)
		req[at] ^= byte(1 << b.n(8))
	}
	room := wire.SizeofResp + int(w.fixCap)*wire.SizeofFix + int(w.read)
	b.submit(b.any(), req, room-b.n(2)*b.n(2)*8, sent{op: wire.OpWriteRead, proc: proc})
}

func (b *bandit) transaction(w *writeRead) {
	td := uapi.TransactionData{Target: uint64(b.n(3)), Flags: []uint32{0, uapi.TF_ONE_WAY, uapi.TF_ACCEPT_FDS}[b.n(3)], DataSize: 24}
	cmd := uint32(uapi.BC_TRANSACTION)
	if b.n(3) == 0 {
		cmd = uapi.BC_REPLY
	}
	at := uint64(len(w.payload))
	w.payload = append(w.payload, make([]byte, 24)...)
	first := len(w.objs)
	for range b.n(2) {
		td.OffsetsSize = 8
		var o [wire.SizeofObj]byte
		kind := []uint32{uapi.BINDER_TYPE_BINDER, uapi.BINDER_TYPE_HANDLE, uapi.BINDER_TYPE_FD}[b.n(3)]
		binary.LittleEndian.PutUint32(o[wire.OffObjRaw:], kind)
		o[wire.OffObjRaw+5] = 1 // accepts fds, where it is a node
		o[wire.OffObjRaw+8] = byte(b.n(3))
		le.PutUint32(o[wire.OffObjRawLen:], 24)
		le.PutUint32(o[wire.OffObjFdFirst:], uint32(len(w.fds)))
		if kind == uapi.BINDER_TYPE_FD {
			b.token++
			le.PutUint32(o[wire.OffObjFdCount:], 1)
			var f [wire.SizeofFd]byte
			le.PutUint32(f[:], b.token)
			w.fds = append(w.fds, f)
		}
		w.objs = append(w.objs, o)
	}
	w.transact(cmd, td, at)
	le.PutUint32(w.txns[len(w.txns)-1][wire.OffTxnObjFirst:], uint32(first))
}

// noise is a request of arbitrary bytes.
func (b *bandit) noise() {
	body := make([]byte, b.n(128))
	for i := range body {
		body[i] = byte(b.n(256))
	}
	op := uint32(b.n(32))
	if op == wire.OpMmap || op == wire.OpRelease {
		return // the guest would lose count of its window
	}
	b.send([]int{wire.QControl, wire.QRequest, wire.QRequest + 1, wire.QDeferred}[b.n(4)], op, b.proc(), body)
}

// ring breaks a rule of the rings: the device fails and needs a reset.
func (b *bandit) ring() {
	q := b.drv.Queue([]int{wire.QControl, wire.QEvent, wire.QRequest, wire.QDeferred}[b.n(4)])
	q.SetAvailIdx(uint16(40000 * (1 + b.n(1))))
	q.ForceKick()
	if !b.failed() && q != b.drv.Queue(wire.QEvent) {
		b.t.Fatal("a broken ring goes unnoticed")
	}
	b.reset()
}
