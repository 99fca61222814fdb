// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// world is one VM's environment in memory: a window, the completed requests, the
// events and the reports.
type world struct {
	t       *testing.T
	vm      *VM
	x       *Exec
	binder  ContextID
	mem     []byte
	next    uint64
	done    map[*Request]bool
	reports []Report
	events  []Event

	during func() // within the next copy
	always func() // within every effect
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, x: &Exec{}, mem: make([]byte, 16<<20), done: map[*Request]bool{}}
	w.vm = New(Config{}).NewVM("test", w)
	w.binder = w.context("binder")
	t.Cleanup(func() {
		w.vm.Close(w.x)
		for kind, c := range w.vm.Counts() {
			if c.Active != 0 {
				t.Errorf("%d of %d %s objects left after the end", c.Active, c.Total, kind)
			}
		}
	})
	return w
}

func (w *world) context(name string) ContextID {
	w.t.Helper()
	id, err := w.vm.NewContext(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) Reserve(n uint64) (uint64, error) {
	off := w.next
	if w.next += n; w.next > uint64(len(w.mem)) {
		return 0, unix.ENOMEM
	}
	return off, nil
}
func (w *world) Release(off, n uint64)      { clear(w.mem[off : off+n]); w.effect() }
func (w *world) Bytes(off, n uint64) []byte { return w.mem[off : off+n] }

// Copy runs what a test wants to happen meanwhile, as another caller of the core.
func (w *world) Copy(f func() error) error {
	if then := w.during; then != nil {
		w.during = nil
		w.aside(then)
	}
	return f()
}

// aside runs f with a way into the core of its own.
func (w *world) aside(f func()) {
	outer := w.x
	w.x = &Exec{}
	f()
	w.x = outer
}

// effect runs what a test wants to happen at every effect of a call.
func (w *world) effect() {
	if w.always != nil {
		w.aside(w.always)
	}
}

func (w *world) Complete(_ *Exec, r *Request) { w.done[r] = true; w.effect() }
func (w *world) Event(_ *Exec, e Event)       { w.events = append(w.events, e); w.effect() }
func (w *world) Report(r Report)              { w.reports = append(w.reports, r); w.effect() }

// guest is a process with one looper thread, whose tid is its pid.
type guest struct {
	w    *world
	id   ProcID
	pid  uint32
	tid  uint32
	seq  uint32
	base uint64
}

const window = 1 << 20

func (g *guest) euid() uint32 { return 1000 + g.pid }

func (w *world) open(pid uint32) *guest {
	w.t.Helper()
	id, err := w.vm.Open(w.x, OpenArgs{Context: w.binder, PID: pid})
	if err != nil {
		w.t.Fatal(err)
	}
	g := &guest{w: w, id: id, pid: pid, tid: pid, base: uint64(pid) << 32}
	if _, errno := w.vm.Mmap(w.x, id, g.base, window); errno != 0 {
		w.t.Fatal(errno)
	}
	g.ioctl(uapi.BINDER_VERSION, [24]byte{})
	return g
}

func (g *guest) ioctl(cmd uint32, arg [24]byte) (unix.Errno, []byte) {
	r := &Request{Proc: g.id, TID: g.tid, EUID: g.euid()}
	g.w.vm.Ioctl(g.w.x, r, cmd, &arg)
	return r.Resp.Status, r.Resp.BR
}

func (g *guest) manage() *guest {
	g.w.t.Helper()
	if errno, _ := g.ioctl(uapi.BINDER_SET_CONTEXT_MGR, [24]byte{}); errno != 0 {
		g.w.t.Fatal(errno)
	}
	return g
}

// bytesPayload is a sender's memory.
type bytesPayload []byte

func (p bytesPayload) ReadAt(b []byte, pos uint64) error {
	if pos+uint64(len(b)) > uint64(len(p)) {
		return unix.EFAULT
	}
	copy(b, p[pos:])
	return nil
}

// send issues one WRITE_READ with the stream; data belongs to its transaction.
func (g *guest) send(stream []byte, data []byte, read bool, objs ...Object) *Request {
	g.seq++
	r := &Request{Proc: g.id, TID: g.tid, Seq: g.seq, EUID: g.euid(), ReportCap: 1, Stream: stream, Payload: bytesPayload(data), Objects: objs}
	for pos := 0; pos+4 <= len(stream); {
		code := binary.LittleEndian.Uint32(stream[pos:])
		if code == uapi.BC_TRANSACTION || code == uapi.BC_REPLY {
			r.Gather = append(r.Gather, Gather{CmdPos: uint32(pos), DataLen: uint64(len(data)), ObjCount: uint32(len(objs))})
		}
		pos += 4 + uapi.PayloadSize(code)
	}
	if read {
		r.ReadSize = 256
	}
	g.w.vm.WriteRead(g.w.x, r)
	return r
}

func bc(cmd uint32, args ...any) []byte {
	b := binary.LittleEndian.AppendUint32(nil, cmd)
	for _, a := range args {
		switch v := a.(type) {
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, v)
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, v)
		case uapi.TransactionData:
			b = v.Append(b, false)
		}
	}
	return b
}

