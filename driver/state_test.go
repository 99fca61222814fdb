// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"virtbinder/driver/uapi"
)

var elapsed = regexp.MustCompile(`elapsed \d+ms`)

// dump is the text of a file with times made equal.
func (w *world) dump(kind DumpKind, pid uint32) string {
	w.t.Helper()
	b, ok := w.vm.Dump(kind, pid, 1<<20)
	if !ok {
		w.t.Fatalf("no file %d", kind)
	}
	return elapsed.ReplaceAllString(string(b), "elapsed Nms")
}

func (w *world) wantDump(kind DumpKind, pid uint32, want string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.dump(kind, pid)); diff != "" {
		w.t.Errorf("file %d (-want +got):\n%s", kind, diff)
	}
}

// busyWorld has a manager that serves a call and holds a oneway with another behind
// it, a caller that waits, and a transaction that failed.
func busyWorld(t *testing.T) (w *world, mgr, cli *guest) {
	w = newWorld(t)
	mgr, cli = w.open(1).manage(), w.open(2)
	read := mgr.send(enter, nil, true)
	cli.send(call(0, 5, uapi.TF_ONE_WAY, 4, 0), []byte("1234"), false)
	w.want(read, "TRANSACTION")
	cli.send(call(0, 6, uapi.TF_ONE_WAY, 8, 0), []byte("12345678"), false)
	cli.send(bc(uapi.BC_ACQUIRE, uint32(0)), nil, false)
	cli.send(bc(uapi.BC_REQUEST_DEATH_NOTIFICATION, uint32(0), uint64(9)), nil, false)
	w.want(cli.send(call(77, 7, 0, 3, 0), []byte("123"), true), "TRANSACTION_COMPLETE TRANSACTION_COMPLETE FAILED_REPLY")
	w.want(cli.send(call(0, 8, uapi.TF_ACCEPT_FDS, 12, 0), []byte("123456789012"), true), "parked")
	w.want(mgr.send(nil, nil, true), "TRANSACTION")
	return w, mgr, cli
}

func TestStateText(t *testing.T) {
	w, mgr, cli := busyWorld(t)
	const waiting = "proc 2\ncontext binder\n"
	const callIDs = "%s transaction 6: 0000000000000006 from 2:2 to 1:1 code 8 flags 10 pri 0 r1 elapsed Nms"
	const oneway = "    pending async transaction 3: 0000000000000003 from 2:2 to 1:0 code 6 flags 1 pri 0 r0 elapsed Nms node 1 size 8:0 offset 8\n"
	thread2 := "  thread 2: l 10 need_return 0 tr 0\n" + fmt.Sprintf(callIDs, "    outgoing") + "\n    transaction complete\n"
	ref2 := "  ref 4: desc 0 node 1 s 1 w 0 d 0000000000000004\n"
	proc1 := "proc 1\ncontext binder\n  thread 1: l 02 need_return 0 tr 0\n" +
		fmt.Sprintf(callIDs, "    incoming") + " node 1 size 12:0 offset 10\n"
	node := "  node 1: u0000000000000000 c0000000000000000 hs 1 hw 1 ls 4 lw 1 is 1 iw 1 tr 1 proc 2\n"
	buffers := "  buffer 2: 0 size 4:0:0 delivered\n  buffer 3: 8 size 8:0:0 active\n  buffer 6: 10 size 12:0:0 active\n"

	w.wantDump(DumpState, 0, "binder state:\n"+waiting+thread2+ref2+proc1+node+oneway+buffers)
	w.wantDump(DumpTransactions, 0, "binder transactions:\n"+waiting+thread2+proc1+node+oneway+buffers)
	w.wantDump(DumpProcess, 1, "binder proc state:\n"+proc1+node+oneway+buffers)
	w.wantDump(DumpProcess, 3, "")

	w.vm.Release(w.x, mgr.id)
	w.wantDump(DumpState, 0, "binder state:\ndead nodes:\n"+
		"  node 1: u0000000000000000 c0000000000000000 hs 1 hw 1 ls 0 lw 0 is 1 iw 1 tr 1 proc 2\n"+
		waiting+"  thread 2: l 00 need_return 0 tr 0\n  ref 4: desc 0 dead node 1 s 1 w 0 d 0000000000000004\n  has dead binder\n")
	w.want(cli.send(nil, nil, true), "DEAD_BINDER")
	if s := w.dump(DumpProcess, 2); !strings.HasSuffix(s, "\n  has delivered dead binder\n") {
		t.Errorf("after the notice was read:\n%s", s)
	}
	w.vm.Release(w.x, cli.id)
	w.wantDump(DumpState, 0, "binder state:\n")
	w.wantDump(DumpTransactions, 0, "binder transactions:\n")
}

