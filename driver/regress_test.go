// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// What the fuzzers and a reading of the C driver found, one test each.

// put returns the tokens that an answer gives back.
func put(r *Request) (tokens []uint32) {
	for _, f := range r.Resp.Fix {
		if f.Kind == FixPut {
			tokens = append(tokens, f.Token)
		}
	}
	return tokens
}

// TestFilesOfUnreachedCommandsComeBack: a stream stops at a bad command; the files of
// the transactions behind it are given back with the answer.
func TestFilesOfUnreachedCommandsComeBack(t *testing.T) {
	w := newWorld(t)
	w.open(1).manage()
	cli := w.open(2)
	o := Object{RawLen: 24, FDCount: 1}
	uapi.Object(o.Raw[:]).SetType(uapi.BINDER_TYPE_FD)
	r := &Request{Proc: cli.id, TID: cli.pid, Stream: slices.Concat(bc(uapi.BC_ATTEMPT_ACQUIRE, uint64(0)), call(0, 1, 0, 24, 1)),
		Gather: []Gather{{CmdPos: 12, ObjCount: 1, DataLen: 24}}, Objects: []Object{o}, FDs: []FD{{Token: 77}}, Payload: bytesPayload(make([]byte, 24))}
	w.vm.WriteRead(w.x, r)
	if got := put(r); r.Resp.Status != unix.EINVAL || !slices.Equal(got, []uint32{77}) {
		t.Fatalf("status %v, tokens given back %v", r.Resp.Status, got)
	}
}

// TestSecurityContextOfEmptyCall: a call without data has its label at the very start
// of the buffer.
func TestSecurityContextOfEmptyCall(t *testing.T) {
	w := newWorld(t)
	mgr := w.open(1)
	o := binderObject(0)
	raw := [24]byte(o.Raw[:24])
	binary.LittleEndian.PutUint32(raw[4:], uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX)
	if errno, _ := mgr.ioctl(uapi.BINDER_SET_CONTEXT_MGR_EXT, raw); errno != 0 {
		t.Fatal(errno)
	}
	srv := mgr.send(enter, nil, true)
	w.open(2).send(call(0, 1, 0, 0, 0), nil, true)
	w.want(srv, "TRANSACTION_SEC_CTX")
	tr := received(srv)
	label := w.mem[srv.Resp.Val+tr.Extra-tr.Buffer:]
	if want := DefaultLabel + "\x00"; string(label[:len(want)]) != want {
		t.Fatalf("security context %q", label[:len(want)])
	}
}

// another gives a process one more thread, past its first call.
func (g *guest) another(tid uint32) *guest {
	th := *g
	th.tid, th.seq = tid, 0
	th.ioctl(uapi.BINDER_VERSION, [24]byte{})
	return &th
}

// TestThreadExitFreesWhatItWasToRead: a call that waits for a thread goes with it: its
// caller hears, and its buffer is free again.
func TestThreadExitFreesWhatItWasToRead(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	w.vm.proc(mgr.id).threads[1].reading.ReadSize = 4 // woken, it takes nothing
	c := cli.send(call(0, 1, 0, 8, 0), make([]byte, 8), true)
	w.want(srv, "")
	mgr.ioctl(uapi.BINDER_THREAD_EXIT, [24]byte{})
	w.want(c, "TRANSACTION_COMPLETE DEAD_REPLY")
	if n := w.vm.proc(mgr.id).mem.alloc.Len(); n != 0 {
		t.Fatalf("%d buffers that nobody can free", n)
	}
}

// TestCancelPassesWorkOn: a thread that an event called for process work gives up; the
// work goes to another that waits.
func TestCancelPassesWorkOn(t *testing.T) {
	w := newWorld(t)
	g := w.open(1)
	parked := g.send(enter, nil, true)
	second := g.another(9)
	away := &Request{Proc: g.id, TID: 9, Seq: 1, Stream: enter, ReadSize: 256, NoPark: true}
	w.vm.WriteRead(w.x, away)
	w.want(away, "")
	p := w.vm.proc(g.id)
	w.x.lock(w.vm)
	o := binderObject(0x10)
	n, _ := p.newNode(o.Raw[:])
	n.hasWeak = true
	n.put(w.x) // the last reference: its owner must hear
	w.x.unlock()
	w.want(parked, "parked")
	w.vm.Cancel(w.x, g.id, second.tid, 2)
	w.want(parked, "DECREFS")
}

