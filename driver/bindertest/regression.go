// SPDX-License-Identifier: Apache-2.0

package bindertest

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
}
