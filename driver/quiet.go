// SPDX-License-Identifier: Apache-2.0

package driver

// A thread that has replied usually frees the buffer of the call next, and waits for
// another. Where that is all that request will do, its answer to the reply says so
// beforehand (RespQuiet, the buffer's address in Val). It holds until anything else
// reaches the core: a guest driver on one processor, where nothing else can come in
// between, leaves the request on its ring until its next doorbell and saves one of
// three a call.

// noteServed notes the buffer of the call that r has replied to, unless it means
// something to somebody that it is freed.
func (r *Request) noteServed(b *Buffer) {
	if b != nil && b.state == bufDelivered && len(b.held) == 0 && !b.async && !b.clear && !b.hasFDA && b.node.heldBesides() {
		r.served = b.userAddr()
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
		r.Resp.Val = r.served
	}
}
