// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/virtiotest"
)

func TestConfigSpace(t *testing.T) {
	g := newGuest(t, Config{RequestQueues: 3}, true)
	b := make([]byte, wire.SizeofConfig)
	g.drv.ReadConfig(0, b)
	want := wire.Config{RequestQueues: 3, MaxCtl: maxCtl, MaxRead: maxRead, MaxMap: maxMap, WindowSize: testWindow}.Bytes()
	if !bytes.Equal(b, want[:]) {
		t.Errorf("configuration space\n got %x\nwant %x", b, want)
	}
	if le.Uint32(b) != wire.Magic {
		t.Errorf("magic %#x", le.Uint32(b))
	}
	if g.dev.Type() != wire.IdDefault || g.drv.Offered()&(1<<wire.FInline) == 0 {
		t.Errorf("type %d, features %#x", g.dev.Type(), g.drv.Offered())
	}
}

func TestPing(t *testing.T) {
	g := newGuest(t, Config{}, true)
	for _, q := range []int{wire.QControl, wire.QRequest} {
		if a := g.call(q, wire.OpPing, 0, 0, nil, 0); a.status != 0 || a.txn != wire.NoPos {
			t.Errorf("queue %d: %+v", q, a)
		}
		if n := g.drv.Queue(q).Interrupts(); n != 0 {
			t.Errorf("queue %d: %d interrupts for a request that its own kick answered", q, n)
		}
	}
}

func TestOpenMmapRelease(t *testing.T) {
	g := newGuest(t, Config{MaxCommitted: 1 << 20}, true)
	p := g.open(1)
	g.window[p.off] = 7
	q := g.call(wire.QRequest, wire.OpOpen, 0, 2, openBody(g.binder, "", 2), 0)
	body := le.AppendUint64(le.AppendUint64(nil, 0x1000), 4096)
	if a := g.call(wire.QRequest, wire.OpMmap, driver.ProcID(q.val), 2, body, 0); a.status != status(unix.ENOMEM) {
		t.Errorf("mmap beyond the limit: status %d, want ENOMEM", a.status)
	}
	p.release()
	if g.window[p.off] != 0 {
		t.Error("a released range still has its old bytes")
	}
	if a := g.call(wire.QRequest, wire.OpMmap, driver.ProcID(q.val), 2, body, 0); a.status != 0 {
		t.Errorf("mmap after release: status %d", a.status)
	}
	if a := g.call(wire.QRequest, wire.OpPoll, p.id, 1, nil, 0); a.status != status(unix.ENODEV) || a.flags&wire.RespGone == 0 {
		t.Errorf("poll of a released process: %+v", a)
	}
	if s := g.dev.Stats(); s.WindowFailed != 1 || s.WindowReserved != 4096 {
		t.Errorf("stats %+v", s)
	}
}

func TestContextsAreBounded(t *testing.T) {
	g := newGuest(t, Config{Core: driver.New(driver.Config{Limits: driver.Limits{Contexts: 3}})}, true)
	context := func() answer { return g.call(wire.QRequest, wire.OpContext, 0, 1, contextBody("binder"), 0) }
	for range 2 { // one is there
		if a := context(); a.status != 0 || a.val == g.binder {
			t.Fatalf("%+v", a)
		}
	}
	if a := context(); a.status != status(unix.ENOSPC) {
		t.Fatalf("one too many: %+v", a)
	}
	if a := g.call(wire.QControl, wire.OpContextEnd, 0, 0, le.AppendUint64(nil, g.binder), 0); a.status != 0 {
		t.Fatal(a)
	}
	if a := g.call(wire.QRequest, wire.OpOpen, 0, 1, openBody(g.binder, "", 1), 0); a.status != status(unix.EINVAL) {
		t.Errorf("open of a context that has ended: %+v", a)
	}
	if a := context(); a.status != 0 {
		t.Errorf("one ended, and there is no room: %+v", a)
	}
}

