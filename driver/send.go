// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Steps 5 to 7 in their order: one BC_TRANSACTION or BC_REPLY from its start to its
// queueing, or to the error that answers it. Core.mu is held on entry and on return,
// and dropped around the copy only.

// run builds and sends one transaction.
func (bd *builder) run(x *Exec, th *Thread, r *Request, g *Gather, tr uapi.TransactionData, reply bool) {
	bd.start(x, th, r, g, tr, reply)
	f := bd.prepare()
	if f == accepted {
		sender, target := th.proc, bd.target
		sender.pin()
		target.pin()
		x.drop()
		f = bd.copyOut()
		x.relock()
		if f == accepted {
			f = bd.send()
		}
		if f != accepted {
			bd.fail(f)
		}
		bd.log(f)
		bd.end()
		target.unpin(x)
		sender.unpin(x)
		return
	}
	bd.fail(f)
	bd.log(f)
	bd.end()
}

func (bd *builder) start(x *Exec, th *Thread, r *Request, g *Gather, tr uapi.TransactionData, reply bool) {
	l, fn := bd.layout, bd.copyFn
	l.reset()
	*bd = builder{x: x, th: th, r: r, g: g, tr: tr, reply: reply, layout: l, copyFn: fn}
	bd.id, bd.started = x.core.nextID(), now()
	th.ee = extendedError{id: bd.id, command: uapi.BR_OK}
}

// prepare is all that can be decided before the copy.
func (bd *builder) prepare() failure {
	resolve := bd.resolveCall
	if bd.reply {
		resolve = bd.resolveReply
	}
	f := resolve()
	if f == accepted {
		f = bd.reserve()
	}
	if f == accepted {
		f = bd.objects()
	}
	return f
}

// send queues the finished transaction.
func (bd *builder) send() failure {
	if bd.b.spam {
		bd.report(uapi.BR_ONEWAY_SPAM_SUSPECT, 0)
		bd.b.spam, bd.suspect = false, true
	}
	t, x, th := bd.t, bd.x, bd.th
	t.toProc, t.toThread = bd.target, bd.toThread
	switch {
	case bd.reply:
		return bd.sendReply()
	case t.flags&uapi.TF_ONE_WAY != 0:
		return bd.sendOneway()
	}
	if th.stack != bd.top {
		return refuse(unix.EPROTO) // undone during the copy: only a broken guest gets here
	}
	t.from = th
	t.fromParent = th.stack
	if th.stack != nil {
		t.depth = th.stack.depth + 1
	}
	th.stack = t
	// The caller learns of the acceptance together with the reply: deferred.
	done := x.core.newComplete(th.proc)
	th.todo.push(&done.work)
	if cmd := bd.queue(); cmd != 0 {
		th.pop(t)
		done.unlink()
		done.recycle()
		return failure{cmd, 0}
	}
	return accepted
}

func (bd *builder) sendReply() failure {
	t, x, caller := bd.t, bd.x, bd.toThread
	if caller.dead {
		return failure{uapi.BR_DEAD_REPLY, 0}
	}
	done := x.core.newComplete(bd.th.proc)
	bd.th.enqueueOwn(x, &done.work)
	bd.b.state = bufQueued
	caller.pop(bd.inReplyTo)
	caller.enqueue(x, &t.work)
	bd.target.outstanding++
	bd.target.take(statTransaction)
	bd.r.noteServed(bd.inReplyTo.buffer)
	bd.inReplyTo.free(x)
	t.toThread = nil // a reply is nobody's to serve
	return accepted
}

func (bd *builder) sendOneway() failure {
	x, th := bd.x, bd.th
	cmd := bd.queue()
	done := x.core.newComplete(th.proc)
	switch {
	case cmd == uapi.BR_TRANSACTION_PENDING_FROZEN:
		done.cmd = cmd
		bd.report(cmd, 0)
	case cmd != 0:
		done.recycle()
		return failure{cmd, 0}
	case bd.suspect:
		done.cmd = uapi.BR_ONEWAY_SPAM_SUSPECT
	}
	th.enqueueOwn(x, &done.work)
	return accepted
}

