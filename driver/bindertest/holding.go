// SPDX-License-Identifier: Apache-2.0

package bindertest

import "virtbinder/driver/uapi"

// Memory that is read long after its reading began: what happens to a transaction
// meanwhile, and whom it holds up.
var heldScenarios = []Scenario{
	{"held/others-go-on", "while a call's data is awaited, everybody else goes on: its target, and other threads of its process", []Feature{Held}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b2 := b.newThread()
		b.hold(own, 4096)
		b.write(call(0, 1, size(100)))
		c.read(call(0, 2))
		a.read(free(a.got.Buffer), reply())
		a.read()
		b2.maxThreads(3)
		b2.poll()
		b2.letGo()
	}},
	{"held/large", "so they do while pages of much data are awaited", []Feature{Held}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c", context("hwbinder"))
		a.manage()
		a.read(enter)
		c.manage()
		b2 := b.newThread()
		f := b2.open("hwbinder")
		b.hold(own+4096, 4096)
		b.write(call(0, 1, size(32<<10)))
		b2.maxThreads(3)
		b2.on(f).read()
		b2.munmap(MapAddr, defaultMap)
		b2.letGo()
	}},
	{"held/queued-when-read", "a transaction has its place in the queue when it has been read", []Feature{Held}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b2 := b.newThread()
		b.hold(own, 4096)
		b.write(oneway(0, 1, size(100)))
		c.write(oneway(0, 2))
		b2.letGo()
		a.read()
		a.read(free(a.got.Buffer))
	}},
	{"held/object", "an object's bytes are awaited", []Feature{Held}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b2 := b.newThread()
		b.hold(own, 4096)
		b.write(call(0, 1, size(24), offsets{0}, with(func(tr *uapi.TransactionData) { tr.Buffer = own })))
		b2.letGo()
		b.extendedError()
	}},
	{"held/stream", "the commands themselves are awaited", []Feature{Held}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b2 := b.newThread()
		b.hold(own, 4096)
		b.writeReadAt(16, 0, own, 0, 0, 0)
		b2.maxThreads(3)
		b2.letGo()
	}},
	{"held/target-dies", "the target dies while the data is awaited: BR_DEAD_REPLY", []Feature{Held, DyingTarget}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b2 := b.newThread()
		b.hold(own, 4096)
		b.read(call(0, 1, size(100)))
		a.kill()
		b2.letGo()
		b.extendedError()
	}},
	{"held/target-dies-oneway", "so it is for a oneway", []Feature{Held, DyingTarget}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b2 := b.newThread()
		b.hold(own, 4096)
		b.read(oneway(0, 1, size(100)))
		a.kill()
		b2.letGo()
		b.extendedError()
	}},
	{"held/target-thread-exits", "the thread that a call back is for exits while the data is awaited", []Feature{Held}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a2 := a.newThread()
		b2 := b.newThread()
		b.read(call(0, 2))
		a.hold(own, 4096)
		a.write(call(h, 3, size(100)))
		b.signal()
		b.threadExit()
		a2.letGo()
		a.extendedError()
		b2.nonblock(1)
		b2.read(enter)
	}},
	{"held/target-frozen", "the target is frozen while the data is awaited: BR_FROZEN_REPLY", []Feature{Held}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b2 := b.newThread()
		b.hold(own, 4096)
		b.read(call(0, 1, size(100)))
		c.freeze(a, 0)
		b2.letGo()
		b.extendedError()
	}},
	{"held/target-unmaps", "the target unmaps its buffer while the data is awaited", []Feature{Held}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b2 := b.newThread()
		b.hold(own, 4096)
		b.read(call(0, 1, size(100)))
		a2 := a.newThread()
		a2.munmap(MapAddr, defaultMap)
		b2.letGo()
	}},
	{"held/caller-dies", "the caller dies while its data is awaited: nothing is delivered, nothing kept", []Feature{Held}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.hold(own, 4096)
		b.write(call(0, 1, size(100)))
		b.kill()
		c.read(call(0, 2))
	}},
	{"held/caller-of-reply-dies", "the caller dies while the reply's data is awaited: the reply is accepted and lost", []Feature{Held}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a2 := a.newThread()
		a.hold(own, 4096)
		a.read(reply(size(100)))
		b.kill()
		a2.letGo()
		a.extendedError()
	}},
	{"held/read", "who awaits the memory that it reads into takes no work; others of its process do", []Feature{Held}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a2 := a.newThread()
		a.hold(own, 4096)
		a.writeReadAt(0, 0, 0, 256, 0, own)
		b.write(oneway(0, 1))
		a2.read(enter)
		a2.letGo()
	}},
	{"held/delivery", "the memory behind the first word of a read is awaited when a call comes", []Feature{Held}, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a2 := a.newThread()
		a.hold(own, 4096)
		a.writeReadAt(0, 0, 0, 256, 0, own-4)
		b.read(call(0, 1))
		c.write(oneway(0, 2))
		a2.read(enter)
		a2.letGo()
		a.peek(own-4, 8)
		b.kill()
	}},
}