// callOnce runs one whole call, with its payload as extents if scattered, and
// returns the manager's parked read for the next.
func callOnce(t *testing.T, g *guest, mgr, client *process, looper *pending, question []byte, scattered bool) *pending {
	t.Helper()
	w := &writeRead{read: 256, fixCap: 4}
	w.transact(uapi.BC_TRANSACTION, uapi.TransactionData{Code: 42, Flags: uapi.TF_ACCEPT_FDS, DataSize: uint64(len(question))}, 0)
	if scattered {
		q := g.drv.Queue(wire.QRequest)
		half := len(question) / 2
		w.extents = []virtiotest.Span{q.Put(question[:half]), q.Put(question[half:])}
	} else {
		w.payload = question
	}
	caller := client.send(20, w)

	got := looper.take()
	codes, td := returns(t, got.br)
	if !slices.Contains(codes, uapi.BR_TRANSACTION) {
		t.Fatalf("the manager got %#x, want BR_TRANSACTION", codes)
	}
	if td.Code != 42 || !bytes.Equal(mgr.data(td), question) {
		t.Fatalf("code %d, data %q, want %q", td.Code, mgr.data(td), question)
	}
	if got.sender != client.id || got.txn == wire.NoPos || got.delivery == 0 {
		t.Fatalf("sender %#x at %d, delivery %d", got.sender, got.txn, got.delivery)
	}

	reply := &writeRead{read: 256, fixCap: 4, payload: []byte("world!!!")}
	reply.command(uapi.BC_FREE_BUFFER, le.AppendUint64(nil, td.Buffer)...)
	reply.transact(uapi.BC_REPLY, uapi.TransactionData{DataSize: 8}, 0)
	done := mgr.send(10, reply)

	// Two answers, in some order: the caller's reply and the manager's completion.
	var answered int
	for range 2 {
		u, ok := done.queue.Used()
		if !ok {
			break
		}
		answered++
		switch u.Head {
		case caller.head:
			codes, td := returns(t, caller.parse(u.Written).br)
			if !slices.Contains(codes, uapi.BR_REPLY) || string(client.data(td)) != "world!!!" {
				t.Fatalf("the client got %#x, %q", codes, client.data(td))
			}
			free := &writeRead{}
			free.command(uapi.BC_FREE_BUFFER, le.AppendUint64(nil, td.Buffer)...)
			defer func() {
				if a := client.send(20, free).take(); a.status != 0 || a.consumed != 12 {
					t.Fatalf("free: %+v", a)
				}
			}()
		case done.head:
			codes, _ := returns(t, done.parse(u.Written).br)
			if !slices.Contains(codes, uapi.BR_TRANSACTION_COMPLETE) {
				t.Fatalf("the manager got %#x, want BR_TRANSACTION_COMPLETE", codes)
			}
		default:
			t.Fatalf("chain %d came back", u.Head)
		}
	}
	if answered != 2 {
		t.Fatalf("%d answers to a reply, want 2", answered)
	}
	return mgr.send(10, &writeRead{read: 256, fixCap: 4})
}

func TestCall(t *testing.T) {
	for name, scattered := range map[string]bool{"payload in the chain": false, "payload in extents": true} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, Config{}, true)
			mgr, client := g.open(10), g.open(20)
			looper := mgr.manager(10)
			for range 3 {
				looper = callOnce(t, g, mgr, client, looper, []byte("hello, binder!!!"), scattered)
			}
			if n := g.drv.Queue(wire.QRequest).Interrupts(); n != 0 {
				t.Errorf("%d interrupts on a queue whose kicks harvest it", n)
			}
			if s := g.dev.Stats(); s.Outstanding != 1 || s.Parked == 0 || s.BadRequests != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestInterruptForAnotherQueue: an answer that some other queue's kick brings
// about must interrupt.
func TestInterruptForAnotherQueue(t *testing.T) {
	g := newGuest(t, Config{RequestQueues: 2}, true)
	mgr, client := g.open(10), g.open(20)
	looper := mgr.manager(10)
	g.drv.Queue(wire.QRequest).WantInterrupt()
	before := g.drv.Queue(wire.QRequest).Interrupts()
	w := &writeRead{payload: []byte("12345678")}
	w.transact(uapi.BC_TRANSACTION, uapi.TransactionData{Flags: uapi.TF_ONE_WAY, DataSize: 8}, 0)
	if a := g.send(wire.QRequest+1, w.request(client, 20), 0, 0).take(); a.status != 0 {
		t.Fatalf("oneway: %+v", a)
	}
	if n := g.drv.Queue(wire.QRequest).Interrupts() - before; n != 1 {
		t.Errorf("%d interrupts for a parked read, want 1", n)
	}
	if codes, _ := returns(t, looper.take().br); !slices.Contains(codes, uapi.BR_TRANSACTION) {
		t.Errorf("the manager got %#x", codes)
	}
}

