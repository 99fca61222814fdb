// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Step 7 of a transaction's way: the read half of BINDER_WRITE_READ. A read either
// finds work or parks; Exec.wake claims a parked one, and resumeRead fills it. All
// under Core.mu: what is filled is the request's private record.

// readRoom is the space that must be left for a read to take one more item: the
// largest BR command with its code.
const readRoom = uapi.SizeTransactionSecctx + 4

// startRead begins the read half of r.
func (th *Thread) startRead(x *Exec, r *Request) {
	if !r.Continued {
		r.Resp.BR = le.AppendUint32(r.Resp.BR, uapi.BR_NOOP)
	}
	th.reading = r
	th.awaitWork(x)
}

// awaitWork parks the read unless there is something to return for.
func (th *Thread) awaitWork(x *Exec) {
	r := th.reading
	th.forProc = th.availableForProcWork()
	if th.forProc {
		if th.looper&(looperRegistered|looperEntered) == 0 {
			th.proc.userError("waits for process work in a thread that is no looper", "tid", th.tid)
		}
		r.setNice(th.proc.nice)
	}
	if th.hasWork(th.forProc) {
		th.fill(x)
		return
	}
	th.wait(x)
}

// wait parks a read that has nothing to return for, or ends it if it may not wait.
func (th *Thread) wait(x *Exec) {
	r := th.reading
	switch {
	case r.NonBlock:
		th.endRead(x, unix.EAGAIN)
	case th.cancels(r.Seq):
		r.Resp.Flags |= RespCancelled
		th.endRead(x, unix.EINTR)
	case r.NoPark:
		r.Resp.Flags |= RespWaiting
		r.Resp.BR = r.Resp.BR[:0]
		th.reading = nil
		th.absent, th.absentSeq = true, r.Seq
		if th.forProc {
			th.joinWaiting()
		}
		x.finish(r, 0)
	default:
		th.parked = true
		if th.forProc {
			th.joinWaiting()
		}
	}
}

// resumeRead is what a claimed read does: take the work, or wait again if somebody
// else took it. It may have been cancelled meanwhile.
func (th *Thread) resumeRead(x *Exec) {
	th.leaveWaiting()
	if th.hasWork(th.forProc) {
		th.fill(x)
		return
	}
	th.wait(x)
}

// reread lets a waiting read look again at what it waits for.
func (th *Thread) reread(x *Exec) {
	switch {
	case th.parked:
		th.parked = false
		th.leaveWaiting()
		th.awaitWork(x)
	case th.absent:
		x.rouse(th)
	}
}

// fill takes work until the read is full, an item ends it, or nothing is left.
func (th *Thread) fill(x *Exec) {
	r := th.reading
	for {
		var w *work
		list := &th.todo
		if list.empty() && th.forProc {
			list = &th.proc.todo
		}
		if list.empty() {
			if len(r.Resp.BR) == 4 && !r.Continued && !th.needReturn {
				th.awaitWork(x)
				return
			}
			break
		}
		if int(r.ReadSize)-len(r.Resp.BR) < readRoom {
			break
		}
		w = list.pop()
		if th.todo.empty() {
			th.processTodo = false
		}
		if w.item.deliver(x, th, r) {
			break
		}
	}
	th.askForLooper(r)
	th.endRead(x, 0)
}

// askForLooper turns the leading BR_NOOP into BR_SPAWN_LOOPER when the pool is
// exhausted and may grow. A continued read left its own behind, in the reader's
// memory.
func (th *Thread) askForLooper(r *Request) {
	p := th.proc
	if p.requestedThreads == 0 && p.waiting == nil && p.startedThreads < p.maxThreads &&
		th.looper&(looperRegistered|looperEntered) != 0 && (r.Continued || len(r.Resp.BR) >= 4) {
		p.requestedThreads++
		p.countBR(uapi.BR_SPAWN_LOOPER)
		if r.Continued {
			r.Resp.Flags |= RespSpawn
			return
		}
		le.PutUint32(r.Resp.BR, uapi.BR_SPAWN_LOOPER)
	}
}

// endRead completes the read, and lets another thread see what is left on the
// process queue.
func (th *Thread) endRead(x *Exec, status unix.Errno) {
	r := th.reading
	th.reading = nil
	th.needReturn = false
	if status != 0 {
		r.Resp.BR = r.Resp.BR[:0]
	} else if r.served.replied {
		th.foretellQuiet(r)
	}
	x.finish(r, status)
	th.proc.wakeForTodo(x)
}

// passOn ends a call that does not read. What an event had called the thread for is
// left to others; not what they are awake for already.
func (th *Thread) passOn(x *Exec) {
	x.runReady()
	th.proc.wakeForTodo(x)
}

// The one place where BR commands are written.

func (th *Thread) put32(r *Request, cmd uint32) {
	r.Resp.BR = le.AppendUint32(r.Resp.BR, cmd)
	th.proc.countBR(cmd)
}

func (th *Thread) put64(r *Request, cmd uint32, v uint64) {
	r.Resp.BR = le.AppendUint64(le.AppendUint32(r.Resp.BR, cmd), v)
	th.proc.countBR(cmd)
}

func (th *Thread) putNode(r *Request, cmd uint32, n *Node) {
	r.Resp.BR = le.AppendUint64(le.AppendUint64(le.AppendUint32(r.Resp.BR, cmd), n.ptr), n.cookie)
	th.proc.countBR(cmd)
}