func call(handle, code, flags uint32, size, objs int) []byte {
	return bc(uapi.BC_TRANSACTION, uapi.TransactionData{Target: uint64(handle), Code: code, Flags: flags,
		DataSize: uint64(size), OffsetsSize: uint64(objs) * 8})
}

func reply(size, objs int) []byte {
	return bc(uapi.BC_REPLY, uapi.TransactionData{DataSize: uint64(size), OffsetsSize: uint64(objs) * 8})
}

// names lists the BR commands of a completed read, NOOPs left out; "parked" when
// it is not complete.
func (w *world) names(r *Request) string {
	if !w.done[r] {
		return "parked"
	}
	var out []string
	for b := r.Resp.BR; len(b) >= 4; {
		code := binary.LittleEndian.Uint32(b)
		if code != uapi.BR_NOOP {
			out = append(out, strings.TrimPrefix(uapi.ReturnName(code), "BR_"))
		}
		b = b[4+uapi.PayloadSize(code):]
	}
	if r.Resp.Status != 0 {
		out = append(out, fmt.Sprint("errno ", int(r.Resp.Status)))
	}
	return strings.Join(out, " ")
}

func (w *world) want(r *Request, what string) {
	w.t.Helper()
	if got := w.names(r); got != what {
		w.t.Fatalf("read %q, want %q", got, what)
	}
}

// received decodes the transaction in a response.
func received(r *Request) uapi.TransactionData {
	pos := r.Resp.TxnPos
	code := binary.LittleEndian.Uint32(r.Resp.BR[pos:])
	return uapi.DecodeTransactionData(r.Resp.BR[pos+4:], code == uapi.BR_TRANSACTION_SEC_CTX)
}

func (g *guest) data(tr uapi.TransactionData) []byte {
	off := tr.Buffer - g.base + g.w.offsetOf(g)
	return g.w.mem[off : off+tr.DataSize]
}

func (w *world) offsetOf(g *guest) uint64 { return w.vm.proc(g.id).mem.off }

func binderObject(ptr uint64) Object {
	o := Object{RawLen: 24}
	raw := uapi.Object(o.Raw[:])
	raw.SetType(uapi.BINDER_TYPE_BINDER)
	raw.SetBinder(ptr)
	raw.SetCookie(ptr + 1)
	return o
}

var enter = bc(uapi.BC_ENTER_LOOPER)

// TestSyncCall: one call and its reply, with the bytes in the target's window, the
// completion deferred, and the buffer freed only by its owner.
func TestSyncCall(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	w.want(srv, "parked")
	c := cli.send(call(0, 7, 0, 5, 0), []byte("hello"), true)
	w.want(c, "parked")
	w.want(srv, "TRANSACTION")
	tr := received(srv)
	if string(mgr.data(tr)) != "hello" || tr.Code != 7 || srv.Resp.SenderProc != cli.id || srv.Resp.SenderEUID != 1002 {
		t.Fatalf("received %+v %q", tr, mgr.data(tr))
	}
	s := mgr.send(slices.Concat(bc(uapi.BC_FREE_BUFFER, tr.Buffer), reply(2, 0)), []byte("ok"), true)
	w.want(s, "TRANSACTION_COMPLETE")
	w.want(c, "TRANSACTION_COMPLETE REPLY")
	if got := received(c); string(cli.data(got)) != "ok" {
		t.Fatalf("reply %q", cli.data(got))
	}
	// Freed twice, and freed by a stranger: ignored.
	w.want(mgr.send(bc(uapi.BC_FREE_BUFFER, tr.Buffer), nil, false), "")
	if n := w.vm.proc(cli.id).mem.alloc.Len(); n != 1 {
		t.Fatalf("%d buffers with the client, want its reply", n)
	}
}