func TestCancel(t *testing.T) {
	g := newGuest(t, Config{}, true)
	looper := g.open(10)
	read := looper.manager(10)
	req := g.header(wire.OpCancel, looper.id, 10, nil)
	le.PutUint32(req[wire.OffReqSeq:], read.seq)
	if a := g.send(wire.QControl, req, 0, 0).take(); a.status != 0 {
		t.Fatalf("cancel: %+v", a)
	}
	if a := read.take(); a.flags&wire.RespCancelled == 0 || a.consumed != 4 {
		t.Errorf("cancelled read: %+v, want CANCELLED with 4 bytes consumed", a)
	}
}

func TestReleaseAnswersParked(t *testing.T) {
	g := newGuest(t, Config{}, true)
	p := g.open(10)
	read := p.manager(10)
	p.release()
	if a := read.take(); a.flags&wire.RespGone == 0 || a.status != status(unix.ENODEV) {
		t.Errorf("read of a released process: %+v", a)
	}
}

// TestHalfRingParks: past half a ring of waiting reads, one more is answered as
// waiting, and is told by an event when to come again.
func TestHalfRingParks(t *testing.T) {
	g := newGuest(t, Config{}, true)
	p := g.open(10)
	p.manager(10)
	for tid := uint32(11); tid < 10+requestSize/2; tid++ {
		p.thread(tid)
		w := &writeRead{read: 256}
		w.command(uapi.BC_ENTER_LOOPER)
		p.send(tid, w)
	}
	if s := g.dev.Stats(); s.Outstanding != requestSize/2 {
		t.Fatalf("%d requests are parked, want %d", s.Outstanding, requestSize/2)
	}
	p.thread(5000)
	w := &writeRead{read: 256}
	w.command(uapi.BC_ENTER_LOOPER)
	if a := p.send(5000, w).take(); a.flags&wire.RespWaiting == 0 || a.consumed != 4 {
		t.Errorf("a read past half the ring: %+v, want WAITING", a)
	}
}

// TestEventsWaitForBuffers: a level raised while there is no buffer is sent, once,
// when one comes.
func TestEventsWaitForBuffers(t *testing.T) {
	g := newGuest(t, Config{}, true)
	e := g.dev.act.Load().events
	for range 3 {
		e.post(driver.Event{Kind: driver.EventPoll, Proc: 9, TID: 1})
		e.post(driver.Event{Kind: driver.EventThread, Proc: 9, TID: 4})
	}
	for i := range uint32(wire.EvTokens + 1) {
		e.post(driver.Event{Kind: driver.EventPut, Token: 100 + i})
	}
	q := g.drv.Queue(wire.QEvent)
	var got [][]byte
	for range 6 {
		room := q.Room(wire.SizeofEvent)
		if _, err := q.Submit(nil, []virtiotest.Span{room}); err != nil {
			t.Fatal(err)
		}
		q.Kick()
		if u, ok := q.Used(); ok && u.Written == wire.SizeofEvent {
			got = append(got, q.Bytes(room))
		}
	}
	if len(got) != 4 {
		t.Fatalf("%d events, want two PUT, one POLL, one THREAD", len(got))
	}
	for i, want := range []struct{ kind, count, tid uint32 }{{wire.EvPut, wire.EvTokens, 0}, {wire.EvPut, 1, 0}, {wire.EvPoll, 0, 0}, {wire.EvThread, 0, 4}} {
		b := got[i]
		if le.Uint32(b) != want.kind || le.Uint32(b[wire.OffEventCount:]) != want.count || le.Uint32(b[wire.OffEventTid:]) != want.tid {
			t.Errorf("event %d is %x, want %+v", i, b, want)
		}
	}
	if last := le.Uint32(got[1][wire.OffEventToken:]); last != 100+wire.EvTokens {
		t.Errorf("last token %d", last)
	}
	if q.Interrupts() == 0 {
		t.Error("events did not interrupt")
	}
}

