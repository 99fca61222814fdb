// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Looper state of a thread, as the kernel's BINDER_LOOPER_STATE_*.
const (
	looperRegistered = 1 << iota
	looperEntered
	looperExited
	looperInvalid
	looperWaiting
	looperPoll
)

// Thread is a guest thread that used the device through one Process. Guarded by
// Core.mu.
type Thread struct {
	proc   *Process
	tid    uint32
	looper uint32
	dead   bool

	stack       *Transaction // innermost call it serves or waits for
	todo        workList
	processTodo bool // todo holds something worth returning for
	needReturn  bool

	returnError pendingError // of its own last transaction
	replyError  pendingError // of the call it waits for
	ee          extendedError

	// The read half of a WRITE_READ. reading is set from its start to its end;
	// parked while it waits; absent when the device could not keep it and the
	// guest waits for an event instead.
	reading   *Request
	parked    bool
	absent    bool
	absentSeq uint32
	forProc   bool // that read takes process work too
	writing   bool // a WRITE_READ of this thread is in its write half

	waitPrev, waitNext *Thread
	inWaiting          bool

	freezing *freezeWait // its BINDER_FREEZE that waits

	cancelSeq uint32 // if cancelled: requests up to it never park
	cancelled bool
}

// extendedError is what BINDER_GET_EXTENDED_ERROR reads.
type extendedError struct {
	id      uint64
	command uint32
	param   int32
}

// pendingError is a BR code waiting to be read; BR_OK means none.
type pendingError struct {
	work
	cmd uint32
}

func (e *pendingError) deliver(x *Exec, th *Thread, r *Request) bool {
	cmd := e.cmd
	e.cmd = uapi.BR_OK
	th.put32(r, cmd)
	return false
}

func (e *pendingError) cancel(*Exec) {}

// thread finds or makes the thread. A new one has needReturn set: its first call
// does not block, as in the C driver.
func (p *Process) thread(tid uint32) (*Thread, unix.Errno) {
	if th := p.threads[tid]; th != nil {
		return th, 0
	}
	if !p.room(statThread) {
		return nil, unix.ENOMEM
	}
	th := &Thread{proc: p, tid: tid, needReturn: true}
	th.returnError = pendingError{cmd: uapi.BR_OK}
	th.replyError = pendingError{cmd: uapi.BR_OK}
	th.returnError.item, th.replyError.item = &th.returnError, &th.replyError
	th.ee.command = uapi.BR_OK
	p.threads[tid] = th
	p.made(statThread)
	return th, 0
}

// caller finds the thread that makes request r; without one, r is answered and nil
// is returned. Caller holds Core.mu.
func (vm *VM) caller(x *Exec, r *Request) *Thread {
	p := vm.proc(r.Proc)
	if p == nil {
		x.gone(r)
		return nil
	}
	th, errno := p.thread(r.TID)
	if errno != 0 {
		x.finish(r, errno)
		return nil
	}
	return th
}

// enqueue queues work that the thread should return for, and claims its read.
func (th *Thread) enqueue(x *Exec, w *work) {
	th.todo.push(w)
	th.processTodo = true
	x.wake(th)
}

// enqueueOwn queues work of the thread's own call: it is running, so only a
// poller needs to hear.
func (th *Thread) enqueueOwn(x *Exec, w *work) {
	first := !th.processTodo
	th.todo.push(w)
	th.processTodo = true
	if first && th.looper&looperPoll != 0 {
		th.proc.pollWake(x)
	}
}

func (th *Thread) availableForProcWork() bool { return th.stack == nil && th.todo.empty() }

func (th *Thread) hasWork(forProc bool) bool {
	return th.processTodo || th.needReturn || forProc && !th.proc.todo.empty()
}

func (th *Thread) joinWaiting() {
	p := th.proc
	th.inWaiting, th.waitPrev, th.waitNext = true, nil, p.waiting
	if p.waiting != nil {
		p.waiting.waitPrev = th
	}
	p.waiting = th
}