// TestErrors pins what the sender reads, the extended error's errno and whom the
// report names.
func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		server bool
		stream []byte
		data   int
		want   string
		errno  int32
		to     bool
	}{
		{"no context manager", false, call(0, 1, 0, 4, 0), 4, "DEAD_REPLY", -int32(unix.EINVAL), false},
		{"unknown handle", true, call(99, 1, 0, 4, 0), 4, "FAILED_REPLY", -int32(unix.EINVAL), false},
		{"too large", true, call(0, 1, 0, window+8, 0), 0, "FAILED_REPLY", -int32(unix.ENOSPC), true},
		{"oneway over its half", true, call(0, 1, uapi.TF_ONE_WAY, window/2+8, 0), 0, "FAILED_REPLY", -int32(unix.ENOSPC), true},
		{"unreadable data", true, call(0, 1, 0, 64, 0), 8, "FAILED_REPLY", -int32(unix.EFAULT), true},
		{"offsets not a multiple of 8", true, bc(uapi.BC_TRANSACTION, uapi.TransactionData{DataSize: 4, OffsetsSize: 4}), 4, "FAILED_REPLY", -int32(unix.EINVAL), true},
		{"size overflow", true, bc(uapi.BC_TRANSACTION, uapi.TransactionData{DataSize: ^uint64(7), OffsetsSize: 16}), 0, "FAILED_REPLY", -int32(unix.EINVAL), true},
		{"reply to nothing", true, reply(4, 0), 4, "FAILED_REPLY", -int32(unix.EPROTO), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.server {
				w.open(1).manage()
			}
			cli := w.open(2)
			w.want(cli.send(tc.stream, make([]byte, tc.data), true), tc.want)
			if len(w.reports) != 1 || w.reports[0].HasTo != tc.to || w.reports[0].FromPID != 2 {
				t.Fatalf("reports %+v", w.reports)
			}
			_, ee := cli.ioctl(uapi.BINDER_GET_EXTENDED_ERROR, [24]byte{})
			if got := int32(binary.LittleEndian.Uint32(ee[8:])); got != tc.errno {
				t.Fatalf("extended error %d, want %d", got, tc.errno)
			}
		})
	}
}

// TestDeath: an object handed to the manager dies with its owner; the registered
// holder is told, a call in service fails, a later call finds it dead.
func TestDeath(t *testing.T) {
	w := newWorld(t)
	mgr, owner := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	data := make([]byte, 24)
	c := owner.send(call(0, 1, 0, 24, 1), data, true, binderObject(0x1000))
	w.want(srv, "TRANSACTION")
	tr := received(srv)
	handle := uapi.Object(mgr.data(tr)).Handle()
	if handle != 1 {
		t.Fatalf("handle %d, want the lowest free", handle)
	}
	keep := slices.Concat(bc(uapi.BC_ACQUIRE, handle), bc(uapi.BC_REQUEST_DEATH_NOTIFICATION, handle, uint64(0xc0)),
		bc(uapi.BC_FREE_BUFFER, tr.Buffer), reply(0, 0))
	w.want(mgr.send(keep, nil, true), "TRANSACTION_COMPLETE")
	w.want(c, "INCREFS ACQUIRE TRANSACTION_COMPLETE REPLY")

	out := mgr.send(call(handle, 2, 0, 0, 0), nil, true) // queued with the owner, which dies
	w.want(out, "parked")
	w.vm.Release(w.x, owner.id)
	w.want(out, "TRANSACTION_COMPLETE DEAD_REPLY")
	w.want(mgr.send(nil, nil, true), "DEAD_BINDER")
	w.want(mgr.send(slices.Concat(bc(uapi.BC_DEAD_BINDER_DONE, uint64(0xc0)), call(handle, 2, 0, 0, 0)), nil, true), "DEAD_REPLY")
	w.want(mgr.send(bc(uapi.BC_CLEAR_DEATH_NOTIFICATION, handle, uint64(0xc0)), nil, true), "CLEAR_DEATH_NOTIFICATION_DONE")
	if n := len(w.reports); n != 1 || w.reports[0].Error != uapi.BR_DEAD_REPLY || w.reports[0].HasTo {
		t.Fatalf("reports %+v: the queued call that was lost is not the sender's failure", w.reports)
	}
}