// frozenBusy makes a manager with one call in service and returns it with a freeze of
// it that waits, by another process.
func frozenBusy(w *world) (freezer *guest, waiting *Request) {
	mgr, cli := w.open(1).manage(), w.open(2)
	mgr.send(enter, nil, true)
	cli.send(call(0, 1, 0, 0, 0), nil, true)
	freezer = w.open(3)
	waiting = &Request{Proc: freezer.id, TID: 3, Seq: 50}
	w.vm.Ioctl(w.x, waiting, uapi.BINDER_FREEZE, freezeArg(1, 1<<31))
	w.want(waiting, "parked")
	return freezer, waiting
}

func freezeArg(pid, timeout uint32) *[24]byte {
	var arg [24]byte
	for i, v := range []uint32{pid, 1, timeout} {
		binary.LittleEndian.PutUint32(arg[4*i:], v)
	}
	return &arg
}

// TestFreezeWaitEnds: a waiting BINDER_FREEZE ends with its thread and with its
// process, by a cancel, also one that comes first, and by its time; the target thaws.
func TestFreezeWaitEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(w *world, g *guest, r *Request)
		want unix.Errno
	}{
		{"process released", func(w *world, g *guest, _ *Request) { w.vm.Release(w.x, g.id) }, unix.ENODEV},
		{"thread exits", func(_ *world, g *guest, _ *Request) { g.ioctl(uapi.BINDER_THREAD_EXIT, [24]byte{}) }, unix.ENODEV},
		{"cancelled", func(w *world, g *guest, r *Request) { w.vm.Cancel(w.x, g.id, 3, r.Seq) }, unix.EINTR},
		{"time up", func(w *world, g *guest, _ *Request) {
			wait := w.vm.proc(g.id).threads[3].freezing
			w.vm.freezeTimeout(w.x, wait, wait.targets[0])
		}, unix.EAGAIN},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			g, r := frozenBusy(w)
			tc.end(w, g, r)
			if !w.done[r] || r.Resp.Status != tc.want {
				t.Fatalf("done %v, status %v", w.done[r], r.Resp.Status)
			}
			for p := range w.vm.opened {
				if p.frozen {
					t.Fatal("its target is frozen still")
				}
			}
		})
	}
	w := newWorld(t)
	g, _ := frozenBusy(w)
	w.vm.Cancel(w.x, g.id, 30, 1)
	r := &Request{Proc: g.id, TID: 30, Seq: 1}
	w.vm.Ioctl(w.x, r, uapi.BINDER_FREEZE, freezeArg(1, 1<<31))
	if r.Resp.Status != unix.EINTR {
		t.Fatalf("a freeze whose cancel came first: status %v", r.Resp.Status)
	}
	r = &Request{Proc: g.id, TID: 31, NoPark: true}
	if w.vm.Ioctl(w.x, r, uapi.BINDER_FREEZE, freezeArg(1, 1<<31)); r.Resp.Status != unix.EAGAIN {
		t.Fatalf("a freeze with no room to wait: status %v", r.Resp.Status)
	}
}

// TestFreezeOfDyingProcess: the one who waits for a process to drain hears when it
// dies, and nobody is told that a dead process was frozen.
func TestFreezeOfDyingProcess(t *testing.T) {
	w := newWorld(t)
	_, r := frozenBusy(w)
	for p := range w.vm.opened {
		if p.pid == 1 {
			w.vm.Release(w.x, p.id)
		}
	}
	if !w.done[r] || r.Resp.Status != 0 {
		t.Fatalf("done %v, status %v", w.done[r], r.Resp.Status)
	}
}