// TestFixesWithoutRoom: where too many fix-ups wait to be fetched, an answer loses its
// rest and FETCH_FIX fails; the files of the rest are put. Nothing else is harmed.
func TestFixesWithoutRoom(t *testing.T) {
	g := newGuest(t, Config{}, true)
	q := g.dev.act.Load().queues[wire.QRequest]
	answered := func(tid uint32, fixes ...driver.Fix) {
		r := newRequest(q)
		r.head.Proc, r.head.TID = 5, tid
		g.dev.keepFixes(r, fixes)
	}
	fetch := func(tid uint32) int32 {
		return g.send(wire.QRequest, g.header(wire.OpFetchFix, 5, tid, []byte{4, 0, 0, 0, 0, 0, 0, 0}), 4, 0).take().status
	}
	answered(1, make([]driver.Fix, maxKeptFixes)...)
	answered(2, driver.Fix{Token: 7, Kind: driver.FixFD})
	if n := g.dev.act.Load().events.tokens.len(); n != 1 {
		t.Errorf("%d tokens put, want 1", n)
	}
	if status := fetch(2); status != -int32(unix.ENOMEM) {
		t.Errorf("fetching what is lost: %d", status)
	}
	if status := fetch(1); status != 0 {
		t.Errorf("fetching what is there: %d", status)
	}
	g.dev.dropFixes(thread{5, 1})
	answered(2, driver.Fix{Token: 8, Kind: driver.FixFD})
	if status := fetch(2); status != 0 {
		t.Errorf("fetching when there is room again: %d", status)
	}
}

// TestFixesInBatches: what does not fit an answer is fetched, and what is never
// fetched is put.
func TestFixesInBatches(t *testing.T) {
	g := newGuest(t, Config{}, true)
	q := g.dev.act.Load().queues[wire.QRequest]
	r := newRequest(q)
	r.head = wire.Header{Proc: 5, TID: 6}
	all := make([]driver.Fix, 10)
	for i := range all {
		all[i] = driver.Fix{Off: uint64(i), Token: uint32(i + 1), Kind: driver.FixFD}
	}
	g.dev.keepFixes(r, all)
	var got []driver.Fix
	for _, want := range []uint32{wire.RespMoreFix, wire.RespMoreFix, 0, 0} {
		body := le.AppendUint64(nil, 4)
		a := g.send(wire.QRequest, g.header(wire.OpFetchFix, 5, 6, body), 4, 0).take()
		if a.status != 0 || a.flags != want {
			t.Fatalf("fetch: %+v, want flags %d", a, want)
		}
		got = append(got, a.fix...)
	}
	if !slices.Equal(got, all) {
		t.Errorf("fetched %v", got)
	}
	g.dev.keepFixes(r, all)
	g.dev.dropProcFixes(5)
	if n := g.dev.act.Load().events.tokens.len(); n != len(all) {
		t.Errorf("%d tokens put, want %d", n, len(all))
	}
}

