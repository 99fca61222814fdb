// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Step 5 of a transaction's way: whom it is for, and whether the sender may.

// builder builds one transaction. It lives in the Exec, its slices are reused, and
// it holds what an early end has to undo.
type builder struct {
	x     *Exec
	th    *Thread
	r     *Request
	g     *Gather
	tr    uapi.TransactionData
	reply bool

	id        uint64
	started   instant
	target    *Process
	toThread  *Thread
	node      *Node        // with a strong and a tmp reference
	inReplyTo *Transaction // off the replier's stack
	top       *Transaction // of the caller's stack, whose rules were kept
	suspect   bool         // a oneway that was reported as spam
	nodeID    uint64       // of the node called, for the log
	resolved  bool         // target found and stack rules kept: reports name it

	t *Transaction
	b *Buffer

	layout
	copyFn func() error // b.copy, made once
}

// failure is why a transaction is refused: the code its sender (or, for a reply,
// the caller) reads, and the errno of the extended error.
type failure struct {
	cmd   uint32
	param unix.Errno
}

var accepted = failure{cmd: uapi.BR_OK}

func refuse(errno unix.Errno) failure { return failure{uapi.BR_FAILED_REPLY, errno} }

// resolveReply finds the caller that is waiting for this reply.
func (bd *builder) resolveReply() failure {
	th := bd.th
	call := th.stack
	if call == nil || call.toThread != th {
		th.proc.userError("replies to no call", "tid", th.tid)
		return refuse(unix.EPROTO)
	}
	th.stack = call.toParent
	bd.r.setNice(call.savedNice)
	caller := call.from
	if caller == nil {
		bd.inReplyTo = call
		return failure{uapi.BR_DEAD_REPLY, 0}
	}
	if caller.stack != call {
		th.proc.userError("replies to a call that its caller does not wait for", "tid", th.tid)
		return refuse(unix.EPROTO)
	}
	bd.inReplyTo = call
	bd.toThread, bd.target = caller, caller.proc
	bd.resolved = true
	return accepted
}

// callee finds the node that a call to the handle is for, nil if it is dead; known
// says whether the process holds the handle.
func (p *Process) callee(handle uint32) (node *Node, known bool) {
	node = p.ctx.manager
	if handle != 0 {
		ref := p.ref(handle, true)
		if ref == nil {
			return nil, false
		}
		node = ref.node
	}
	if node == nil || node.proc == nil || node.proc.closing {
		return nil, true
	}
	return node, true
}

// isSelf says whether a call from p to target is one to itself: for handle 0 the C
// driver compares pids.
func (p *Process) isSelf(handle uint32, target *Process) bool {
	return target == p || handle == 0 && target.pid == p.pid
}

// resolveCall finds the process that serves the handle, holds its node, and checks
// the caller's stack.
func (bd *builder) resolveCall() failure {
	th, p := bd.th, bd.th.proc
	handle := uint32(bd.tr.Target)
	node, known := p.callee(handle)
	if !known {
		p.userError("calls a handle it does not hold", "handle", handle)
		return refuse(unix.EINVAL)
	}
	if node == nil {
		return failure{uapi.BR_DEAD_REPLY, unix.EINVAL}
	}
	node.inc(true, false, nil)
	node.tmp++
	bd.node, bd.target, bd.nodeID = node, node.proc, node.id
	if p.isSelf(handle, bd.target) {
		p.userError("calls itself")
		return refuse(unix.EINVAL)
	}
	if bd.g.LSMError != 0 {
		return refuse(unix.EPERM)
	}
	if bd.tr.Flags&uapi.TF_ONE_WAY != 0 {
		bd.resolved = true
		return accepted
	}
	if w := th.todo.head; w != nil {
		if _, is := w.item.(*Transaction); is {
			return refuse(unix.EPROTO)
		}
	}
	bd.top = th.stack
	if top := bd.top; top != nil {
		if top.depth >= th.proc.vm.core.cfg.Limits.Depth {
			return refuse(unix.ENOMEM)
		}
		if top.toThread != th {
			p.userError("calls while it waits for a reply", "tid", th.tid)
			return refuse(unix.EPROTO)
		}
		for t := top; t != nil; t = t.fromParent {
			if t.from != nil && t.from.proc == bd.target {
				bd.toThread = t.from // nested: to the thread that waits in our own chain
				break
			}
		}
	}
	bd.resolved = true
	return accepted
}