func TestStatsText(t *testing.T) {
	w, _, _ := busyWorld(t)
	w.wantDump(DumpStats, 0, `binder stats:
BC_TRANSACTION: 4
BC_ACQUIRE: 1
BC_ENTER_LOOPER: 1
BC_REQUEST_DEATH_NOTIFICATION: 1
BR_TRANSACTION: 2
BR_TRANSACTION_COMPLETE: 2
BR_FAILED_REPLY: 1
proc: active 2 total 2
thread: active 2 total 2
node: active 1 total 1
ref: active 1 total 1
death: active 1 total 1
transaction: active 2 total 3
transaction_complete: active 1 total 3
proc 2
context binder
  threads: 1
  requested threads: 0+0/0
  ready threads 0
  free async space 524288
  nodes: 0
  refs: 1 s 1 w 0
  buffers: 0
  pages: 0:0:256
  pages high watermark: 0
  pending transactions: 0
  BC_TRANSACTION: 4
  BC_ACQUIRE: 1
  BC_REQUEST_DEATH_NOTIFICATION: 1
  BR_TRANSACTION_COMPLETE: 2
  BR_FAILED_REPLY: 1
proc 1
context binder
  threads: 1
  requested threads: 0+0/0
  ready threads 0
  free async space 524272
  nodes: 1
  refs: 0 s 0 w 0
  buffers: 3
  pages: 1:0:255
  pages high watermark: 1
  pending transactions: 0
  BC_ENTER_LOOPER: 1
  BR_TRANSACTION: 2
`)
}

func TestLogText(t *testing.T) {
	w, mgr, _ := busyWorld(t)
	failed := "5: call  from 2:2 to 0:0 context binder node 0 handle 77 size 3:0 ret 29201/-22 l=0\n"
	before := "2: async from 2:2 to 1:0 context binder node 1 handle 0 size 4:0 ret 0/0 l=0\n" +
		"3: async from 2:2 to 1:0 context binder node 1 handle 0 size 8:0 ret 0/0 l=0\n" + failed +
		"6: call  from 2:2 to 1:0 context binder node 1 handle 0 size 12:0 ret 0/0 l=0\n"
	w.wantDump(DumpLog, 0, before)
	w.wantDump(DumpFailedLog, 0, failed)
	mgr.send(reply(2, 0), []byte("ok"), false)
	w.wantDump(DumpLog, 0, before+"7: reply from 1:1 to 2:2 context binder node 0 handle 0 size 2:0 ret 0/0 l=0\n")
}

// TestLogKeepsTheLast: a log has 32 entries, and failures do not lose their place to
// what succeeds.
func TestLogKeepsTheLast(t *testing.T) {
	w := newWorld(t)
	cli := w.open(2)
	cli.send(call(0, 1, 0, 0, 0), nil, false) // nobody is manager
	mgr := w.open(1).manage()
	for range 2 * logSize {
		cli.send(nil, nil, true)
		cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, false)
	}
	log, failed := w.vm.Log(false), w.vm.Log(true)
	if len(log) != logSize || len(failed) != 1 || failed[0].ErrorName() != "BR_DEAD_REPLY" || failed[0].Param != -22 {
		t.Fatalf("%d entries, failed %+v", len(log), failed)
	}
	for i := range log[1:] {
		if log[i+1].ID != log[i].ID+1 || log[i+1].Time.Before(log[i].Time) {
			t.Fatalf("entry %d is %+v after %+v", i+1, log[i+1], log[i])
		}
	}
	w.vm.Release(w.x, mgr.id)
}

// TestDumpIsBounded: what a guest makes the host write down has an end.
func TestDumpIsBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		if _, err := w.vm.Open(w.x, OpenArgs{Context: w.binder, PID: uint32(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	const limit = 500
	b, _ := w.vm.Dump(DumpState, 0, limit)
	if tail := fmt.Sprintf("\n(cut after %d bytes)\n", limit); len(b) != limit+len(tail) || !strings.HasSuffix(string(b), tail) {
		t.Errorf("%d bytes: %q", len(b), b)
	}
	if _, ok := w.vm.Dump(99, 0, limit); ok {
		t.Error("there is a file 99")
	}
}

// TestSnapshotLetsCallsThrough: the lock is given up on the way through a large
// process, and the process may end meanwhile.
func TestSnapshotLetsCallsThrough(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	for i := range 4 * visitSteps {
		w.vm.Poll(w.x, cli.id, uint32(10+i)) // a thread each
	}
	seen := 0
	w.vm.States(0, func(s *ProcessState) bool {
		if seen++; s.PID != cli.pid || len(s.Threads) != 4*visitSteps+1 {
			t.Fatalf("first of pid %d, %d threads", s.PID, len(s.Threads))
		}
		w.vm.Release(w.x, mgr.id) // takes the lock
		return true
	})
	if seen != 1 {
		t.Errorf("%d processes seen, the second had ended", seen)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			w.vm.Dump(DumpState, 0, 1<<20)
			w.vm.Dump(DumpStats, 0, 1<<20)
		}
	}()
	for i := uint32(0); ; i++ {
		select {
		case <-done:
			return
		default:
			g := w.open(3)
			g.send(call(0, i, 0, 0, 0), nil, false)
			w.vm.Release(w.x, g.id)
			w.next = 2 * window // the ranges of the two that stay
		}
	}
}
