// SPDX-License-Identifier: Apache-2.0

package bindertest

// Section 11: freezing, and the notification of it.
var freezeScenarios = []Scenario{
	{"freeze/sync-rejected", "a call to a frozen process: BR_FROZEN_REPLY", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(call(0, 1))
		b.extendedError()
		b.frozenInfo(a)
	}},
	{"freeze/oneway-queued", "a oneway to a frozen process is queued", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.freeze(a, 0)
		b.read(oneway(0, 1))
		b.frozenInfo(a)
	}},
	{"freeze/thaw", "thawed, it takes calls again; what it missed is told no more", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.freeze(a, 0)
		b.read(call(0, 1))
		b.frozenInfo(a)
		b.unfreeze(a)
		b.frozenInfo(a)
		b.read(call(0, 1))
	}},
	{"freeze/info-of-thawed", "BINDER_GET_FROZEN_INFO of a process that never was frozen", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		b.frozenInfo(a)
	}},
	{"freeze/info-cleared-by-freeze", "freezing anew clears what was missed", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(call(0, 1))
		b.freeze(a, 0)
		b.frozenInfo(a)
	}},
	{"freeze/thaw-of-thawed", "thawing what is not frozen succeeds", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		b.unfreeze(a)
	}},
	{"freeze/pending-call", "a call that is being served: EAGAIN, and not frozen", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		c.freeze(a, 0)
		c.frozenInfo(a)
		a.read(free(a.got.Buffer), reply())
		c.freeze(a, 0)
	}},
	{"freeze/pending-queued", "a call that nobody has read yet: EAGAIN", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b.read(call(0, 1))
		c.freeze(a, 0)
		c.frozenInfo(a)
		a.read(enter)
	}},
	{"freeze/pending-outgoing", "a call of its own that is not answered: EAGAIN", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b.read(call(0, 1))
		c.freeze(b, 0)
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		c.freeze(b, 0)
	}},
	{"freeze/pending-oneway", "a oneway that is queued does not keep it from freezing", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1))
		b.freeze(a, 0)
		b.frozenInfo(a)
	}},
	{"freeze/waits", "with a timeout it waits for the calls that are being served", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		c.freeze(a, 60000)
		a.write(free(a.got.Buffer), reply())
	}},
	{"freeze/times-out", "until the timeout: EAGAIN, and thawed", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		c.freezeOut(a, 20)
		d := t.proc("d")
		d.read(oneway(0, 2))
		c.frozenInfo(a)
	}},
	{"freeze/rejects-while-waiting", "calls are rejected while it waits", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		c.freeze(a, 60000)
		d := t.proc("d")
		d.read(call(0, 2))
		a.write(free(a.got.Buffer), reply())
		c.frozenInfo(a)
	}},
	{"freeze/target-dies-while-waiting", "the process dies while it is waited for", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		c.freeze(a, 1000)
		a.kill()
		d := t.proc("d")
		d.frozenInfo(a)
	}},
	{"freeze/waiter-killed", "who waits is killed: thawed again", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		c.freeze(a, 60000)
		c.kill()
		d := t.proc("d")
		d.read(oneway(0, 1))
		d.frozenInfo(a)
	}},
	{"freeze/waiter-interrupted", "a signal to who waits: BINDER_FREEZE begins anew, as the signal's handler asks for", []Feature{Signals}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		c.freeze(a, 60000)
		c.signal()
		a.write(free(a.got.Buffer), reply())
		b.frozenInfo(a)
	}},
	{"freeze/frozen-may-reply", "a frozen process may still answer nothing, but read and send", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.freeze(a, 0)
		a.signal()
		a.write(oneway(h, 3))
		b.nonblock(1)
		b.read(enter)
	}},
	{"freeze/oneways-delivered-frozen", "a frozen process that reads gets what is queued", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(oneway(0, 1))
		a.read(enter)
	}},
	{"freeze/thaw-wakes", "thawing delivers what was queued", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.freeze(a, 0)
		b.read(oneway(0, 1))
		b.unfreeze(a)
		a.signal()
		a.read()
	}},
	{"freeze/death-while-frozen", "a frozen process dies: queued oneways vanish, watchers are told", []Feature{PendingFrozen}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(acquire(0), requestDeath(0, 0xd))
		b.freeze(a, 0)
		b.read(oneway(0, 1))
		a.kill()
		b.read(enter)
	}},
	{"freeze/all-opens", "every open of the pid is frozen, in every context", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		other := a.on(a.open("hwbinder"))
		other.mmap(defaultMap, 1)
		other.manage()
		b.freeze(a, 0)
		c := b.on(b.open("hwbinder"))
		b.read(call(0, 1))
		c.read(call(0, 1))
		c.read(call(0, 1))
		b.frozenInfo(a)
	}},
	{"freeze/itself", "a process may freeze itself", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.freeze(a, 0)
		b.read(call(0, 1))
		a.unfreeze(a)
	}},
	{"freeze/enable-nonzero", "any enable that is not 0 freezes", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.do(b.freezeCall(a.pid(), 5, 0), b.showErrno(), "BINDER_FREEZE a, enable 5")
		b.read(call(0, 1))
	}},
	{"freeze/reply-to-frozen", "a reply to a caller that was frozen arrives", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		c.freeze(b, 0)
		a.read(free(a.got.Buffer), reply("late"))
	}},
	{"freeze/notice-initial", "a request for notification tells the present state at once", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.write(freezeDone(0xf1))
	}},
	{"freeze/notice-initial-frozen", "frozen, if it is", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		c.freeze(b, 0)
		a.read(requestFreeze(h, 0xf1))
	}},
	{"freeze/notice-changes", "every change is told once the last was acknowledged", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.read(freezeDone(0xf1))
		c.freeze(b, 0)
		a.read(freezeDone(0xf1))
		c.unfreeze(b)
	}},
	{"freeze/notice-coalesces", "unacknowledged, changes back and forth are not told", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		c.freeze(b, 0)
		c.unfreeze(b)
		a.nonblock(1)
		a.read(freezeDone(0xf1))
	}},
	{"freeze/notice-resent", "the last state is told after the acknowledgement if it is another", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		c.freeze(b, 0)
		a.nonblock(1)
		a.read()
		a.read(freezeDone(0xf1))
	}},
	{"freeze/notice-queued-changes", "a change while the notice is queued", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestFreeze(h, 0xf1))
		c.freeze(b, 0)
		a.read()
		a.nonblock(1)
		a.read(freezeDone(0xf1))
	}},
	{"freeze/notice-twice", "a second request for the handle: EINVAL", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.write(requestFreeze(h, 0xf2))
	}},
	{"freeze/notice-unknown-handle", "an unknown handle: EINVAL", []Feature{FreezeNotice}, func(t *T) {
		a := t.proc("a")
		a.write(requestFreeze(7, 0xf1))
		a.write(clearFreeze(7, 0xf1))
	}},
	{"freeze/notice-dead", "of a dead object nothing is told", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		b.kill()
		a.nonblock(1)
		a.read(requestFreeze(h, 0xf1))
		a.read(clearFreeze(h, 0xf1))
	}},
	{"freeze/notice-clear", "a cleared request: BR_CLEAR_FREEZE_NOTIFICATION_DONE", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.write(freezeDone(0xf1))
		a.read(clearFreeze(h, 0xf1))
		c.freeze(b, 0)
		a.nonblock(1)
		a.read()
	}},
	{"freeze/notice-clear-unacknowledged", "with a notice delivered the done follows its acknowledgement", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.nonblock(1)
		a.read(clearFreeze(h, 0xf1))
		a.read(freezeDone(0xf1))
	}},
	{"freeze/notice-clear-queued", "cleared with the notice queued", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestFreeze(h, 0xf1), clearFreeze(h, 0xf1))
		a.nonblock(1)
		a.read()
		a.read()
	}},
	{"freeze/notice-clear-wrong-cookie", "another cookie: EINVAL", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.write(clearFreeze(h, 0xf2))
	}},
	{"freeze/notice-clear-nothing", "clearing what was not asked: EINVAL", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(clearFreeze(h, 0xf1))
	}},
	{"freeze/notice-done-unknown", "an acknowledgement of no notice: EINVAL", []Feature{FreezeNotice}, func(t *T) {
		a := t.proc("a")
		a.write(freezeDone(0xf1))
	}},
	{"freeze/notice-done-early", "an acknowledgement of a notice that is still queued: EINVAL", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestFreeze(h, 0xf1))
		a.write(freezeDone(0xf1))
		a.read()
	}},
	{"freeze/notice-handle-dropped", "dropping the handle drops the request", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.write(freezeDone(0xf1), release(h))
		c.freeze(b, 0)
		a.nonblock(1)
		a.read()
	}},
	{"freeze/notice-owner-dies", "the owner dies with a request on it", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.write(freezeDone(0xf1), requestDeath(h, 0xd1))
		b.kill()
		a.read()
		a.write(clearFreeze(h, 0xf1))
		a.nonblock(1)
		a.read()
	}},
	{"freeze/notice-two-objects", "each watched object of a process has its notice", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h1 := t.held(a, b, binder(0x10, 0x11))
		h2 := t.held(a, b, binder(0x20, 0x21))
		a.signal()
		a.read(requestFreeze(h1, 0xf1))
		a.read(requestFreeze(h2, 0xf2))
		a.write(freezeDone(0xf1), freezeDone(0xf2))
		c.freeze(b, 0)
		a.read()
		a.read()
	}},
	{"freeze/notice-same-cookie", "two objects may be watched with one cookie; an acknowledgement is for the first of them", []Feature{FreezeNotice}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h1 := t.held(a, b, binder(0x10, 0x11))
		h2 := t.held(a, b, binder(0x20, 0x21))
		a.signal()
		a.read(requestFreeze(h1, 0xf1))
		a.read(requestFreeze(h2, 0xf1))
		a.write(freezeDone(0xf1))
		c.freeze(b, 0)
		a.nonblock(1)
		a.read()
		a.read(freezeDone(0xf1))
		a.read(clearFreeze(h1, 0xf1))
		a.read(clearFreeze(h2, 0xf1))
	}},
	{"freeze/notice-clear-and-ask-again", "a cleared handle may be watched again, with the same cookie", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestFreeze(h, 0xf1))
		a.nonblock(1)
		a.read(clearFreeze(h, 0xf1), requestFreeze(h, 0xf1))
		a.read(freezeDone(0xf1))
		a.read()
		a.read(freezeDone(0xf1))
	}},
	{"freeze/notice-manager", "the context manager can be watched through handle 0", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(acquire(0))
		b.read(enter, requestFreeze(0, 0xf0))
		b.write(freezeDone(0xf0))
		b.freeze(a, 0)
		b.read()
	}},
}
