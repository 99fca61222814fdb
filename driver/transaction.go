// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"encoding/binary"

	"virtbinder/driver/uapi"
)

var le = binary.LittleEndian

// Transaction is a call, a oneway or a reply, from the moment it is built until it
// is answered (a call), or read (the others). Guarded by Core.mu.
type Transaction struct {
	work
	id   uint64
	home *VM // whose counters it is on

	started    instant
	fromPID    uint32 // of the sender, also where from is nil
	fromTID    uint32
	needReply  bool
	from       *Thread      // nil for oneways and replies, and when the caller died
	fromParent *Transaction // the call that from was serving
	toProc     *Process
	toThread   *Thread
	toParent   *Transaction // the call that toThread was serving

	buffer     *Buffer
	depth      int // of calls within calls
	code       uint32
	flags      uint32
	senderEUID uint32
	nice       int32 // the sender's
	savedNice  int32 // the receiver's, to go back to
	secctx     uint64
	fds        []fdInstall
}

// fdInstall is a file on its way: where its number goes in the buffer.
type fdInstall struct {
	off   uint64 // in the buffer
	token uint32
	kind  FixKind
}

// complete is BR_TRANSACTION_COMPLETE or what replaces it.
type complete struct {
	work
	core *Core
	proc *Process
	cmd  uint32
	next *complete
}

func (c *complete) deliver(x *Exec, th *Thread, r *Request) bool {
	cmd := c.cmd
	if cmd == uapi.BR_ONEWAY_SPAM_SUSPECT && !th.proc.spamDetection {
		cmd = uapi.BR_TRANSACTION_COMPLETE
	}
	th.put32(r, cmd)
	c.recycle()
	return false
}

func (c *complete) cancel(*Exec) { c.recycle() }

func (c *complete) recycle() {
	c.proc.gone(statTransactionComplete)
	p := &c.core.txns
	c.proc = nil
	c.next, p.completes = p.completes, c
}

// txnPool keeps transactions and completions for reuse, so that a steady stream of
// calls allocates nothing. Guarded by Core.mu.
type txnPool struct {
	txns      []*Transaction
	completes *complete
}

func (c *Core) newTransaction(vm *VM) *Transaction {
	vm.counts.made(statTransaction)
	p := &c.txns
	if n := len(p.txns); n > 0 {
		t := p.txns[n-1]
		p.txns = p.txns[:n-1]
		t.home = vm
		return t
	}
	t := &Transaction{home: vm}
	t.item = t
	return t
}

func (c *Core) newComplete(p *Process) *complete {
	p.made(statTransactionComplete)
	pool := &c.txns
	w := pool.completes
	if w != nil {
		pool.completes = w.next
	} else {
		w = &complete{core: c}
		w.item = w
	}
	w.proc, w.cmd, w.next = p, uapi.BR_TRANSACTION_COMPLETE, nil
	return w
}

// maxSpare is how many entries of a list a free record keeps room for.
const maxSpare = 64

// spare is s emptied for reuse. What was unusually large goes: there are as many
// records as there ever were at a time, and each could have been large once.
func spare[T any](s []T) []T {
	if cap(s) > maxSpare {
		return nil
	}
	return s[:0]
}

// recycle forgets t: no list, stack or buffer may point to it any more.
func (t *Transaction) recycle() {
	if t.queued() {
		panic("driver: a queued transaction is freed")
	}
	t.home.counts.gone(statTransaction)
	core := t.home.core
	*t = Transaction{fds: spare(t.fds)}
	t.item = t
	p := &core.txns
	p.txns = append(p.txns, t)
}

// doneTransaction counts one transaction less on p and looks whether a freeze was
// waiting for that.
func (p *Process) doneTransaction(x *Exec) {
	p.outstanding--
	p.give(statTransaction)
	if p.outstanding == 0 && !p.dead {
		p.endFreezeWaits(x)
	}
}

// free ends t: files that were not delivered are dropped.
func (t *Transaction) free(x *Exec) {
	if p := t.toProc; p != nil {
		p.doneTransaction(x)
		if t.buffer != nil {
			t.buffer.txn = nil
		}
	}
	t.dropFDs(x)
	t.recycle()
}

func (t *Transaction) dropFDs(x *Exec) {
	for _, f := range t.fds {
		x.putToken(t.home, f.token)
	}
	t.fds = t.fds[:0]
}

// pop takes t, which must be on top, off its caller's stack.
func (th *Thread) pop(t *Transaction) {
	if th.stack != t || t.from != th {
		panic("driver: popping a transaction that is not on top")
	}
	th.stack = t.fromParent
	t.from = nil
}

