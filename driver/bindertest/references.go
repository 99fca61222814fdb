// SPDX-License-Identifier: Apache-2.0

package bindertest

// Section 9: references, and what an owner is told of its objects.
var referenceScenarios = []Scenario{
	{"reference/first-pass", "the owner is told of the first reference: BR_INCREFS, then BR_ACQUIRE", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(free(a.got.Buffer), reply())
	}},
	{"reference/weak-pass", "a weak object: BR_INCREFS alone", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.read(increfs(1), free(a.got.Buffer), reply())
		a.write(decrefs(1))
		b.read(increfsDone(0x10, 0x11))
	}},
	{"reference/last-gone", "with the last reference gone: BR_RELEASE, then BR_DECREFS", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read(enter)
		a.signal()
		a.write(release(h))
		b.nodeDebug(0)
	}},
	{"reference/not-before-ack", "BR_RELEASE and BR_DECREFS are held back until the acknowledgements came", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(free(a.got.Buffer), reply())
		b.nonblock(1)
		b.read()
		b.read(increfsDone(0x10, 0x11))
		b.read(acquireDone(0x10, 0x11))
		b.nodeDebug(0)
	}},
	{"reference/ack-order", "the acknowledgements may come in the other order", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(free(a.got.Buffer), reply())
		b.nonblock(1)
		b.read(acquireDone(0x10, 0x11))
		b.read(increfsDone(0x10, 0x11))
	}},
	{"reference/ack-unasked", "an acknowledgement that nothing asked for is ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.write(increfsDone(0x10, 0x11), acquireDone(0x10, 0x11))
		b.nodeDebug(0)
		a.signal()
		a.write(release(h))
		b.nonblock(1)
		b.read()
	}},
	{"reference/ack-unknown", "so is one for an object that is not known", nil, func(t *T) {
		b := t.proc("b")
		b.write(increfsDone(0x99, 0x98), acquireDone(0x99, 0x98))
	}},
	{"reference/ack-wrong-cookie", "so is one with another cookie", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(free(a.got.Buffer), reply())
		b.nonblock(1)
		b.read(increfsDone(0x10, 0x99), acquireDone(0x10, 0x99))
		b.nodeDebug(0)
	}},
	{"reference/second-holder", "a second holder changes nothing for the owner", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		c.read(call(0, 2))
		a.read(free(a.got.Buffer), reply(handle(h)))
		c.write(acquire(1), free(c.got.Buffer))
		b.nonblock(1)
		b.read()
		a.write(release(h))
		b.read()
		c.write(release(1))
		b.read()
	}},
	{"reference/again-after-release", "an object that was released wholly is told of anew", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(release(h))
		b.nonblock(1)
		b.read()
		b.nonblock(0)
		a.read()
		b.read(call(0, 1, binder(0x10, 0x12)))
		a.read(free(a.got.Buffer), reply())
	}},
	{"reference/strong-over-weak", "a weak holder that gets a strong reference: BR_ACQUIRE", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.read(increfs(1), free(a.got.Buffer), reply())
		b.write(increfsDone(0x10, 0x11), free(b.got.Buffer))
		a.read()
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(free(a.got.Buffer), reply())
	}},
	{"reference/weak-acquire", "BC_ACQUIRE on a handle that is held weakly is refused", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.read(increfs(1), acquire(1), free(a.got.Buffer), reply())
		a.write(oneway(1, 2))
		a.read()
	}},
	{"reference/weak-call", "a handle that is held weakly cannot be called", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.write(increfs(1), free(a.got.Buffer), reply())
		a.read()
		a.read(call(1, 2))
		a.extendedError()
	}},
	{"reference/release-unheld", "BC_RELEASE without a strong count is ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.write(increfs(1), free(a.got.Buffer), release(1), reply())
		a.nodeInfo(1)
		b.nodeDebug(0)
	}},
	{"reference/decrefs-unheld", "BC_DECREFS without a weak count is ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(decrefs(h))
		a.nodeInfo(h)
	}},
	{"reference/unknown-handle", "reference commands with an unknown handle are ignored", nil, func(t *T) {
		a := t.proc("a")
		a.write(increfs(7), acquire(7), release(7), decrefs(7))
	}},
	{"reference/counts", "each handle counts by itself; the owner hears of the first and last only", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		b.nonblock(1)
		a.write(acquire(h), acquire(h), increfs(h))
		a.write(release(h), release(h))
		b.read()
		a.write(release(h))
		b.read()
		a.write(decrefs(h))
		b.read()
	}},
	{"reference/weak-keeps-handle", "a weak count keeps the handle's number", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(increfs(h), release(h))
		a.read()
		b.read(call(0, 1, binder(0x20, 0x21)))
	}},
	{"reference/lowest-handle", "a new handle is the lowest free number", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11), binder(0x20, 0x21), binder(0x30, 0x31)))
		a.read(acquire(1), acquire(2), acquire(3), free(a.got.Buffer), reply())
		a.read(release(2))
		b.write(free(b.got.Buffer))
		b.read(call(0, 1, binder(0x40, 0x41), binder(0x50, 0x51)))
	}},
	{"reference/handle-of-its-own", "the same object has another handle in each process", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		t.held(a, b, binder(0x10, 0x11))
		h := t.held(a, b, binder(0x20, 0x21))
		c.read(call(0, 2))
		a.read(free(a.got.Buffer), reply(handle(h)))
		c.write(acquire(1))
	}},
	{"reference/manager-zero", "handle 0 may be acquired without having been received", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(acquire(0), increfs(0), release(0), decrefs(0))
		a.nodeDebug(0)
	}},
	{"reference/manager-itself", "the manager cannot hold handle 0: EINVAL, and what it does not hold is ignored", nil, func(t *T) {
		a := t.proc("a")
		a.manage()
		a.nonblock(1)
		a.write(increfs(0))
		a.write(acquire(0))
		a.read(release(0), decrefs(0), requestDeath(0, 0xd), clearDeath(0, 0xd))
		a.nodeInfo(0)
	}},
	{"reference/manager-zero-none", "not while there is no context manager", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		b.write(acquire(0))
		a.manage()
		b.read(call(0, 1))
	}},
	{"reference/manager-hears-nothing", "the context manager is not told of references to handle 0", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(acquire(0))
		a.nonblock(1)
		a.read(enter)
		b.write(release(0))
		a.read()
	}},
	{"reference/manager-zero-outlives", "a handle 0 that is held goes on naming the dead manager", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(acquire(0), requestDeath(0, 0xd))
		a.kill()
		b.read()
		c := t.proc("c")
		c.manage()
		b.read(call(0, 1))
	}},
	{"reference/buffer-holds", "a buffer holds what it named until it is freed", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.nodeInfo(1)
		a.write(acquire(1), free(a.got.Buffer))
		a.nodeInfo(1)
	}},
	{"reference/buffer-holds-target", "and the object that was called", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		b.nonblock(1)
		a.write(oneway(h, 1), release(h))
		b.read(enter)
		b.read()
		b.read(free(b.got.Buffer))
	}},
	{"reference/owner-gets-its-own", "an owner that is sent its object back gets ptr and cookie", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11, 0x107))
		b.read(call(0, 2))
		a.read(free(a.got.Buffer), reply(handle(h)))
		b.write(free(b.got.Buffer))
		b.nodeDebug(0)
	}},
	{"reference/owner-holder-dies", "a holder that dies drops its references", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		t.held(a, b, binder(0x10, 0x11))
		b.read(enter)
		a.kill()
	}},
	{"reference/dead-owner", "reference commands on a dead object work as ever", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		b.kill()
		a.write(acquire(h), increfs(h), release(h), release(h), decrefs(h), decrefs(h))
		a.read(call(h, 1))
	}},
	{"reference/free-goes-on", "dropping the last count in one command, using it in the next", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.read(release(h), call(h, 1))
	}},
}