// queue hands t to the target: to the thread it must go to, to the one parked
// last, to the process, or behind the oneway that its node is busy with.
func (bd *builder) queue() uint32 {
	t, p, x := bd.t, bd.target, bd.x
	oneway := t.flags&uapi.TF_ONE_WAY != 0
	if p.frozen {
		p.syncRecv = p.syncRecv || !oneway
		p.asyncRecv = p.asyncRecv || oneway
		if !oneway {
			return uapi.BR_FROZEN_REPLY
		}
	}
	if p.dead || bd.toThread != nil && bd.toThread.dead {
		return uapi.BR_DEAD_REPLY
	}
	bd.b.state = bufQueued
	p.outstanding++
	p.take(statTransaction)
	if oneway {
		if bd.node.hasAsync {
			bd.queueBehind()
			return bd.pending()
		}
		bd.node.hasAsync = true
	}
	th := bd.toThread
	if th == nil {
		th = p.waiting
	}
	if th != nil {
		th.enqueue(x, &t.work)
	} else {
		p.todo.push(&t.work)
		p.pollWake(x)
	}
	return bd.pending()
}

func (bd *builder) pending() uint32 {
	if bd.target.frozen {
		return uapi.BR_TRANSACTION_PENDING_FROZEN
	}
	return 0
}

// queueBehind puts a oneway behind the others of its node; with TF_UPDATE_TXN it
// takes the place of an older one that a frozen process has not seen.
func (bd *builder) queueBehind() {
	t, list := bd.t, &bd.node.asyncTodo
	if bd.target.frozen && t.flags&uapi.TF_UPDATE_TXN != 0 {
		for w := list.head; w != nil; w = w.next {
			old, is := w.item.(*Transaction)
			if !is || old.flags != t.flags || old.code != t.code || old.buffer.senderPID != t.buffer.senderPID {
				continue
			}
			w.unlink()
			bd.target.outstanding--
			bd.target.give(statTransaction)
			b := old.buffer
			b.txn, old.buffer, old.toProc = nil, nil, nil
			b.releaseObjects(bd.x)
			b.clearBuffer()
			b.free()
			old.free(bd.x)
			break
		}
	}
	list.push(&t.work)
}

// fail undoes what was built and answers the sender, or the caller of a failed
// reply.
func (bd *builder) fail(f failure) {
	x, th := bd.x, bd.th
	if t := bd.t; t != nil {
		t.dropFDs(x)
		if b := bd.b; b != nil {
			if b.spam {
				bd.report(uapi.BR_ONEWAY_SPAM_SUSPECT, 0) // suspected and failed: told twice, see compat.md
			}
			b.releaseObjects(x)
			if n := bd.node; n != nil {
				bd.node = nil
				n.put(x)
			}
			b.clearBuffer()
			b.free()
		}
		t.toProc, t.buffer = nil, nil
		t.recycle()
		bd.t = nil
	}
	if n := bd.node; n != nil {
		bd.node = nil
		n.dec(x, true, false)
		n.put(x)
	}
	bd.report(f.cmd, f.param)
	ee := extendedError{bd.id, f.cmd, -int32(f.param)}
	call := bd.inReplyTo
	if call == nil {
		th.ee = ee
		th.fail(x, f.cmd)
		return
	}
	if c := call.from; c != nil && c.ee.command == uapi.BR_OK {
		c.ee = ee
	}
	th.fail(x, uapi.BR_TRANSACTION_COMPLETE)
	call.sendFailedReply(x, f.cmd)
}

// fail queues what the thread reads instead of a completion. It runs no command
// before it has.
func (th *Thread) fail(x *Exec, cmd uint32) {
	th.returnError.cmd = cmd
	th.enqueueOwn(x, &th.returnError.work)
}

// end lets go of what a transaction holds only while it is built.
func (bd *builder) end() {
	if n := bd.node; n != nil {
		n.put(bd.x)
	}
	bd.th, bd.r, bd.g, bd.target, bd.toThread, bd.node = nil, nil, nil, nil, nil, nil
	bd.inReplyTo, bd.top, bd.t, bd.b = nil, nil, nil, nil
}

// report notes a failure for netlink, with what the rules let it say: the target
// only once the stack rules were kept.
func (bd *builder) report(cmd uint32, errno unix.Errno) {
	p := bd.th.proc
	rep := Report{VM: p.vm.name, Error: cmd, Context: p.ctx.name, FromPID: p.pid, FromTID: bd.th.tid,
		IsReply: bd.reply, Flags: bd.tr.Flags, Code: bd.tr.Code, DataSize: uint32(bd.tr.DataSize)}
	if bd.resolved {
		rep.HasTo, rep.ToPID = true, bd.target.pid
		if bd.toThread != nil {
			rep.HasToTID, rep.ToTID = true, bd.toThread.tid
		}
	}
	note := vmReport{env: p.vm.env, r: rep}
	if p.vm.noticer != nil {
		note.r.Detail = bd.detail(errno)
		if !bd.reply {
			note.req, note.dataPos, note.dataLen = bd.r, bd.g.DataPos, bd.g.DataLen
		}
	}
	bd.x.reports = append(bd.x.reports, note)
	bd.r.takeAlong(rep)
}
