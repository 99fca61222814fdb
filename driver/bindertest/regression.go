// SPDX-License-Identifier: Apache-2.0

package bindertest

import "strings"

// What random programs have found: each is the smallest part of one in which the
// drivers differed.
var regressionScenarios = []Scenario{
	{"regression/thread-exit-undelivered-reply", "a reply that was not read when its thread ends: what becomes of its buffer", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1))
		a.read()
		a.write(free(a.got.Buffer), reply("never read"))
		b.threadExit()
		a.read()
		b2 := b.newThread()
		b2.write(call(0, 2))
		a.read()
		a.write(free(a.got.Buffer), reply("read"))
		b2.read()
	}},
	{"regression/flush-wakes-in-turn", "threads that a flush wakes count as waiting until they run: only the last is asked for another", nil, func(t *T) {
		a := t.proc("a")
		a.maxThreads(1)
		a2, a3 := a.newThread(), a.newThread()
		a2.read(enter)
		a3.read(enter)
		a.on(a.dup()).close()
	}},
	{"regression/spam-reused-buffer", "whether the oneway that is being made counts for the suspicion of spam", nil, func(t *T) {
		a, b := t.proc("a", mapped(8<<10)), t.proc("b")
		a.manage()
		b.detectSpam(1)
		b.read(oneway(0, 1))
		a.read()
		a.write(free(a.got.Buffer))
		b.read(oneway(0, 1, strings.Repeat("x", 3500)))
		b.read(oneway(0, 1))
	}},
	{"regression/write-wakes-one", "a write that finds work for its own process wakes one thread for it, and others go on waiting", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1, binder(0x1000, 0x1008)))
		a.read()
		a.write(acquire(1), free(a.got.Buffer))
		b.kill()
		a.maxThreads(1)
		a2, a3 := a.newThread(), a.newThread()
		a2.read(enter)
		a3.read(enter)
		a.write(requestDeath(1, 0xd1))
	}},
	{"regression/freeze-looks-at-objects", "freezing looks at each object once: one that waits for an acknowledgement only is work again", []Feature{Signals, FreezeNotice}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		b.manage()
		a.read(oneway(0, 1, binder(0x1000, 0x1008)))
		a.write(increfsDone(0x1000, 0x1008))
		b.read()
		b.write(free(b.got.Buffer))
		a2, a3 := a.newThread(), a.newThread()
		a2.read(enter)
		a2.signal()
		a3.poll()
		b.freeze(a, 0)
		a3.poll()
		a.write(acquireDone(0x1000, 0x1008))
		a2.read()
		a2.read()
	}},
	{"regression/death-waits-for-pollers", "a process ends thread by thread, and at one that has polled it waits: whoever was answered by then reads first", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a2 := a.newThread()
		a2.poll()
		b.read(call(0, 1, binder(0x2000, 0x2008)))
		a.read()
		a.kill()
	}},
}