// TestFreezeClocks: a freeze of a process that is open twice waits for one after the
// other; a clock that ran out just when its own wait ended does not end the next.
func TestFreezeClocks(t *testing.T) {
	w := newWorld(t)
	busy := func() *Process {
		mgr, cli := w.open(1).manage(), w.open(2)
		mgr.send(enter, nil, true)
		cli.send(call(0, 1, 0, 0, 0), nil, true)
		return w.vm.proc(mgr.id)
	}
	busy()
	w.binder = w.context("second")
	busy()
	freezer := w.open(3)
	r := &Request{Proc: freezer.id, TID: 3}
	w.vm.Ioctl(w.x, r, uapi.BINDER_FREEZE, freezeArg(1, 1<<31))
	wait := w.vm.proc(freezer.id).threads[3].freezing
	first := wait.targets[0]
	w.vm.Release(w.x, first.id)
	w.vm.freezeTimeout(w.x, wait, first)
	w.want(r, "parked")
	w.vm.freezeTimeout(w.x, wait, wait.targets[0])
	w.want(r, fmt.Sprint("errno ", int(unix.EAGAIN)))
}

// TestReplyUpAChainToItself: a reply whose caller is dead fails the call below it,
// which is the replier's own; its completion comes first, as in the C driver.
func TestReplyUpAChainToItself(t *testing.T) {
	w := newWorld(t)
	mgr, b := w.open(1).manage(), w.open(2)
	// b gives the manager an object, and calls; the manager calls b back.
	srv := mgr.send(enter, nil, true)
	out := b.send(call(0, 1, 0, 24, 1), make([]byte, 24), true, binderObject(0x20))
	w.want(srv, "TRANSACTION")
	back := mgr.send(call(1, 2, 0, 0, 0), nil, true)
	w.want(out, "INCREFS ACQUIRE TRANSACTION_COMPLETE TRANSACTION")
	w.want(back, "parked")
	mgr.ioctl(uapi.BINDER_THREAD_EXIT, [24]byte{})
	w.want(b.send(reply(0, 0), nil, true), "TRANSACTION_COMPLETE DEAD_REPLY")
}

// TestSpamIsToldByTheReadersSetting: whether a suspect oneway is told is decided when
// its completion is read.
func TestSpamIsToldByTheReadersSetting(t *testing.T) {
	for _, reading := range []byte{0, 1} {
		w := newWorld(t)
		w.open(1).manage()
		cli := w.open(2)
		size := window / 2 / 60 &^ 7
		suspects := 0
		for range 60 {
			cli.ioctl(uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION, [24]byte{1 - reading})
			cli.send(call(0, 1, uapi.TF_ONE_WAY, size, 0), make([]byte, size), false)
			cli.ioctl(uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION, [24]byte{reading})
			if w.names(cli.send(nil, nil, true)) == "ONEWAY_SPAM_SUSPECT" {
				suspects++
			}
		}
		if suspects != int(reading) {
			t.Fatalf("enabled %d at the read: %d completions said spam; one an episode may", reading, suspects)
		}
	}
}

// TestUnreadableDescriptorArray: the C driver says EINVAL here, and not EFAULT.
func TestUnreadableDescriptorArray(t *testing.T) {
	w := newWorld(t)
	mgr := w.open(1)
	o := binderObject(0)
	raw := [24]byte(o.Raw[:24])
	binary.LittleEndian.PutUint32(raw[4:], uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)
	mgr.ioctl(uapi.BINDER_SET_CONTEXT_MGR_EXT, raw)
	cli := w.open(2)
	parent, fda := Object{RawLen: 40, Offset: 8, SegLen: 16}, Object{RawLen: 32, Offset: 48}
	for i, v := range []uint64{uapi.BINDER_TYPE_PTR, 0x1000, 16} {
		binary.LittleEndian.PutUint64(parent.Raw[8*i:], v)
	}
	binary.LittleEndian.PutUint64(fda.Raw[0:], uapi.BINDER_TYPE_FDA)
	binary.LittleEndian.PutUint64(fda.Raw[8:], 2)
	stream := binary.LittleEndian.AppendUint32(nil, uapi.BC_TRANSACTION_SG)
	td := uapi.TransactionData{DataSize: 80, OffsetsSize: 16, Extra: 16}
	stream = td.Append(stream, true)
	r := &Request{Proc: cli.id, TID: 2, Stream: stream, ReadSize: 256, Payload: bytesPayload(make([]byte, 80)),
		Gather: []Gather{{ObjCount: 2, DataLen: 80}}, Objects: []Object{parent, fda}}
	w.vm.WriteRead(w.x, r)
	w.want(r, "FAILED_REPLY")
	if ee := w.vm.proc(cli.id).threads[2].ee; ee.param != -int32(unix.EINVAL) {
		t.Fatalf("extended error %d", ee.param)
	}
}

