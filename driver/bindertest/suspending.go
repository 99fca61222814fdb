// SPDX-License-Identifier: Apache-2.0

package bindertest

import "slices"

// Processes that control groups freeze while binder has them wait, or while others
// want something of them.
var suspendScenarios = slices.Concat(suspendedBy(CgroupV1, "v1"), suspendedBy(CgroupV2, "v2"))

func suspendedBy(by Freezer, suffix string) []Scenario {
	row := func(name, pins string, run func(*T)) Scenario {
		return Scenario{"suspend/" + name + "-" + suffix, pins + ", by " + string(by), []Feature{Freezers}, run}
	}
	return []Scenario{
		row("looper", "an idle looper is suspended and goes on", func(t *T) {
			a := t.proc("a")
			a.read(enter)
			a.suspend(by)
			a.resume()
			a.signal()
			a.read()
		}),
		row("server", "a call to a process that is suspended waits until it goes on", func(t *T) {
			a, b := t.proc("a"), t.proc("b")
			a.manage()
			a.read(enter)
			a.suspend(by)
			b.read(call(0, 1, "patience"))
			a.resume()
			a.nonblock(1)
			a.read()
			a.read(free(a.got.Buffer), reply("late"))
		}),
		row("oneway", "a oneway to a process that is suspended is there when it goes on", func(t *T) {
			a, b := t.proc("a"), t.proc("b")
			a.manage()
			a.read(enter)
			a.suspend(by)
			b.read(oneway(0, 1))
			a.resume()
			a.nonblock(1)
			a.read()
		}),
		row("caller", "the reply to a caller that is suspended is there when it goes on", func(t *T) {
			a, b := t.proc("a"), t.proc("b")
			a.manage()
			a.read(enter)
			b.read(call(0, 1))
			b.suspend(by)
			a.read(free(a.got.Buffer), reply("kept"))
			b.resume()
			b.nonblock(1)
			b.read()
		}),
		row("poll", "work for a process that is suspended in poll", func(t *T) {
			a, b := t.proc("a"), t.proc("b")
			a.manage()
			a.write(enter)
			a.pollWait()
			a.suspend(by)
			b.read(oneway(0, 1))
			a.resume()
			a.read()
		}),
		row("watcher", "the death notice of a watcher that is suspended", func(t *T) {
			a, b := t.proc("a"), t.proc("b")
			a.manage()
			b.write(acquire(0))
			b.read(enter, requestDeath(0, 0xd))
			b.suspend(by)
			a.kill()
			b.resume()
			b.nonblock(1)
			b.read()
		}),
		row("killed", "a process that is suspended while it serves is killed", func(t *T) {
			a, b := t.proc("a"), t.proc("b")
			a.manage()
			a.read(enter)
			b.read(call(0, 1))
			a.suspend(by)
			a.kill()
			b.extendedError()
		}),
		row("frozen", "suspended while it is frozen: calls are rejected, and served again when both are undone", func(t *T) {
			a, b := t.proc("a"), t.proc("b")
			a.manage()
			a.read(enter)
			b.freeze(a, 0)
			a.suspend(by)
			b.read(call(0, 1))
			b.unfreeze(a)
			b.read(call(0, 2))
			a.resume()
			a.nonblock(1)
			a.read()
		}),
		row("freezing", "who waits in BINDER_FREEZE is suspended, and waits on", func(t *T) {
			a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
			a.manage()
			a.read(enter)
			b.read(call(0, 1))
			c.freeze(a, 60000)
			c.suspend(by)
			a.write(free(a.got.Buffer), reply())
			c.resume()
			b.frozenInfo(a)
		}),
	}
}