func (th *Thread) leaveWaiting() {
	if !th.inWaiting {
		return
	}
	if th.waitPrev != nil {
		th.waitPrev.waitNext = th.waitNext
	} else {
		th.proc.waiting = th.waitNext
	}
	if th.waitNext != nil {
		th.waitNext.waitPrev = th.waitPrev
	}
	th.inWaiting, th.waitPrev, th.waitNext = false, nil, nil
}

// release is the end of a thread: calls it serves fail as dead, calls it made are
// orphaned, a read it left parked is answered as gone.
func (th *Thread) release(x *Exec) {
	delete(th.proc.threads, th.tid)
	th.dead = true
	th.leaveWaiting()
	th.parked, th.absent = false, false
	var failed *Transaction
	if t := th.stack; t != nil && t.toThread == th {
		failed = t
		t.lost(x)
	}
	for t := th.stack; t != nil; {
		switch {
		case t.toThread == th:
			th.proc.doneTransaction(x)
			t.toProc, t.toThread = nil, nil
			if t.buffer != nil {
				t.buffer.txn = nil
				t.buffer = nil
			}
			t = t.toParent
		case t.from == th:
			t.from = nil
			t = t.fromParent
		default:
			panic("driver: a transaction stack holds a stranger's call")
		}
	}
	th.stack = nil
	if th.looper&looperPoll != 0 {
		x.runReady() // the driver waits for RCU here: who was woken by now reads before it goes on
	}
	if failed != nil {
		failed.sendFailedReply(x, uapi.BR_DEAD_REPLY)
	}
	th.todo.drain(x)
	if r := th.reading; r != nil {
		th.reading = nil
		x.gone(r)
	}
	if w := th.freezing; w != nil {
		w.interrupt(x, unix.ENODEV)
	}
	th.proc.wakeForTodo(x)
	if th.looper&looperPoll != 0 {
		x.event(th.proc.vm, Event{Kind: EventPoll, Proc: th.proc.id})
	}
	th.proc.gone(statThread)
}

// Poll says whether a read by this thread would return, and arms EventPoll.
func (vm *VM) Poll(x *Exec, id ProcID, tid uint32) (bool, unix.Errno) {
	x.lock(vm)
	defer x.unlock()
	p := vm.proc(id)
	if p == nil {
		return false, unix.ENODEV
	}
	th, errno := p.thread(tid)
	if errno != 0 {
		return false, errno
	}
	th.looper |= looperPoll
	p.pollArmed = true
	return th.hasWork(th.availableForProcWork()), 0
}

// Cancel ends request seq of a thread if it is parked, and keeps it from parking
// if it has not come yet. A completion on its way wins.
func (vm *VM) Cancel(x *Exec, id ProcID, tid, seq uint32) {
	x.lock(vm)
	defer x.unlock()
	p := vm.proc(id)
	if p == nil {
		return
	}
	th, errno := p.thread(tid)
	if errno != 0 {
		return
	}
	switch {
	case th.parked && th.reading.Seq == seq:
		th.parked = false
		th.leaveWaiting()
		th.reading.Resp.Flags |= RespCancelled
		th.endRead(x, unix.EINTR)
	case th.freezing != nil && th.freezing.r.Seq == seq:
		th.freezing.interrupt(x, unix.EINTR)
	case th.absent && th.absentSeq == seq:
		th.absent = false
		th.leaveWaiting()
	default:
		th.cancelSeq, th.cancelled = seq, true
		p.wakeForTodo(x)
	}
}

// cancels says whether request seq was cancelled before it came. A later one ends
// the matter: sequence numbers come round again.
func (th *Thread) cancels(seq uint32) bool {
	if th.cancelled && int32(seq-th.cancelSeq) > 0 {
		th.cancelled = false
	}
	return th.cancelled
}
