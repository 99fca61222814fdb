// SPDX-License-Identifier: Apache-2.0

package bindertest

import "virtbinder/driver/uapi"

// Section 1: the life of an open file, of its threads, and of its process.
var fileScenarios = []Scenario{
	{"file/two-opens", "each open is a process of its own: handles and nodes are not shared", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		f := b.open("binder")
		b.write(acquire(0))
		b.on(f).write(release(0))
		b.on(f).read(call(0, 1))
		a.read(free(a.got.Buffer), reply())
		a.read()
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(free(a.got.Buffer), reply())
		b.nodeDebug(0)
		b.on(f).nodeDebug(0)
	}},
	{"file/second-open-calls-manager", "a process cannot call the context manager through another open of its own", nil, func(t *T) {
		a := t.proc("a")
		a.manage()
		f := a.open("binder")
		a.on(f).mmap(defaultMap, 1)
		a.on(f).read(call(0, 1))
		a.on(f).extendedError()
	}},
	{"file/second-open-acquires-manager", "another open of the manager's process may hold handle 0", nil, func(t *T) {
		a := t.proc("a")
		a.manage()
		f := a.open("binder")
		a.on(f).write(acquire(0), increfs(0))
		a.nodeInfo(0)
		a.on(f).write(release(0), decrefs(0))
	}},
	{"file/first-read-returns", "the first read of a fresh thread returns at once with BR_NOOP only, the second waits", nil, func(t *T) {
		a := t.proc("a")
		th := a.fresh(t)
		th.read()
		th.read()
	}},
	{"file/first-read-after-write", "a write in the same call does not change the first read", nil, func(t *T) {
		a := t.proc("a")
		th := a.fresh(t)
		th.read(enter)
		th.read()
	}},
	{"file/first-write", "a write alone spends the first return", nil, func(t *T) {
		a := t.proc("a")
		th := a.fresh(t)
		th.write(enter)
		th.read()
	}},
	{"file/first-ioctl", "any other ioctl spends the first return", nil, func(t *T) {
		a := t.proc("a")
		th := a.fresh(t)
		th.maxThreads(0)
		th.read()
	}},
	{"file/first-poll", "a fresh thread polls readable until its first read", nil, func(t *T) {
		a := t.proc("a")
		th := a.fresh(t)
		th.poll()
		th.poll()
		th.read()
		th.poll()
	}},
	{"file/first-call", "the first read of a thread that calls returns at once; its completion comes with the reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		th := b.fresh(t)
		th.read(call(0, 1))
		th.read()
		a.read(free(a.got.Buffer), reply())
	}},
	{"file/flush-wakes", "a close of any descriptor of the file lets parked reads return with BR_NOOP", nil, func(t *T) {
		a := t.proc("a")
		f := a.dup()
		b, c := a.newThread(), a.newThread()
		b.read(enter)
		c.read()
		a.on(f).close()
		b.read()
	}},
	{"file/flush-marks", "a close lets the next read of every thread of the process return at once", nil, func(t *T) {
		a := t.proc("a")
		th := a.newThread()
		f := a.dup()
		a.on(f).close()
		th.read()
		a.read()
		th.read()
	}},
	{"file/flush-keeps-work", "a close does not lose work: the read returns with it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		f := a.dup()
		b.read(oneway(0, 1))
		a.on(f).close()
		a.read()
		a.read()
	}},
	{"file/flush-while-calling", "a close wakes a thread that waits for a reply; it reads again and gets it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b2 := b.newThread()
		f := b2.dup()
		b.read(call(0, 1))
		b2.on(f).close()
		a.read(free(a.got.Buffer), reply())
		b.read()
	}},
	{"file/mapping-keeps-open", "the mapping holds the file: its release is the munmap after the close", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.close()
		b.write(acquire(0))
		b.manage()
		a.munmap(MapAddr, defaultMap)
		b.manage()
	}},
	{"file/last-close", "the last close releases the process: the context manager's slot is free", nil, func(t *T) {
		a, b := t.proc("a", unmapped), t.proc("b")
		a.manage()
		f := a.dup()
		a.close()
		b.manage()
		a.on(f).close()
		b.manage()
	}},
	{"file/close-while-parked", "the last close with a read parked: it returns with BR_NOOP, then the file is released", nil, func(t *T) {
		a, b := t.proc("a", unmapped), t.proc("b")
		a.manage()
		th := a.newThread()
		th.read(enter)
		a.close()
		b.manage()
	}},
	{"file/exit-with-call-queued", "the target dies before it reads the call: BR_DEAD_REPLY", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		a.kill()
		b.extendedError()
	}},
	{"file/exit-while-serving", "the target dies while it serves the call: BR_DEAD_REPLY", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.kill()
		b.extendedError()
	}},
	{"file/exit-while-caller-is-away", "a caller that was interrupted finds BR_DEAD_REPLY when it reads again", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		b.signal()
		a.kill()
		b.read()
	}},
	{"file/exit-while-waiting-for-pool", "a parked looper is killed: nothing is left of it and the slot is free", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		a.kill()
		b.read(call(0, 1))
		b.manage()
	}},
	{"file/caller-exits-before-read", "the caller dies before its call is read: it is delivered, from nobody", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1, "late"))
		b.kill()
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		a.extendedError()
	}},
	{"file/caller-exits-while-served", "the caller dies while it is served: the reply is accepted and lost", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		b.kill()
		a.read(free(a.got.Buffer), reply("late"))
		a.extendedError()
	}},
	{"file/caller-exits-with-reply-queued", "the caller dies with its reply queued: its buffer goes with it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		b.signal()
		a.read(free(a.got.Buffer), reply("unread", binder(0x20, 0x21)))
		b.kill()
		a.read()
	}},
	{"file/exit-with-oneways-queued", "oneways that a dying target has not read vanish silently", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1), oneway(0, 2))
		a.kill()
		b.read(oneway(0, 3))
	}},
	{"file/exit-with-buffers", "a process dies with delivered buffers: the objects in them are given up", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.kill()
		b.read(increfsDone(0x10, 0x11), acquireDone(0x10, 0x11))
	}},
	{"file/exit-in-a-chain", "the middle of a chain of calls dies: its caller gets BR_DEAD_REPLY, its callee replies into nothing", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read()
		c.read(call(0, 2))
		a.read(call(h, 3))
		a.kill()
		b.read(free(b.got.Buffer), reply())
	}},
	{"file/exec", "an open file outlives exec: the process may call, its objects and the manager's slot are still its", []Feature{Exec}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.newThread().read(enter)
		a.exec()
		b.read(call(0, 1))
		b.extendedError()
		a.manage()
		a.write(oneway(0, 1))
		a.extendedError()
		a.nodeDebug(0)
		a.kill()
		b.read(call(0, 2))
		b.extendedError()
	}},
	{"file/exec-by-another-thread", "exec by another thread than the first: the process keeps its pid, and the uid that the first one had", []Feature{Exec}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b2 := b.newThread()
		b.setEUID(1000)
		b.read(enter)
		b2.exec()
		b.setEUID(0)
		b.setEUID(2000)
		b.write(oneway(0, 1))
		a.read()
		a.read(free(a.got.Buffer))
		b.write(call(0, 2))
	}},
	{"file/thread-exit-in-a-chain", "BINDER_THREAD_EXIT in the middle of a chain: its caller hears of it with its callee's reply", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read()
		c.read(call(0, 2))
		a.write(call(h, 3))
		a.threadExit()
		b.read(free(b.got.Buffer), reply())
	}},
	{"file/thread-exit-beneath", "the first caller of a chain may be called back when the thread between has exited", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read()
		c.read(call(0, 2, binder(0x20, 0x21)))
		a.write(call(h, 3, handle(2)))
		a.threadExit()
		b.read(call(1, 4))
		c.read(reply("for b"))
		b.read(free(b.got.Buffer), reply("for a"))
	}},
	{"file/thread-exit-serving", "BINDER_THREAD_EXIT of a thread that serves a call: BR_DEAD_REPLY", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.threadExit()
		b.extendedError()
	}},
	{"file/thread-exit-calling", "BINDER_THREAD_EXIT of a thread that waits for a reply: the reply is lost", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		b.signal()
		b.threadExit()
		a.read(free(a.got.Buffer), reply())
		b.read()
		b.read()
	}},
	{"file/thread-exit-fresh", "after BINDER_THREAD_EXIT the thread is fresh: its first read returns at once", nil, func(t *T) {
		a := t.proc("a")
		a.read(enter, register)
		a.signal()
		a.threadExit()
		a.read()
		a.read()
	}},
	{"file/thread-exit-keeps-pool-counts", "a registered looper that exits still counts as started", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.maxThreads(1)
		b.read(oneway(0, 1))
		a.read(enter)
		th := a.newThread()
		th.write(register)
		th.threadExit()
		b.read(oneway(0, 2))
		a.read(free(a.got.Buffer))
	}},
	{"file/thread-exit-node-work", "reference work that a thread has not read when it exits", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.write(call(0, 1, binder(0x10, 0x11)))
		a.write(acquire(a.got.handle(0)), free(a.got.Buffer))
		b.threadExit()
		b.read()
		b.nodeDebug(0)
		a.write(release(1))
		b.nodeDebug(0)
		b.read()
	}},
	{"file/thread-exit-completion", "a completion that a thread has not read when it exits is dropped", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1))
		b.threadExit()
		b.read()
		b.read()
	}},
	{"file/thread-exit-error", "a return error that a thread has not read when it exits is dropped", nil, func(t *T) {
		b := t.proc("b")
		b.write(call(0, 1))
		b.threadExit()
		b.read()
		b.extendedError()
	}},
	{"file/thread-exit-with-reply", "BINDER_THREAD_EXIT with a reply queued on the thread", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		b.signal()
		a.read(free(a.got.Buffer), reply("unread"))
		b.threadExit()
		b.read()
		b.read(call(0, 2))
	}},
	{"file/task-exit", "a thread that ends without BINDER_THREAD_EXIT leaves its call to be answered", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		th := b.newThread()
		th.write(call(0, 1))
		th.exit()
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		b.poll()
	}},
	{"file/other-process-mmap", "mmap of an inherited descriptor: EINVAL", nil, func(t *T) {
		a, b := t.proc("a", unmapped), t.proc("b", bare)
		f := a.give(b)
		b.on(f).mmap(defaultMap, 1)
		a.mmap(defaultMap, 1)
	}},
	{"file/other-process-ioctl", "another process on an inherited descriptor", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", bare)
		f := a.give(b)
		b.on(f).ioctl(uapi.BINDER_VERSION, make([]byte, 4))
		b.on(f).maxThreads(3)
		b.on(f).poll()
		b.on(f).read(enter)
	}},
	{"file/other-process-any", "ioctls that are not about the caller's thread work for another process too", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", bare)
		f := a.give(b)
		b.on(f).nodeDebug(0)
		b.on(f).nodeInfo(1)
		b.on(f).frozenInfo(a)
	}},
	{"file/other-process-keeps-open", "a copy of the descriptor in another process keeps the file open", nil, func(t *T) {
		a, b, c := t.proc("a", unmapped), t.proc("b", bare), t.proc("c")
		f := a.give(b)
		a.manage()
		a.kill()
		c.manage()
		b.on(f).close()
		c.manage()
	}},
	{"file/nonblock", "O_NONBLOCK: a read without work gives EAGAIN, one with work gets it", nil, func(t *T) {
		a, b := t.proc("a", nonblock), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(oneway(0, 1))
		a.read()
		a.read(free(a.got.Buffer))
	}},
	{"file/nonblock-later", "O_NONBLOCK set and cleared on an open file", nil, func(t *T) {
		a := t.proc("a")
		a.nonblock(1)
		a.read()
		a.nonblock(0)
		a.read()
	}},
	{"file/nonblock-call", "O_NONBLOCK: a call whose reply is not there yet gives EAGAIN, the reply comes later", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", nonblock)
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply("later"))
		b.read()
	}},
	{"file/nonblock-fresh", "O_NONBLOCK: the first read of a fresh thread gives BR_NOOP, not EAGAIN", nil, func(t *T) {
		a := t.proc("a", nonblock)
		th := a.fresh(t)
		th.read()
		th.read()
	}},
	{"file/signal", "a signal interrupts a read: EINTR, and what was written stays written", []Feature{Signals}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		b.signal()
		a.read(enter)
		a.read(free(a.got.Buffer), reply("after all"))
		b.read()
	}},
	{"file/signal-looper", "a signal interrupts an idle looper", []Feature{Signals}, func(t *T) {
		a := t.proc("a")
		a.read(enter)
		a.signal()
		a.read()
	}},
}

// held has b hand an object to a, the context manager, whose leader is parked as a
// looper before and after. a keeps a strong reference, and the handle is returned.
func (t *T) held(a, b *proc, o object) uint32 {
	b.read(call(0, 1, o))
	h := a.got.handle(0)
	a.read(acquire(h), free(a.got.Buffer), reply())
	a.read()
	b.write(increfsDone(o.raw.Binder(), o.raw.Cookie()), acquireDone(o.raw.Binder(), o.raw.Cookie()), free(b.got.Buffer))
	return h
}