// TestCancelledLongAgo: a cancel is for one request; sequence numbers come round.
func TestCancelledLongAgo(t *testing.T) {
	w := newWorld(t)
	g := w.open(1)
	w.vm.Cancel(w.x, g.id, g.pid, 5)
	for _, step := range []struct {
		seq  uint32
		want string
	}{{5, fmt.Sprint("errno ", int(unix.EINTR))}, {6, fmt.Sprint("errno ", int(unix.EAGAIN))}, {1<<31 + 6, "parked"}} {
		r := &Request{Proc: g.id, TID: g.pid, Seq: step.seq, ReadSize: 256, NonBlock: step.seq == 6, Stream: enter}
		w.vm.WriteRead(w.x, r)
		if r.NonBlock {
			w.want(r, step.want)
			r = &Request{Proc: g.id, TID: g.pid, Seq: 7, ReadSize: 256}
			w.vm.WriteRead(w.x, r)
			w.vm.Cancel(w.x, g.id, g.pid, 7)
			continue
		}
		w.want(r, step.want)
	}
}

// TestNothingOfAnEarlierBufferShows: what no sender writes of a new buffer is zero,
// though an earlier one with other bytes was there.
func TestNothingOfAnEarlierBufferShows(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	cli.send(call(0, 1, uapi.TF_ONE_WAY, 256, 0), bytes.Repeat([]byte{0xaa}, 256), false)
	tr := received(srv)
	srv = mgr.send(bc(uapi.BC_FREE_BUFFER, tr.Buffer), nil, true)

	o := Object{RawLen: 40, SegPos: 40, SegLen: 3}
	for i, v := range []uint64{uapi.BINDER_TYPE_PTR, 0x1000, 3} {
		binary.LittleEndian.PutUint64(o.Raw[8*i:], v)
	}
	td := uapi.TransactionData{DataSize: 43, OffsetsSize: 8, Extra: 32}
	data := bytes.Repeat([]byte{0x11}, 48)
	r := &Request{Proc: cli.id, TID: 2, Stream: td.Append(binary.LittleEndian.AppendUint32(nil, uapi.BC_TRANSACTION_SG), true),
		Gather: []Gather{{ObjCount: 1, DataLen: 43}}, Objects: []Object{o}, Payload: bytesPayload(data)}
	w.vm.WriteRead(w.x, r)
	w.want(srv, "TRANSACTION")
	got := received(srv)
	if got.Buffer != tr.Buffer {
		t.Fatalf("buffer at %#x, the earlier was at %#x", got.Buffer, tr.Buffer)
	}
	if all := w.mem[srv.Resp.Val : srv.Resp.Val+48+8+32]; bytes.Contains(all, []byte{0xaa}) {
		t.Fatalf("old bytes in a new buffer: %x", all)
	}
}

// TestPartialCallIsStillTheFirst: the pieces of one long stream are one ioctl: a fresh
// thread's read returns at once after all of them.
func TestPartialCallIsStillTheFirst(t *testing.T) {
	w := newWorld(t)
	g := w.open(1)
	r := &Request{Proc: g.id, TID: 40, Stream: enter, Partial: true}
	w.vm.WriteRead(w.x, r)
	r = &Request{Proc: g.id, TID: 40, ReadSize: 256}
	w.vm.WriteRead(w.x, r)
	w.want(r, "")
}

