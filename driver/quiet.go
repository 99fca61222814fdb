// SPDX-License-Identifier: Apache-2.0

package driver

import "virtbinder/driver/uapi"

// This file foretells what a guest driver may send without a doorbell.
//
// A thread that has replied waits for another call next, and frees the buffer of the last
// one with that, unless it did so before it replied, as libbinder does. Where that is all
// that request will do, its answer to the reply says so beforehand (RespQuiet, the
// buffer's address in Val, or 0). It holds until anything else reaches the core: a guest
// driver on one processor, where nothing else can come in between, leaves the request on
// its ring until its next doorbell and saves one of three a call.

// A caller that serves no calls itself frees the reply's buffer with a call of its own,
// which libbinder's threads make at once. If nobody will notice, the reply says so
// (RespPlain): that free may then wait for the next request of any thread.

// plain reports whether b may be freed later than its owner says: it holds nothing, and
// nothing waits for it.
func (b *Buffer) plain() bool { return len(b.held) == 0 && !b.async && !b.clear && !b.hasFDA }

// foretellPlain tells the reader of r that the free of the reply in b will be noticed by
// nobody. An error that waits for th would keep it from being executed.
func (th *Thread) foretellPlain(r *Request, b *Buffer) {
	if b.plain() && th.returnError.cmd == uapi.BR_OK {
		r.Resp.Flags |= RespPlain
	}
}

// served is what a request has to do with the buffer b of the call that it replied to.
type served struct {
	replied bool // and b is gone, or it means nothing to anybody that it is freed
	buffer  uint64
}

// noteServed notes that r has replied to the call in b, which is nil if b is freed.
func (r *Request) noteServed(b *Buffer) {
	switch {
	case b == nil:
		r.served = served{replied: true}
	case b.state == bufDelivered && b.plain() && b.node.heldBesides():
		r.served = served{replied: true, buffer: b.userAddr()}
	}
}

// heldBesides reports whether n's owner would hear nothing if one local strong
// reference went.
func (n *Node) heldBesides() bool { return n == nil || n.internalStrong > 0 || n.localStrong > 1 }

// foretellQuiet tells the reader of r if its next read will only wait.
func (th *Thread) foretellQuiet(r *Request) {
	const looper = looperRegistered | looperEntered
	if th.availableForProcWork() && th.proc.todo.empty() && th.looper&looper != 0 && th.looper&looperPoll == 0 && r.Resp.TxnPos == NoPos {
		r.Resp.Flags |= RespQuiet
		r.Resp.Val = r.served.buffer
	}
}