// TestOnewayOrder: a node's oneways are delivered one at a time, the next when the
// buffer of the one before is freed.
func TestOnewayOrder(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	for code := uint32(1); code <= 3; code++ {
		w.want(cli.send(call(0, code, uapi.TF_ONE_WAY, 0, 0), nil, true), "TRANSACTION_COMPLETE")
	}
	var free []byte
	for code := uint32(1); code <= 3; code++ {
		r := mgr.send(slices.Concat(enter, free), nil, true)
		w.want(r, "TRANSACTION")
		tr := received(r)
		if tr.Code != code || r.Resp.SenderProc != 0 {
			t.Fatalf("got oneway %d from %d, want %d from nobody", tr.Code, r.Resp.SenderProc, code)
		}
		free = bc(uapi.BC_FREE_BUFFER, tr.Buffer)
	}
}

// TestCancel: a parked read is cancelled by its seq, an earlier one's cancel does
// not touch it, and a cancel that comes first keeps its request from parking.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	g := w.open(1)
	r := g.send(enter, nil, true)
	w.vm.Cancel(w.x, g.id, g.pid, r.Seq-1)
	w.want(r, "parked")
	w.vm.Cancel(w.x, g.id, g.pid, r.Seq)
	w.want(r, fmt.Sprint("errno ", int(unix.EINTR)))
	w.vm.Cancel(w.x, g.id, g.pid, g.seq+1)
	w.want(g.send(nil, nil, true), fmt.Sprint("errno ", int(unix.EINTR)))
	w.want(g.send(nil, nil, true), "parked")
}

// TestFrozen: a frozen process refuses calls and keeps oneways, and both are reported.
func TestFrozen(t *testing.T) {
	w := newWorld(t)
	w.open(1).manage()
	cli := w.open(2)
	var arg [24]byte
	binary.LittleEndian.PutUint32(arg[0:], 1)
	binary.LittleEndian.PutUint32(arg[4:], 1)
	if errno, _ := cli.ioctl(uapi.BINDER_FREEZE, arg); errno != 0 {
		t.Fatal(errno)
	}
	w.want(cli.send(call(0, 1, 0, 0, 0), nil, true), "FROZEN_REPLY")
	w.want(cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, true), "TRANSACTION_PENDING_FROZEN")
	if len(w.reports) != 2 || w.reports[0].Error != uapi.BR_FROZEN_REPLY || w.reports[1].Error != uapi.BR_TRANSACTION_PENDING_FROZEN {
		t.Fatalf("reports %+v", w.reports)
	}
	_, info := cli.ioctl(uapi.BINDER_GET_FROZEN_INFO, arg)
	if s, a := info[4], info[8]; s != 3 || a != 1 {
		t.Fatalf("frozen info sync %d async %d, want 3 and 1", s, a)
	}
}

// TestUndo: a delivery that the guest could not carry out fails its caller.
func TestUndo(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	c := cli.send(call(0, 1, 0, 0, 0), nil, true)
	w.want(srv, "TRANSACTION")
	w.vm.Undo(w.x, mgr.id, mgr.pid, srv.Resp.Delivery)
	w.vm.Undo(w.x, mgr.id, mgr.pid, srv.Resp.Delivery)
	w.want(c, "TRANSACTION_COMPLETE FAILED_REPLY")
	if n := w.vm.proc(mgr.id).mem.alloc.Len(); n != 0 {
		t.Fatalf("%d buffers left with the server", n)
	}
}

// TestPollersAreToldOnce: an event asks pollers to look; until one has, there is
// nothing to add. Then more work is another event, and what a look found needs none.
func TestPollersAreToldOnce(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	mgr.send(enter, nil, false)
	look := func(want bool) {
		t.Helper()
		if ready, errno := w.vm.Poll(w.x, mgr.id, mgr.tid); ready != want || errno != 0 {
			t.Fatalf("poll: %t, %v", ready, errno)
		}
	}
	called := func(events int) {
		t.Helper()
		w.events = nil
		cli.tid++
		cli.send(call(0, 1, 0, 0, 0), nil, true)
		told := []Event{{Kind: EventPoll, Proc: mgr.id}}[:events]
		if !slices.Equal(w.events, told) {
			t.Fatalf("events %v, want %v", w.events, told)
		}
	}
	called(0) // nobody polls
	look(true)
	w.want(mgr.send(nil, nil, true), "TRANSACTION")
	w.want(mgr.send(reply(0, 0), nil, true), "TRANSACTION_COMPLETE")
	look(false)
	called(1)
	called(0)
	look(true)
	called(1)
}
