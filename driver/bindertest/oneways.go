// SPDX-License-Identifier: Apache-2.0

package bindertest

import "virtbinder/driver/uapi"

// Section 12: oneways, their order and their half of the buffer.
var onewayScenarios = []Scenario{
	{"oneway/one-at-a-time", "of an object's oneways only one is in flight; freeing it lets the next go", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		th := a.newThread()
		th.read(enter)
		b.write(oneway(0, 1), oneway(0, 2))
		a.read(enter)
		th.write(free(th.got.Buffer))
	}},
	{"oneway/order", "in the order they were sent", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b.write(oneway(0, 1))
		c.write(oneway(0, 2))
		b.write(oneway(0, 3))
		a.read(enter)
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
	}},
	{"oneway/objects-are-apart", "different objects of a process do not wait for each other", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h1 := t.held(a, b, binder(0x10, 0x11))
		h2 := t.held(a, b, binder(0x20, 0x21))
		a.signal()
		b.read(enter)
		th := b.newThread()
		th.read(enter)
		a.write(oneway(h1, 1), oneway(h1, 2), oneway(h2, 3))
	}},
	{"oneway/calls-overtake", "a call is not ordered after the oneways of its object", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1), oneway(0, 2))
		a.read(enter)
		th := a.newThread()
		th.read(enter)
		b.read()
		b.read(call(0, 3))
	}},
	{"oneway/no-sender-pid", "a oneway does not say who sent it, but its uid", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", uid(1000))
		a.manage()
		a.read(enter)
		b.read(oneway(0, 1))
	}},
	{"oneway/no-reply", "there is nothing to reply to", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1))
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		a.extendedError()
	}},
	{"oneway/while-calling", "a thread that waits for a reply's turn may send oneways", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		b.write(oneway(0, 2))
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		b.read()
		b.read()
	}},
	{"oneway/to-dead", "a oneway to a dead object: BR_DEAD_REPLY", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		b.kill()
		a.read(oneway(h, 1))
		a.extendedError()
	}},
	{"oneway/queued-vanish", "oneways that are queued when the target dies vanish", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1), oneway(0, 2))
		a.kill()
		b.nonblock(1)
		b.read()
		b.read()
	}},
	{"oneway/quota", "oneways may take half of the buffer: BR_FAILED_REPLY, -ENOSPC beyond it", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.read(oneway(0, 1, make([]byte, 6<<10)))
		b.read(oneway(0, 2, make([]byte, 3<<10)))
		b.extendedError()
		b.read(oneway(0, 3, make([]byte, 2<<10)))
		b.read(oneway(0, 4))
	}},
	{"oneway/quota-of-calls", "calls may take all of it", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.write(oneway(0, 1, make([]byte, 8<<10)))
		a.read(enter)
		b.read(call(0, 2, make([]byte, 8<<10)))
		b.read()
	}},
	{"oneway/quota-returned", "freeing returns the quota", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(oneway(0, 1, make([]byte, 8<<10)))
		b.read(oneway(0, 2))
		a.write(free(a.got.Buffer))
		b.read(oneway(0, 3, make([]byte, 8<<10)))
	}},
	{"oneway/quota-after-failure", "a oneway that fails for another reason returns it as well", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.read(oneway(0, 1, make([]byte, 4<<10), handle(9)))
		b.read(oneway(0, 2, make([]byte, 7<<10)))
	}},
	{"oneway/reply-flag", "TF_ONE_WAY on a reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(flags(uapi.TF_ONE_WAY)))
	}},
	{"oneway/spam-many", "more than 50 oneways of one sender when the budget is low: BR_ONEWAY_SPAM_SUSPECT", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.detectSpam(1)
		t.flood(b, 53, 120)
		b.readN(4096)
	}},
	{"oneway/spam-undetected", "without BINDER_ENABLE_ONEWAY_SPAM_DETECTION: plain completions", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		t.flood(b, 53, 120)
		b.readN(4096)
	}},
	{"oneway/spam-large", "a sender with more than a quarter of the buffer is suspected too", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.detectSpam(1)
		b.read(oneway(0, 1, make([]byte, 5<<10)))
		b.read(oneway(0, 2, make([]byte, 2<<10)))
		b.read(oneway(0, 3))
	}},
	{"oneway/spam-once", "it is said once until the budget has recovered", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.detectSpam(1)
		b.read(oneway(0, 1, make([]byte, 6<<10)))
		b.read(oneway(0, 2, make([]byte, 1<<10)))
		b.read(oneway(0, 3))
		b.read(oneway(0, 4))
		a.read(enter)
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
		b.read(oneway(0, 5, make([]byte, 5<<10)))
		b.read(oneway(0, 6, make([]byte, 2<<10)))
		b.read(oneway(0, 7))
	}},
	{"oneway/spam-others", "who sent little is not suspected, however low the budget is", nil, func(t *T) {
		a, b, c := t.proc("a", mapped(16<<10)), t.proc("b"), t.proc("c")
		a.manage()
		b.detectSpam(1)
		c.detectSpam(1)
		b.read(oneway(0, 1, make([]byte, 7<<10)))
		c.read(oneway(0, 2))
		b.read(oneway(0, 3))
	}},
	{"oneway/spam-calls-do-not-count", "calls are not counted", nil, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.detectSpam(1)
		th := b.newThread()
		th.write(call(0, 1, make([]byte, 7<<10)))
		b.read(oneway(0, 2, make([]byte, 100)))
	}},
	{"oneway/spam-frozen", "a suspected one to a frozen process is told of as one that waits for it", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.detectSpam(1)
		b.freeze(a, 0)
		b.read(oneway(0, 1, make([]byte, 6<<10)))
		b.read(oneway(0, 2, make([]byte, 1<<10)))
		b.unfreeze(a)
		b.read(oneway(0, 3))
	}},
	{"oneway/update", "TF_UPDATE_TXN: a queued one of the same kind is replaced while the target is frozen", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(oneway(0, 1, "first"))
		b.read(oneway(0, 2, "old", flags(uapi.TF_UPDATE_TXN)))
		b.read(oneway(0, 2, "new", flags(uapi.TF_UPDATE_TXN)))
		b.unfreeze(a)
		a.nonblock(1)
		a.read(enter)
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
	}},
	{"oneway/update-first", "also one that no other waits before", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(oneway(0, 2, "old", flags(uapi.TF_UPDATE_TXN)))
		b.read(oneway(0, 2, "new", flags(uapi.TF_UPDATE_TXN)))
		b.read(oneway(0, 2, "newer", flags(uapi.TF_UPDATE_TXN)))
		b.unfreeze(a)
		a.nonblock(1)
		a.read(enter)
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
	}},
	{"oneway/update-thawed", "not while it is thawed", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1), oneway(0, 2, "old", flags(uapi.TF_UPDATE_TXN)), oneway(0, 2, "new", flags(uapi.TF_UPDATE_TXN)))
		a.read(enter)
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
	}},
	{"oneway/update-other-code", "not one with another code", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(oneway(0, 1, "first"))
		b.read(oneway(0, 2, "old", flags(uapi.TF_UPDATE_TXN)))
		b.read(oneway(0, 3, "new", flags(uapi.TF_UPDATE_TXN)))
		b.unfreeze(a)
		a.read(enter)
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
	}},
	{"oneway/update-other-flags", "nor with other flags", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(oneway(0, 1, "first"))
		b.read(oneway(0, 2, "old"))
		b.read(oneway(0, 2, "new", flags(uapi.TF_UPDATE_TXN)))
		b.unfreeze(a)
		a.read(enter)
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
	}},
	{"oneway/update-other-sender", "nor of another process", []Feature{PendingFrozen}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b.freeze(a, 0)
		b.read(oneway(0, 1, "first"))
		b.read(oneway(0, 2, "old", flags(uapi.TF_UPDATE_TXN)))
		c.read(oneway(0, 2, "new", flags(uapi.TF_UPDATE_TXN)))
		b.unfreeze(a)
		a.read(enter)
		a.read(free(a.got.Buffer))
		a.read(free(a.got.Buffer))
	}},
	{"oneway/update-other-object", "nor of another object of the process", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		b.manage()
		b.read(enter)
		h1 := t.held(b, a, binder(0x10, 0x11))
		h2 := t.held(b, a, binder(0x20, 0x21))
		b.signal()
		b.freeze(a, 0)
		b.read(oneway(h1, 2, "old", flags(uapi.TF_UPDATE_TXN)))
		b.read(oneway(h2, 2, "new", flags(uapi.TF_UPDATE_TXN)))
		b.unfreeze(a)
		a.nonblock(1)
		a.read(enter)
		a.read()
	}},
	{"oneway/update-releases", "what was replaced gives back its objects and its room", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a", mapped(16<<10)), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(oneway(0, 1, "first"))
		b.read(oneway(0, 2, make([]byte, 4<<10), binder(0x10, 0x11), flags(uapi.TF_UPDATE_TXN)))
		b.write(increfsDone(0x10, 0x11), acquireDone(0x10, 0x11))
		b.read(oneway(0, 2, make([]byte, 3<<10), flags(uapi.TF_UPDATE_TXN)))
		b.nonblock(1)
		b.read()
		b.read(oneway(0, 3, make([]byte, 4<<10)))
	}},
	{"oneway/update-files", "descriptors in what was replaced are dropped, and nothing of the receiver's is closed", []Feature{PendingFrozen, Files}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		kept := a.tempFile("kept", "kept")
		r, w := b.pipe()
		b.freeze(a, 0)
		b.read(oneway(0, 1, "first"))
		b.read(oneway(0, 2, descriptor(w), flags(uapi.TF_UPDATE_TXN)))
		b.closeFD(w)
		b.readFD(r)
		b.read(oneway(0, 2, "none", flags(uapi.TF_UPDATE_TXN)))
		b.readFD(r)
		a.look(kept)
	}},
	{"oneway/clear-buf", "TF_CLEAR_BUF: the buffer is zeroed before it is freed", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(oneway(0, 1, "secret", flags(uapi.TF_CLEAR_BUF)))
		at := a.got.Buffer
		a.peek(at, 8)
		a.write(free(at))
		a.peek(at, 8)
	}},
	{"oneway/no-clear-buf", "without it the bytes stay", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(oneway(0, 1, "secret"))
		at := a.got.Buffer
		a.write(free(at))
		a.peek(at, 8)
	}},
	{"oneway/clear-buf-reply", "TF_CLEAR_BUF on a reply clears the caller's buffer", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "question", flags(uapi.TF_CLEAR_BUF)))
		at := a.got.Buffer
		a.write(free(at), reply("secret", flags(uapi.TF_CLEAR_BUF)))
		a.peek(at, 8)
		at = b.got.Buffer
		b.write(free(at))
		b.peek(at, 8)
	}},
}

// flood sends so many oneways of so many bytes to handle 0, in one write.
func (t *T) flood(from *proc, n, size int) {
	var cmds []cmd
	for i := range n {
		cmds = append(cmds, oneway(0, uint32(i), make([]byte, size)))
	}
	from.write(cmds...)
}