// TestCancelOfClaimedRead: a read is picked for work by a call that lets go of the lock
// for its copy; meanwhile another takes the work, and the read is cancelled.
func TestCancelOfClaimedRead(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	first := mgr.send(enter, nil, true)
	cli.send(call(0, 1, uapi.TF_ONE_WAY, 24, 1), make([]byte, 24), false, binderObject(0x10))
	cli.send(call(0, 2, uapi.TF_ONE_WAY, 0, 0), nil, false)
	w.want(first, "TRANSACTION")
	waiting, late := mgr.another(9), mgr.another(10)
	claimed := waiting.send(enter, nil, true)
	w.during = func() {
		w.want(late.send(enter, nil, true), "TRANSACTION")
		w.vm.Cancel(w.x, waiting.id, waiting.tid, claimed.Seq)
	}
	mgr.send(slices.Concat(bc(uapi.BC_ACQUIRE, uint32(1)), bc(uapi.BC_FREE_BUFFER, received(first).Buffer),
		call(1, 3, uapi.TF_ONE_WAY, 0, 0)), nil, false)
	w.want(claimed, fmt.Sprint("errno ", int(unix.EINTR)))
}

// TestCancelOfEarlierRead: a cancel that comes late does not end the wait for an event
// of the next read.
func TestCancelOfEarlierRead(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	away := &Request{Proc: mgr.id, TID: mgr.tid, Seq: 5, Stream: enter, ReadSize: 256, NoPark: true}
	w.vm.WriteRead(w.x, away)
	w.vm.Cancel(w.x, mgr.id, mgr.tid, 4)
	cli.send(call(0, 1, 0, 0, 0), nil, false)
	if want := []Event{{Kind: EventThread, Proc: mgr.id, TID: mgr.tid}}; !slices.Equal(w.events, want) {
		t.Fatalf("events %v, want %v", w.events, want)
	}
}

// TestLateUndo: the guest takes a delivery back after its thread has gone on to the
// next read: that one takes process work again, and what it had taken already is
// undone as well.
func TestLateUndo(t *testing.T) {
	w := newWorld(t)
	mgr, cli, other := w.open(1).manage(), w.open(2), w.open(3)
	first := mgr.send(enter, nil, true)
	c := cli.send(call(0, 1, 0, 0, 0), nil, true)
	w.want(first, "TRANSACTION")
	second := mgr.send(nil, nil, true)
	w.vm.Undo(w.x, mgr.id, mgr.tid, first.Resp.Delivery)
	w.want(c, "TRANSACTION_COMPLETE FAILED_REPLY")
	other.send(call(0, 2, uapi.TF_ONE_WAY, 0, 0), nil, false)
	other.send(call(0, 3, uapi.TF_ONE_WAY, 0, 0), nil, false)
	w.want(second, "TRANSACTION")

	cli.send(call(0, 4, 0, 0, 0), nil, false)
	third := mgr.send(nil, nil, true)
	w.want(third, "TRANSACTION")
	w.vm.Undo(w.x, mgr.id, mgr.tid, second.Resp.Delivery)
	if p := w.vm.proc(mgr.id); p.todo.empty() {
		t.Fatal("the oneway behind the one that was undone waits still")
	}
}

// TestUndoWhileServing: a broken guest takes back the call that a thread serves while
// the thread calls its caller back: that call must not reach who waits for nothing.
func TestUndoWhileServing(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	out := cli.send(call(0, 1, 0, 24, 1), make([]byte, 24), true, binderObject(0x10))
	w.want(srv, "TRANSACTION")
	w.during = func() { w.vm.Undo(w.x, mgr.id, mgr.tid, srv.Resp.Delivery) }
	mgr.send(slices.Concat(bc(uapi.BC_ACQUIRE, uint32(1)), call(1, 2, 0, 0, 0)), nil, false)
	w.want(out, "INCREFS ACQUIRE TRANSACTION_COMPLETE FAILED_REPLY")
	if p := w.vm.proc(cli.id); !p.todo.empty() || !p.threads[cli.tid].todo.empty() {
		t.Fatal("the call came through")
	}
	w.wantErrno(mgr, unix.EPROTO)
}
