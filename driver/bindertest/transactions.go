// SPDX-License-Identifier: Apache-2.0

package bindertest

import "virtbinder/driver/uapi"

// Section 7: whom a call reaches, the rules of the stack, and each way to fail.
var transactionScenarios = []Scenario{
	{"transaction/sync-call", "a call and its reply; the completion comes with the reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 7, "hello"))
		a.read(free(a.got.Buffer), reply("ok"))
		b.write(free(b.got.Buffer))
	}},
	{"transaction/handle0-no-manager", "handle 0 without a context manager: BR_DEAD_REPLY, -EINVAL", nil, func(t *T) {
		b := t.proc("b")
		b.read(call(0, 1))
		b.extendedError()
		b.read(oneway(0, 1))
		b.extendedError()
	}},
	{"transaction/unknown-handle", "a handle that the caller does not hold: BR_FAILED_REPLY, -EINVAL", nil, func(t *T) {
		b := t.proc("b")
		b.read(call(99, 1))
		b.extendedError()
		b.read(oneway(^uint32(0), 1))
		b.extendedError()
	}},
	{"transaction/weak-handle", "a handle held only weakly: BR_FAILED_REPLY, -EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(increfs(1), release(1))
		a.read(call(1, 1))
		a.extendedError()
	}},
	{"transaction/dead-node", "the object's owner is dead: BR_DEAD_REPLY, -EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.kill()
		a.signal()
		a.read(call(h, 1))
		a.extendedError()
		a.read(oneway(h, 1))
		a.extendedError()
	}},
	{"transaction/dead-manager", "the manager died: handle 0, held or not, is dead", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(acquire(0))
		a.kill()
		b.read(call(0, 1))
		b.extendedError()
	}},
	{"transaction/new-manager", "handle 0 is whoever is the manager now, whatever was held", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b.write(acquire(0))
		a.kill()
		c.manage()
		c.read(enter)
		b.read(call(0, 1))
	}},
	{"transaction/self", "the manager calls itself: BR_FAILED_REPLY, -EINVAL", nil, func(t *T) {
		a := t.proc("a")
		a.manage()
		a.read(call(0, 1))
		a.extendedError()
		a.read(oneway(0, 1))
		a.extendedError()
	}},
	{"transaction/handle-to-own-process", "another open of the same process may be called by its handle", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		f := b.open("binder")
		b2 := b.newThread()
		b2.on(f).mmap(defaultMap, 1)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.write(acquire(1), free(a.got.Buffer))
		a.read(reply())
		a.read()
		b2.on(f).read(call(0, 2))
		a.read(reply(handle(1)))
		b2.on(f).write(acquire(1))
		b.read(enter)
		b2.on(f).read(call(1, 3, "hello"))
	}},
	{"transaction/two-waiting", "several callers are served in the order of their calls", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		c.read(call(0, 1))
		b.read(call(0, 2))
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		a.read()
		a.read(free(a.got.Buffer), reply())
	}},
	{"transaction/reply-to-nobody", "a reply without a call: BR_FAILED_REPLY, -EPROTO", nil, func(t *T) {
		b := t.proc("b")
		b.read(reply("unasked"))
		b.extendedError()
	}},
	{"transaction/reply-twice", "a second reply to the same call: BR_FAILED_REPLY, -EPROTO", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply("one"), reply("two"))
		a.extendedError()
		a.read()
	}},
	{"transaction/reply-while-calling", "a reply by a thread that waits for one: BR_FAILED_REPLY, -EPROTO", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		b.read(reply())
		b.extendedError()
	}},
	{"transaction/reply-by-other-thread", "a reply by another thread than the one that was called: BR_FAILED_REPLY, -EPROTO", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a2 := a.newThread()
		a.read(enter)
		b.read(call(0, 1))
		a2.read(reply())
		a2.extendedError()
		a.read(reply("by the right one"))
	}},
	{"transaction/reply-to-oneway", "a oneway has no reply: BR_FAILED_REPLY, -EPROTO", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1))
		a.read(enter)
		a.read(reply())
		a.extendedError()
	}},
	{"transaction/reply-fails", "a reply that fails: the caller gets the error, the replier a completion", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(handle(9)))
		a.extendedError()
		b.extendedError()
		a.read(reply())
		a.extendedError()
	}},
	{"transaction/reply-unreadable", "a reply whose data is nowhere: -EFAULT for the caller", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(reply("x", with(func(tr *uapi.TransactionData) { tr.Buffer = Unmapped })))
		b.extendedError()
	}},
	{"transaction/reply-too-large", "a reply that the caller's buffer does not hold: -ENOSPC for the caller", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", mapped(4096))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(reply(size(4097)))
		a.extendedError()
		b.extendedError()
	}},
	{"transaction/reply-error-kept", "a failed reply fills the caller's extended error only if there is none yet", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.write(call(0, 1))
		b.write(oneway(99, 2))
		a.read(reply(handle(9)))
		b.read()
		b.extendedError()
	}},
	{"transaction/sync-while-calling", "a second call before the first is answered: BR_FAILED_REPLY, -EPROTO", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		b.write(call(0, 2))
		b.extendedError()
		b.read()
		a.read(enter)
		a.read(reply())
		b.read()
	}},
	{"transaction/oneway-while-calling", "a oneway before the call is answered is fine", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		b.write(oneway(0, 2))
		b.read()
		a.read(enter)
		a.read(reply())
	}},
	{"transaction/call-on-own-todo", "no call by a thread that has a transaction to read: BR_FAILED_REPLY, -EPROTO", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.write(call(0, 2))
		a.write(call(h, 3))
		b.write(call(0, 4))
		b.extendedError()
		b.read()
		b.read()
	}},
	{"transaction/nested", "a call back into a waiting process goes to the thread that waits", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b2 := b.newThread()
		b2.read(enter)
		b.read(call(0, 1, "out"))
		a.read(call(h, 2, "back in"))
		b.read(free(b.got.Buffer), reply("from the inside"))
		b.read()
		a.read(reply("done"))
	}},
	{"transaction/nested-deep", "and so on, several levels deep, with buffers freed on the way out", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read(call(0, 1))
		a.read(call(h, 2))
		b.read(call(0, 3))
		a.read(call(h, 4))
		b.read(reply("4"))
		b.read()
		a.read(reply("3"))
		a.read()
		b.read(reply("2"))
		b.read()
		a.read(reply("1"))
	}},
	{"transaction/nested-over-third", "a chain over three processes comes back to the first one's waiting thread", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		hb := t.held(a, b, binder(0x10, 0x11))
		hc := t.held(a, c, binder(0x20, 0x21))
		a.signal()
		c.read(enter)
		b2 := b.newThread()
		b2.read(enter)
		a.read(enter)
		b.read(call(0, 1))
		_ = hb
		a.read(call(hc, 2, handle(hb)))
		c.read(call(1, 3, "back to b"))
		b.read(reply("b to c"))
		b.read()
		c.read(reply("c to a"))
		c.read()
		a.read(reply("a to b"))
	}},
	{"transaction/nested-oneway", "a oneway back into a waiting process goes to its pool", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b2 := b.newThread()
		b2.read(enter)
		b.read(call(0, 1))
		a.read(oneway(h, 2))
		a.read(reply())
	}},
	{"transaction/nested-other-thread", "a call by another thread of the callee is not nested: it goes to the pool", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a2, b2 := a.newThread(), b.newThread()
		b2.read(enter)
		b.read(call(0, 1))
		a2.read(call(h, 2))
		b2.read(reply())
		a.read(reply())
	}},
	{"transaction/nested-caller-dies", "the caller of a nested call's chain dies: the inner reply is lost, the outer too", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read(call(0, 1))
		a.read(call(h, 2))
		b.kill()
		a.read(reply("to nobody"))
		a.extendedError()
	}},
	{"transaction/reply-order", "replies are to the innermost call first", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read(call(0, 1))
		c.read(call(0, 9))
		a.read(call(h, 2))
		b.read(reply("inner"))
		b.read()
		a.read(reply("outer"))
		a.read()
	}},
	{"transaction/interrupted", "a call that a signal interrupts goes on; the reply is read later", []Feature{Signals}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		b.signal()
		b.read()
		b.signal()
		a.read(enter)
		a.read(reply("at last"))
		b.read()
	}},
	{"transaction/interrupted-and-served", "a thread whose call was interrupted may be called back", []Feature{Signals}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read(call(0, 1))
		b.signal()
		a.read(call(h, 2))
		b.read()
		b.read(reply("inner"))
		b.read()
		a.read(reply("outer"))
	}},
	{"transaction/pid-of-nested", "sender_pid of each call in a chain", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b2 := b.newThread()
		b2.read(call(0, 1))
		a.read(call(h, 2))
	}},
	{"transaction/forwarded", "a received buffer is sent on from where it is", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		hc := t.held(a, c, binder(0x20, 0x21))
		c.read(enter)
		b.read(call(0, 1, "pass it on", binder(0x30, 0x31)))
		g := a.got
		a.read(call(hc, 2, with(func(tr *uapi.TransactionData) {
			tr.Buffer, tr.DataSize, tr.Offsets, tr.OffsetsSize = g.Buffer, g.DataSize, g.Offsets, g.OffsetsSize
		})))
		c.read(reply())
		a.read(free(g.Buffer), reply())
	}},
	{"transaction/forwarded-large", "so is one of many pages", nil, func(t *T) {
		a, b, c := t.proc("a", mapped(1<<20)), t.proc("b"), t.proc("c", mapped(1<<20))
		a.manage()
		a.read(enter)
		hc := t.held(a, c, binder(0x20, 0x21))
		c.read(enter)
		b.poke(own, []byte("the beginning"))
		b.read(call(0, 1, size(300<<10)))
		g := a.got
		a.read(call(hc, 2, with(func(tr *uapi.TransactionData) { tr.Buffer, tr.DataSize = g.Buffer, g.DataSize })))
		c.read(reply())
	}},
	{"transaction/forwarded-into-itself", "a reply made of the caller's own data", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "echo"))
		g := a.got
		a.read(reply(with(func(tr *uapi.TransactionData) { tr.Buffer, tr.DataSize = g.Buffer, g.DataSize })), free(g.Buffer))
	}},
	{"transaction/data-unreadable", "data that is nowhere: BR_FAILED_REPLY, -EFAULT; the target sees nothing", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "x", with(func(tr *uapi.TransactionData) { tr.Buffer = Unmapped })))
		b.extendedError()
	}},
	{"transaction/error-order", "an unknown handle comes before anything about the data", nil, func(t *T) {
		b := t.proc("b")
		b.read(call(9, 1, "x", with(func(tr *uapi.TransactionData) { tr.Buffer, tr.OffsetsSize = Unmapped, 3 })))
		b.extendedError()
	}},
	{"transaction/error-order-space", "no room comes before unreadable data", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1, with(func(tr *uapi.TransactionData) { tr.Buffer, tr.DataSize = Unmapped, defaultMap+8 })))
		b.extendedError()
	}},
	{"transaction/error-order-stack", "the rules of the stack come before room", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		b.write(call(0, 2, size(defaultMap+8)))
		b.extendedError()
	}},
	{"transaction/libbinder-loop", "what libbinder does for one call: three ioctls, at each of which something is read", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manageExt(binder(0, 0))
		a.maxThreads(15)
		b.maxThreads(15)
		b.detectSpam(1)
		a.read(enter)
		b.read(increfs(0), acquire(0), call(0, uapi.BC_TRANSACTION&0xffff, "parcel", flags(uapi.TF_ACCEPT_FDS|uapi.TF_CLEAR_BUF)))
		a.read(reply("status ok", flags(uapi.TF_CLEAR_BUF)))
		a.read(free(a.got.Buffer))
		b.write(free(b.got.Buffer))
	}},
	{"transaction/ping", "a call without data and a reply without data, again and again", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		for code := range uint32(3) {
			b.read(call(0, code))
			a.read(reply())
			a.read(free(a.got.Buffer))
			b.write(free(b.got.Buffer))
		}
	}},
}
