// SPDX-License-Identifier: Apache-2.0

package bindertest

// Section 10: death notification.
var deathScenarios = []Scenario{
	{"death/notice", "the owner dies: BR_DEAD_BINDER with the cookie", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1))
		b.kill()
		a.read(deadBinderDone(0xd1))
	}},
	{"death/already-dead", "of an object that is dead already: at once", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		b.kill()
		a.read(requestDeath(h, 0xd1))
	}},
	{"death/already-dead-non-looper", "to a thread outside the pool the notice comes through the process", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.kill()
		th := a.newThread()
		th.write(requestDeath(h, 0xd1))
	}},
	{"death/to-any-looper", "the notice goes to any thread of the pool", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		th := a.newThread()
		th.write(requestDeath(h, 0xd1))
		b.kill()
	}},
	{"death/twice", "a second request for a handle is ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1), requestDeath(h, 0xd2))
		b.kill()
		a.nonblock(1)
		a.read()
	}},
	{"death/unknown-handle", "a request for an unknown handle is ignored", nil, func(t *T) {
		a := t.proc("a")
		a.nonblock(1)
		a.read(requestDeath(7, 0xd1))
		a.read(clearDeath(7, 0xd1))
	}},
	{"death/weak-handle", "a weak reference is enough", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.read(increfs(1), requestDeath(1, 0xd1), free(a.got.Buffer), reply())
		b.kill()
		a.read()
	}},
	{"death/manager", "handle 0, once it is held, can be watched", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(acquire(0))
		b.read(enter, requestDeath(0, 0xd0))
		a.kill()
	}},
	{"death/manager-unheld", "not while it is not held", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(enter, requestDeath(0, 0xd0))
		a.kill()
	}},
	{"death/clear", "a cleared request: BR_CLEAR_DEATH_NOTIFICATION_DONE, and no notice", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestDeath(h, 0xd1))
		a.read(clearDeath(h, 0xd1))
		a.read()
		b.kill()
	}},
	{"death/clear-outside-pool", "the done of a thread outside the pool goes to the pool", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		th := a.newThread()
		th.write(requestDeath(h, 0xd1))
		th.write(clearDeath(h, 0xd1))
	}},
	{"death/clear-wrong-cookie", "another cookie: ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1), clearDeath(h, 0xd2))
		b.kill()
	}},
	{"death/clear-nothing", "clearing what was not asked: ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.nonblock(1)
		a.read(clearDeath(h, 0xd1))
	}},
	{"death/clear-and-ask-again", "a cleared handle may be watched again", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1), clearDeath(h, 0xd1), requestDeath(h, 0xd2))
		a.read()
		b.kill()
	}},
	{"death/clear-queued", "cleared with the notice queued: the notice first, the done after its acknowledgement", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestDeath(h, 0xd1))
		b.kill()
		a.write(clearDeath(h, 0xd1))
		a.read()
		a.nonblock(1)
		a.read()
		a.read(deadBinderDone(0xd1))
	}},
	{"death/clear-delivered", "cleared with the notice delivered: the done after its acknowledgement", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1))
		b.kill()
		a.nonblock(1)
		a.read(clearDeath(h, 0xd1))
		a.read(deadBinderDone(0xd1))
	}},
	{"death/clear-acknowledged", "cleared with the notice acknowledged: the done at once", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1))
		b.kill()
		a.nonblock(1)
		a.read(deadBinderDone(0xd1))
		a.read(clearDeath(h, 0xd1))
	}},
	{"death/done-unknown", "an acknowledgement of no notice is ignored", nil, func(t *T) {
		a := t.proc("a")
		a.write(deadBinderDone(0xd1))
	}},
	{"death/done-twice", "so is a second one", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1))
		b.kill()
		a.write(deadBinderDone(0xd1), deadBinderDone(0xd1))
	}},
	{"death/done-before-delivery", "and one for a notice that is still queued", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestDeath(h, 0xd1))
		b.kill()
		a.read(deadBinderDone(0xd1))
	}},
	{"death/handle-dies-with-request", "dropping the handle drops the request", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestDeath(h, 0xd1), release(h))
		b.kill()
		a.nonblock(1)
		a.read()
	}},
	{"death/handle-dropped-with-notice-queued", "dropping the handle with the notice queued", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestDeath(h, 0xd1))
		b.kill()
		a.write(release(h))
		a.nonblock(1)
		a.read()
	}},
	{"death/handle-dropped-with-notice-delivered", "dropping the handle between notice and acknowledgement", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1))
		b.kill()
		a.nonblock(1)
		a.read(release(h))
		a.read(deadBinderDone(0xd1))
	}},
	{"death/per-process", "every object of a dead process has its notice", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h1 := t.held(a, b, binder(0x10, 0x11))
		h2 := t.held(a, b, binder(0x20, 0x21))
		a.signal()
		a.write(requestDeath(h2, 0xd2), requestDeath(h1, 0xd1))
		b.kill()
		a.read()
		a.read()
	}},
	{"death/every-watcher", "every process that watches is told", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		c.read(call(0, 2))
		a.read(free(a.got.Buffer), reply(handle(h)))
		a.read(requestDeath(h, 0xd1))
		c.write(acquire(1), free(c.got.Buffer))
		c.read(enter, requestDeath(1, 0xd2))
		b.kill()
	}},
	{"death/last-close", "a close is a death as well", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", unmapped)
		a.manage()
		a.read(enter)
		b.write(oneway(0, 1, binder(0x10, 0x11)))
		a.read(acquire(1), requestDeath(1, 0xd1), free(a.got.Buffer))
		b.close()
	}},
	{"death/not-of-thread", "the end of a thread is no death", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(requestDeath(h, 0xd1))
		b.threadExit()
	}},
	{"death/watcher-dies", "a watcher that dies first", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestDeath(h, 0xd1))
		a.kill()
		b.kill()
	}},
	{"death/own-object", "an owner cannot watch its own object: it has no handle of it", nil, func(t *T) {
		a := t.proc("a")
		a.manage()
		a.write(requestDeath(0, 0xd1))
		a.nonblock(1)
		a.read()
	}},
	{"death/call-in-flight", "a watcher that waits for the dead one reads the failure first", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestDeath(h, 0xd1))
		a.read(call(h, 1))
		b.kill()
		a.read()
	}},
}
