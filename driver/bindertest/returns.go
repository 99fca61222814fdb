// SPDX-License-Identifier: Apache-2.0

package bindertest

// Section 5: the BR commands, and how they share reads.
var returnScenarios = []Scenario{
	{"return/noop-first", "every read begins with BR_NOOP", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1))
		b.read()
		a.read()
	}},
	{"return/complete-is-deferred", "the completion of a call comes with its reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		b.poll()
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		b.poll()
		b.read()
	}},
	{"return/complete-of-oneway", "the completion of a oneway is there at once", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1))
		b.poll()
		b.read()
	}},
	{"return/complete-of-reply", "so is that of a reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.write(free(a.got.Buffer), reply())
		a.poll()
		a.read()
	}},
	{"return/one-transaction-a-read", "at most one transaction a read; it ends the read", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b.write(call(0, 1))
		c.write(oneway(0, 2))
		a.readN(1024, enter)
		th := a.newThread()
		th.readN(1024)
	}},
	{"return/work-before-transaction", "work of the thread comes before work of the process, in the same read", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		c.write(oneway(0, 9))
		a.write(oneway(h, 1), oneway(h, 2))
		a.read()
		a.read()
	}},
	{"return/many-in-one-read", "small commands fill a read", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1), oneway(0, 2), oneway(0, 3), oneway(0, 4))
		b.read()
	}},
	{"return/stops-when-full", "a read stops when fewer than 76 bytes are left", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1), oneway(0, 2), oneway(0, 3), oneway(0, 4))
		b.readN(84)
		b.readN(80)
		b.readN(88)
	}},
	{"return/room-for-one", "80 bytes are room for a transaction", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		a.readN(80, enter)
	}},
	{"return/no-room", "with less nothing is delivered, but the read returns for it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		a.readN(79, enter)
		a.readN(4)
		a.read()
	}},
	{"return/no-room-waits", "a small read waits as any other does", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.readN(8, enter)
		b.write(call(0, 1))
		a.read()
	}},
	{"return/tiny", "a read of fewer than 4 bytes", nil, func(t *T) {
		a := t.proc("a")
		th := a.fresh(t)
		th.readN(1)
	}},
	{"return/spawn-looper", "BR_SPAWN_LOOPER stands where BR_NOOP was", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.maxThreads(1)
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply())
	}},
	{"return/failed-reply", "BR_FAILED_REPLY needs no completion before it", nil, func(t *T) {
		b := t.proc("b")
		b.read(call(5, 1))
	}},
	{"return/dead-reply", "BR_DEAD_REPLY neither", nil, func(t *T) {
		b := t.proc("b")
		b.read(call(0, 1))
	}},
	{"return/dead-reply-later", "the target dies later: completion, then BR_DEAD_REPLY", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		a.kill()
	}},
	{"return/refs-before-reply", "BR_INCREFS and BR_ACQUIRE of a passed object come with the reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11), binder(0x20, 0x21)))
		a.read(acquire(1), acquire(2), free(a.got.Buffer), reply())
	}},
	{"return/refs-of-unanswered", "they do not come alone", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1, binder(0x10, 0x11)))
		b.poll()
		b.read()
	}},
	{"return/refs-of-oneway", "of an object passed in a oneway they come with its completion", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1, binder(0x10, 0x11)))
	}},
	{"return/dead-binder-ends-read", "BR_DEAD_BINDER ends the read", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11), binder(0x20, 0x21)))
		a.write(requestDeath(1, 0xd1), requestDeath(2, 0xd2))
		b.kill()
		a.read(reply())
		a.read()
		a.read()
	}},
	{"return/other-thread-is-woken", "work left on the process wakes another looper", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		x, y := a.newThread(), a.newThread()
		b.write(call(0, 1))
		c.write(call(0, 2))
		x.read(enter)
		y.read(enter)
		a.read()
	}},
	{"return/efault-loses-delivery", "a transaction that cannot be written to the reader: EFAULT, the caller gets BR_FAILED_REPLY", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		a.writeReadAt(0, 0, 0, 256, 0, Arena+ArenaSize-40)
		a.read(enter)
	}},
	{"return/efault-loses-reply", "a reply that cannot be written to its caller", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		a.read(enter)
		a.read(free(a.got.Buffer), reply("lost"))
		a.signal()
		b.writeReadAt(0, 0, 0, 256, 0, Arena+ArenaSize-40)
		b.nonblock(1)
		b.read()
		b.extendedError()
	}},
	{"return/efault-completion", "a completion that cannot be written is lost", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.nonblock(1)
		b.write(oneway(0, 1))
		b.writeReadAt(0, 0, 0, 256, 0, Arena+ArenaSize-4)
		b.read()
	}},
	{"return/efault-error", "a failure that cannot be written", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.nonblock(1)
		b.write(call(7, 1))
		b.writeReadAt(0, 0, 0, 256, 0, Arena+ArenaSize-4)
		b.read()
		b.extendedError()
		b.read(oneway(0, 2))
	}},
	{"return/efault-references", "reference work that cannot be written", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.nonblock(1)
		b.write(oneway(0, 1, binder(0x10, 0x11)))
		b.writeReadAt(0, 0, 0, 256, 0, Arena+ArenaSize-28)
		b.read()
		b.nodeDebug(0)
	}},
	{"return/efault-death", "a death notice that cannot be written: it is not told again, and may be acknowledged", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.nonblock(1)
		a.write(requestDeath(h, 0xd1))
		b.kill()
		a.writeReadAt(0, 0, 0, 256, 0, Arena+ArenaSize-8)
		a.read()
		a.read(clearDeath(h, 0xd1), deadBinderDone(0xd1))
	}},
	{"return/efault-frozen", "a notice of freezing that cannot be written: it is not told again, and may be acknowledged", []Feature{FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.nonblock(1)
		a.write(requestFreeze(h, 0xf1))
		a.writeReadAt(0, 0, 0, 256, 0, Arena+ArenaSize-8)
		a.read()
		a.read(freezeDone(0xf1))
		a.read(clearFreeze(h, 0xf1))
	}},
}