func TestMalformed(t *testing.T) {
	g := newGuest(t, Config{}, true)
	p := g.open(1)
	patched := func(b []byte, off int, v uint32) []byte { le.PutUint32(b[off:], v); return b }
	wr := func(w writeRead) []byte { return w.request(p, 1) }
	wrAt := func(off int, v uint32) []byte { return patched(wr(writeRead{}), wire.SizeofReq+off, v) }
	for name, c := range map[string]struct {
		queue   int
		request []byte
		room    int
		want    unix.Errno // 0: no room for an answer
	}{
		"short header":      {wire.QRequest, make([]byte, 8), 64, unix.EPROTO},
		"ctl_len 0":         {wire.QRequest, patched(g.header(wire.OpPing, 0, 0, nil), wire.OffReqCtlLen, 0), 64, unix.EPROTO},
		"ctl_len too long":  {wire.QRequest, patched(g.header(wire.OpPing, 0, 0, nil), wire.OffReqCtlLen, 33), 64, unix.EPROTO},
		"ctl_len huge":      {wire.QRequest, patched(g.header(wire.OpPing, 0, 0, nil), wire.OffReqCtlLen, 1<<31), 64, unix.EPROTO},
		"a body on a ping":  {wire.QRequest, g.header(wire.OpPing, 0, 0, make([]byte, 8)), 64, unix.EPROTO},
		"op 0":              {wire.QRequest, g.header(0, 0, 0, nil), 64, unix.EPROTO},
		"op in the gap":     {wire.QRequest, g.header(9, 0, 0, nil), 64, unix.EPROTO},
		"op unknown":        {wire.QRequest, g.header(1<<31, 0, 0, nil), 64, unix.EPROTO},
		"read on control":   {wire.QControl, wr(writeRead{}), 64, unix.EPROTO},
		"cancel on request": {wire.QRequest, g.header(wire.OpCancel, 0, 0, nil), 64, unix.EPROTO},
		"no room":           {wire.QRequest, g.header(wire.OpPing, 0, 0, nil), 63, 0},
		"no room for BR":    {wire.QRequest, wr(writeRead{read: 1}), 64, unix.EINVAL},
		"no room for fixes": {wire.QRequest, wr(writeRead{fixCap: 1}), 64, unix.EINVAL},
		"fix_cap wraps":     {wire.QRequest, wr(writeRead{fixCap: 1 << 28}), 64, unix.EINVAL},
		"read_size huge":    {wire.QRequest, wr(writeRead{read: 1 << 31}), 64, unix.EINVAL},
		"write_len":         {wire.QRequest, wrAt(wire.OffWrWriteLen, ^uint32(0)), 64, unix.EPROTO},
		"txn_count":         {wire.QRequest, wrAt(wire.OffWrTxnCount, ^uint32(0)), 64, unix.EPROTO},
		"obj_count":         {wire.QRequest, wrAt(wire.OffWrObjCount, 1), 64, unix.EPROTO},
		"fd_count":          {wire.QRequest, wrAt(wire.OffWrFdCount, 1), 64, unix.EPROTO},
		"extent_count":      {wire.QRequest, wrAt(wire.OffWrExtentCount, 1<<28), 64, unix.EPROTO},
		"context unended":   {wire.QRequest, g.header(wire.OpContext, 0, 1, bytes.Repeat([]byte{'a'}, wire.SizeofContext)), 64, unix.EINVAL},
		"context unnamed":   {wire.QRequest, g.header(wire.OpContext, 0, 1, make([]byte, wire.SizeofContext)), 64, unix.EINVAL},
		"context unknown":   {wire.QRequest, g.header(wire.OpOpen, 0, 1, openBody(g.binder+1, "", 1)), 64, unix.EINVAL},
		"label_len":         {wire.QRequest, patched(g.header(wire.OpOpen, 0, 1, openBody(g.binder, "", 1)), wire.SizeofReq+wire.OffOpenLabelLen, 4), 64, unix.EINVAL},
		"log unknown":       {wire.QRequest, g.header(wire.OpLog, 0, 1, patched(make([]byte, wire.SizeofLog), wire.OffLogKind, 7)), 64, unix.EINVAL},
		"log without room":  {wire.QRequest, g.header(wire.OpLog, 0, 1, patched(make([]byte, wire.SizeofLog), wire.OffLogRoom, 1)), 64, unix.EINVAL},
		"mmap of nobody":    {wire.QRequest, g.header(wire.OpMmap, 77, 1, le.AppendUint64(le.AppendUint64(nil, 0x1000), 4096)), 64, unix.ENODEV},
	} {
		q := g.drv.Queue(c.queue)
		room := q.Room(c.room)
		if _, err := q.Submit([]virtiotest.Span{q.Put(c.request)}, []virtiotest.Span{room}); err != nil {
			t.Fatal(err)
		}
		q.Kick()
		u, ok := q.Used()
		switch {
		case !ok:
			t.Fatalf("%s: no answer", name)
		case c.want == 0 && u.Written != 0:
			t.Errorf("%s: %d bytes written", name, u.Written)
		case c.want != 0 && u.Written != wire.SizeofResp:
			t.Errorf("%s: %d bytes written", name, u.Written)
		case c.want != 0 && int32(le.Uint32(q.Bytes(room))) != status(c.want):
			t.Errorf("%s: status %d, want %d", name, int32(le.Uint32(q.Bytes(room))), status(c.want))
		}
	}
	if a := g.call(wire.QRequest, wire.OpPing, 0, 0, nil, 0); a.status != 0 {
		t.Errorf("ping after it all: %+v", a)
	}
}

