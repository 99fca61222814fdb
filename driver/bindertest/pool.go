// SPDX-License-Identifier: Apache-2.0

package bindertest

// Section 8: the two levels of work, the thread pool, and poll.
var poolScenarios = []Scenario{
	{"pool/last-parked-first", "of several parked loopers the one that parked last is taken", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		th := a.newThread()
		th.read(enter)
		b.write(oneway(0, 1))
		b.write(call(0, 2))
	}},
	{"pool/parked-again-is-last", "a looper that served and parked again is the next", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		th := a.newThread()
		th.read(enter)
		b.read(call(0, 1))
		th.read(free(th.got.Buffer), reply())
		th.read()
		b.write(call(0, 2))
	}},
	{"pool/work-waits-for-a-thread", "work that finds no parked thread waits for the next that reads", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b.write(call(0, 1))
		c.write(call(0, 2))
		a.read(enter)
		th := a.newThread()
		th.read(enter)
	}},
	{"pool/busy-thread-leaves-process-work", "a thread that serves a call gets no other call of the process", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.write(call(0, 1))
		c.write(call(0, 2))
		a.nonblock(1)
		a.read()
		a.read(free(a.got.Buffer), reply())
		a.read()
	}},
	{"pool/non-looper-reads", "a thread that never entered the pool may read work of the process", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		a.read()
		a.read(free(a.got.Buffer), reply())
	}},
	{"pool/non-looper-parks", "and may wait for it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read()
		b.write(call(0, 1))
	}},
	{"pool/nested-to-waiting-thread", "a call back into a waiting caller goes to its waiting thread, not to the pool", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		th := b.newThread()
		th.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(acquire(1), call(1, 2))
		b.read(free(b.got.Buffer), reply())
	}},
	{"pool/oneway-not-to-waiting-thread", "a oneway back goes to the pool", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		th := b.newThread()
		th.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(acquire(1), oneway(1, 2))
	}},
	{"pool/unrelated-call-not-to-waiting-thread", "a call of somebody else into a waiting caller goes to the pool", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		th := b.newThread()
		th.read(enter)
		b.write(call(0, 1))
		other := a.newThread()
		other.read(call(h, 5))
	}},
	{"pool/spawn-none-asked", "without BINDER_SET_MAX_THREADS nobody is asked to spawn", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.write(call(0, 1))
	}},
	{"pool/spawn-when-none-left", "the last parked looper that takes work is asked to spawn", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.maxThreads(4)
		a.read(enter)
		th := a.newThread()
		th.read(enter)
		b.write(call(0, 1))
		c.write(call(0, 2))
	}},
	{"pool/spawn-one-at-a-time", "no second request before the first thread has registered", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.maxThreads(4)
		a.read(enter)
		b.write(call(0, 1))
		th := a.newThread()
		c.write(call(0, 2))
		th.read(enter)
	}},
	{"pool/spawn-after-register", "a thread that registered may be the next to be asked", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.maxThreads(4)
		a.read(enter)
		b.write(call(0, 1))
		th := a.newThread()
		th.read(register)
		c.write(call(0, 2))
	}},
	{"pool/spawn-up-to-max", "no more requests than BINDER_SET_MAX_THREADS allows", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.maxThreads(1)
		a.read(enter)
		b.write(call(0, 1))
		th := a.newThread()
		th.read(register)
		c.write(call(0, 2))
	}},
	{"pool/spawn-max-raised", "a larger maximum counts from the next read on", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.maxThreads(1)
		a.read(enter)
		b.write(call(0, 1))
		th := a.newThread()
		th.read(register)
		a.maxThreads(2)
		c.write(call(0, 2))
	}},
	{"pool/spawn-not-asked-of-strangers", "a thread outside the pool is not asked", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.maxThreads(4)
		b.write(call(0, 1))
		a.read()
	}},
	{"pool/spawn-without-work", "a looper whose read ends with work of its own may be asked too", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.maxThreads(4)
		b.manage()
		a.read(enter, oneway(0, 1))
		b.read(enter)
	}},
	{"pool/spawn-continued-read", "a read that begins further on has no place for BR_SPAWN_LOOPER", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.maxThreads(4)
		a.write(enter)
		b.write(call(0, 1))
		a.writeReadAt(0, 0, 0, readSize, 4, own)
		a.peek(own, 8)
	}},
	{"pool/register-unasked", "a thread that registers unasked serves all the same", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(register)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply())
	}},
	{"pool/register-unasked-is-not-counted", "and leaves the maximum as it was", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.maxThreads(1)
		a.write(register)
		th := a.newThread()
		th.read(enter)
		b.write(call(0, 1))
		late := a.newThread()
		late.read(register)
		c.write(call(0, 2))
	}},
	{"pool/enter-after-register", "BC_ENTER_LOOPER after BC_REGISTER_LOOPER: still served", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.maxThreads(2)
		a.read(enter)
		b.write(call(0, 1))
		th := a.newThread()
		th.write(register)
		th.read(enter)
		c.write(call(0, 2))
	}},
	{"pool/poll-work", "poll: POLLIN while the process has work that this thread may take", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.write(enter)
		a.poll()
		b.write(call(0, 1))
		a.poll()
		a.read()
		a.poll()
		a.read(free(a.got.Buffer), reply())
		a.poll()
	}},
	{"pool/poll-busy", "poll: a thread that serves a call does not see work of the process", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.write(call(0, 1))
		c.write(call(0, 2))
		a.poll()
		a.write(free(a.got.Buffer), reply())
		a.poll()
	}},
	{"pool/poll-non-looper", "poll of a thread outside the pool", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		a.poll()
	}},
	{"pool/poll-own-completion", "poll: a thread's own completions make it readable", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1))
		b.poll()
		b.read()
		b.poll()
	}},
	{"pool/poll-failure", "poll: so does a failed call", nil, func(t *T) {
		b := t.proc("b")
		b.write(call(0, 1))
		b.poll()
		b.read()
		b.poll()
	}},
	{"pool/poll-wakes", "a waiting poll ends when work comes", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.write(enter)
		a.pollWait()
		b.write(oneway(0, 1))
		a.read()
	}},
	{"pool/poll-wakes-several", "work of the process wakes every thread that polls", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.write(enter)
		th := a.newThread()
		th.write(enter)
		a.pollWait()
		th.pollWait()
		b.write(call(0, 1))
	}},
	{"pool/poll-wakes-for-reply", "a reply ends the poll of the thread that called", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.write(call(0, 1))
		b.pollWait()
		a.read(free(a.got.Buffer), reply())
		b.read()
	}},
	{"pool/poll-wakes-for-death", "a death notice ends the poll of a looper", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.write(requestDeath(h, 0xd))
		a.pollWait()
		b.kill()
		a.read()
	}},
	{"pool/poll-wakes-for-flush", "a close of a copy of the descriptor ends a poll", nil, func(t *T) {
		a := t.proc("a")
		a.write(enter)
		f := a.dup()
		th := a.newThread()
		a.pollWait()
		th.on(f).close()
	}},
	{"pool/epoll", "an epoll set reports the device as poll does", []Feature{Files}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.write(enter)
		e := a.on(a.epoll())
		e.poll()
		b.write(oneway(0, 1))
		e.poll()
		a.read()
		a.write(free(a.got.Buffer))
		e.poll()
	}},
	{"pool/epoll-wakes", "a wait on an epoll set ends when work comes", []Feature{Files}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.write(enter)
		e := a.on(a.epoll())
		e.pollWait()
		b.write(oneway(0, 1))
	}},
	{"pool/epoll-after-thread-exit", "an epoll set outlives the record of the thread that made it", []Feature{Files}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.write(enter)
		e := a.on(a.epoll())
		a.threadExit()
		b.write(oneway(0, 1))
		e.poll()
		a.read()
	}},
	{"pool/poller-and-reader", "work goes to a parked reader before it wakes one that polls", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.write(enter)
		th := a.newThread()
		th.write(enter)
		a.pollWait()
		th.read()
		b.write(call(0, 1))
	}},
	{"pool/remaining-work-wakes-another", "work left behind by a reader goes to the next parked one", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.write(call(0, 1))
		c.write(call(0, 2))
		th := a.newThread()
		th.read(enter)
		a.read(free(a.got.Buffer), reply())
	}},
}