// sendFailedReply answers the call t with an error: its caller, or the caller of
// the call that the dead caller served, and so on up.
func (t *Transaction) sendFailedReply(x *Exec, cmd uint32) {
	for t != nil {
		th, next := t.from, t.fromParent
		if th != nil {
			th.pop(t)
			if th.replyError.cmd == uapi.BR_OK {
				th.replyError.cmd = cmd
				th.enqueue(x, &th.replyError.work)
			}
			t.free(x)
			return
		}
		t.free(x)
		t = next
	}
}

// abandon ends a transaction that was not delivered: a caller hears cmd.
func (t *Transaction) abandon(x *Exec, cmd uint32) {
	if t.buffer != nil && t.buffer.node != nil && t.flags&uapi.TF_ONE_WAY == 0 {
		t.sendFailedReply(x, cmd)
		return
	}
	t.free(x)
}

// cancel is the end of a transaction whose reader died. If its process lives on, the
// buffer goes too: nobody else could free it (the C driver keeps it, and with it the
// references in it and its node's later oneways, until the process ends).
func (t *Transaction) cancel(x *Exec) {
	b := t.buffer
	t.lost(x)
	t.abandon(x, uapi.BR_DEAD_REPLY)
	if !b.proc.dead {
		b.release(x)
	}
}

// deliver writes BR_TRANSACTION, BR_TRANSACTION_SEC_CTX or BR_REPLY and hands the
// buffer over. It ends the read.
func (t *Transaction) deliver(x *Exec, th *Thread, r *Request) bool {
	b := t.buffer
	tr := uapi.TransactionData{
		Code: t.code, Flags: t.flags,
		DataSize: b.dataSize, OffsetsSize: b.offsetsSize,
		Buffer: b.userAddr(), Offsets: b.userAddr() + align8(b.dataSize),
	}
	cmd := uint32(uapi.BR_REPLY)
	if n := b.node; n != nil {
		cmd = uapi.BR_TRANSACTION
		tr.Target, tr.Cookie = n.ptr, n.cookie
		t.savedNice = r.Nice
		oneway := t.flags&uapi.TF_ONE_WAY != 0
		if t.nice < n.minNice && !oneway {
			r.setNice(t.nice)
		} else if !oneway || t.savedNice > n.minNice {
			r.setNice(n.minNice)
		}
	}
	if t.secctx != 0 {
		cmd = uapi.BR_TRANSACTION_SEC_CTX
		tr.Extra = t.secctx
	}
	r.Resp.TxnPos = uint32(len(r.Resp.BR))
	r.Resp.SenderEUID = t.senderEUID
	if t.from != nil {
		r.Resp.SenderProc = t.from.proc.id
	}
	r.Resp.Val = b.windowOff()
	r.Resp.Delivery = t.id
	for _, f := range t.fds {
		r.Resp.Fix = append(r.Resp.Fix, Fix{Off: b.windowOff() + f.off, Token: f.token, Kind: f.kind})
	}
	t.fds = t.fds[:0]
	th.put32(r, cmd)
	r.Resp.BR = tr.Append(r.Resp.BR, cmd == uapi.BR_TRANSACTION_SEC_CTX)

	b.state, b.delivery = bufDelivered, t.id
	if cmd == uapi.BR_REPLY {
		th.foretellPlain(r, b)
	}
	if cmd != uapi.BR_REPLY && t.flags&uapi.TF_ONE_WAY == 0 {
		t.toParent, t.toThread = th.stack, th
		th.stack = t
	} else {
		t.free(x)
	}
	return true
}

// Undo takes one delivery back that the guest driver could not carry out: the
// caller of a call hears BR_FAILED_REPLY, the buffer is freed. The thread may have
// gone on to its next read by then.
func (vm *VM) Undo(x *Exec, id ProcID, tid uint32, delivery uint64) {
	x.lock(vm)
	defer x.unlock()
	p := vm.proc(id)
	if p == nil {
		return
	}
	b := p.bufferOf(delivery)
	if b == nil {
		return // freed meanwhile
	}
	t := b.txn // nil for oneways and replies, and if the thread has ended
	if t != nil && (t.toThread.tid != tid || t.toThread.stack != t) {
		return // somebody else's, or read: only a broken guest gets here
	}
	p.noticeUndo(x, b)
	if t != nil {
		th := t.toThread
		th.stack = t.toParent
		t.toThread, t.toParent = nil, nil
		t.sendFailedReply(x, uapi.BR_FAILED_REPLY)
		th.reread(x)
	}
	b.release(x)
}