// TestNoWritablePart: a chain without room for any answer comes back empty.
func TestNoWritablePart(t *testing.T) {
	g := newGuest(t, Config{}, true)
	q := g.drv.Queue(wire.QRequest)
	if _, err := q.Submit([]virtiotest.Span{q.Put(g.header(wire.OpPing, 0, 0, nil))}, nil); err != nil {
		t.Fatal(err)
	}
	q.Kick()
	if u, ok := q.Used(); !ok || u.Written != 0 {
		t.Errorf("used %+v, %v", u, ok)
	}
}

func TestResetWithParked(t *testing.T) {
	g := newGuest(t, Config{}, true)
	g.open(10).manager(10)
	g.drv.SetStatus(0)
	if s := g.dev.Stats(); s.Outstanding != 0 || s.WindowReserved != 0 {
		t.Errorf("after reset: %+v", s)
	}
	if err := g.drv.Up(0); err != nil {
		t.Fatal(err)
	}
	g.probe()
	g.open(11).manager(11)
}

func TestWorkerMode(t *testing.T) {
	g := newGuest(t, Config{}, false)
	ctx := t.Context()
	for range 20 {
		b, err := g.drv.Queue(wire.QRequest).Call(ctx, g.header(wire.OpPing, 0, 0, nil), wire.SizeofResp)
		if err != nil || len(b) != wire.SizeofResp {
			t.Fatal(b, err)
		}
	}
	if s := g.dev.Stats(); s.Inlined != 0 {
		t.Errorf("%d answers without interrupt", s.Inlined)
	}
}

// lane is a request that is sent again and again from the same memory.
type lane struct {
	g        *guest
	q        *virtiotest.Queue
	readable []virtiotest.Span
	writable []virtiotest.Span
}

func (g *guest) lane(request []byte, room int) *lane {
	q := g.drv.Queue(wire.QRequest)
	return &lane{g: g, q: q, readable: []virtiotest.Span{q.Put(request)}, writable: []virtiotest.Span{q.Room(room)}}
}

func (l *lane) send() {
	if _, err := l.q.Submit(l.readable, l.writable); err != nil {
		l.g.t.Fatal(err)
	}
	l.q.Kick()
}

// br returns the lane's BR area as it stands, for answers without fix-ups.
func (l *lane) br() []byte { return l.q.Bytes(l.writable[0])[wire.SizeofResp:] }

func TestPingAllocatesNothing(t *testing.T) {
	if lockdep {
		t.Skip("lockdep builds allocate under every lock")
	}
	g := newGuest(t, Config{}, true)
	l := g.lane(g.header(wire.OpPing, 0, 0, nil), wire.SizeofResp)
	ping := func() {
		l.send()
		if _, ok := l.q.Used(); !ok {
			t.Fatal("no answer")
		}
	}
	if n := testing.AllocsPerRun(200, ping); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// round is a call and its reply with everything prepared: see newRound.
type round struct {
	g                        *guest
	mgr, client              *process
	call, reply, again, free *lane
	replyFree, clientFree    []byte // where BC_FREE_BUFFER's argument stands
}

// newRound prepares the four requests that make one call in its steady state.
func newRound(g *guest) *round {
	r := &round{g: g, mgr: g.open(10), client: g.open(20)}
	r.mgr.manager(10)
	const room = wire.SizeofResp + 256
	call := &writeRead{read: 256, payload: []byte("hello, binder!!!")}
	call.transact(uapi.BC_TRANSACTION, uapi.TransactionData{DataSize: 16}, 0)
	r.call = g.lane(call.request(r.client, 20), room)

	reply := &writeRead{payload: []byte("world!!!")}
	reply.command(uapi.BC_FREE_BUFFER, make([]byte, 8)...)
	reply.transact(uapi.BC_REPLY, uapi.TransactionData{DataSize: 8}, 0)
	r.reply = g.lane(reply.request(r.mgr, 10), wire.SizeofResp)
	r.again = g.lane((&writeRead{read: 256}).request(r.mgr, 10), room)

	free := &writeRead{}
	free.command(uapi.BC_FREE_BUFFER, make([]byte, 8)...)
	r.free = g.lane(free.request(r.client, 20), wire.SizeofResp)

	const arg = wire.SizeofReq + wire.SizeofWr + 4
	r.replyFree = r.reply.q.Bytes(r.reply.readable[0])[arg:]
	r.clientFree = r.free.q.Bytes(r.free.readable[0])[arg:]
	return r
}

// buffer finds the data address of the transaction or reply in a lane's answer.
func (r *round) buffer(l *lane, code uint32) uint64 {
	pos := le.Uint32(l.q.Bytes(l.writable[0])[wire.OffRespTxnPos:])
	if pos == wire.NoPos || le.Uint32(l.br()[pos:]) != code {
		r.g.t.Fatalf("no %#x in the answer %x", code, l.br()[:64])
	}
	return le.Uint64(l.br()[pos+4+48:])
}

// run makes one call. The manager's read must be parked in r.again.
func (r *round) run() {
	r.call.send()
	le.PutUint64(r.replyFree, r.buffer(r.again, uapi.BR_TRANSACTION))
	r.reply.send()
	le.PutUint64(r.clientFree, r.buffer(r.call, uapi.BR_REPLY))
	r.free.send()
	r.again.send() // takes BR_TRANSACTION_COMPLETE
	r.drain()
	r.again.send() // parks
	r.drain()
}

func (r *round) drain() {
	for {
		if _, ok := r.again.q.Used(); !ok {
			return
		}
	}
}

func TestCallAllocatesNothing(t *testing.T) {
	if lockdep {
		t.Skip("lockdep builds allocate under every lock")
	}
	g := newGuest(t, Config{}, true)
	r := steady(g)
	if n := testing.AllocsPerRun(200, r.run); n != 0 {
		t.Errorf("%v allocations for a call and its reply", n)
	}
	if len(g.reports) != 0 {
		t.Errorf("reports: %+v", g.reports)
	}
}

// steady brings a round to where its manager's read is parked in r.again.
func steady(g *guest) *round {
	r := newRound(g)
	// The looper's first read has another lane: end it with a oneway call.
	w := &writeRead{payload: []byte("12345678")}
	w.transact(uapi.BC_TRANSACTION, uapi.TransactionData{Flags: uapi.TF_ONE_WAY, DataSize: 8}, 0)
	r.client.send(20, w)
	r.drain()
	g.lane((&writeRead{read: 256}).request(r.client, 20), wire.SizeofResp+256).send() // its TRANSACTION_COMPLETE
	r.drain()
	r.again.send()
	r.drain()
	r.run()
	return r
}

func BenchmarkCall(b *testing.B) {
	g := newGuest(b, Config{}, true)
	r := steady(g)
	b.ReportAllocs()
	for b.Loop() {
		r.run()
	}
}

// FuzzRequest sends requests with arbitrary control bytes, as sequences, to a
// device with two live processes.
func FuzzRequest(f *testing.F) {
	for op := range uint32(len(ops)) {
		f.Add(append(le.AppendUint32(nil, op), make([]byte, 100)...), uint64(op))
	}
	w := &writeRead{read: 64, payload: []byte("12345678")}
	w.transact(uapi.BC_TRANSACTION, uapi.TransactionData{DataSize: 8}, 0)
	f.Add(append(le.AppendUint32(nil, wire.OpWriteRead), w.body()...), uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		g := newGuest(t, Config{}, true)
		mgr, client := g.open(10), g.open(20)
		mgr.manager(10)
		rng := rand.New(rand.NewPCG(seed, 1))
		for len(data) >= 4 {
			op, n := le.Uint32(data), min(len(data)-4, 16+rng.IntN(256))
			body := data[4 : 4+n]
			data = data[4+n:]
			proc := []driver.ProcID{mgr.id, client.id, 0, driver.ProcID(rng.Uint64())}[rng.IntN(4)]
			queue := []int{wire.QControl, wire.QRequest}[rng.IntN(2)]
			req := g.header(op%uint32(len(ops)+1), proc, uint32(10*rng.IntN(3)), body)
			if cut := rng.IntN(4); cut > 0 {
				le.PutUint32(req[wire.OffReqCtlLen:], uint32(len(req)-8*rng.IntN(n/8+1)))
			}
			q := g.drv.Queue(queue)
			if _, err := q.Submit([]virtiotest.Span{q.Put(req)}, []virtiotest.Span{q.Room(64 + rng.IntN(512))}); err != nil {
				return
			}
			q.Kick()
			q.Drain()
		}
		if g.drv.Status()&virtiotest.StatusNeedsReset != 0 {
			t.Fatal("a bad request made the device need a reset")
		}
	})
}
