// SPDX-License-Identifier: Apache-2.0

package bindertest

import "virtbinder/driver/uapi"

// Section 20: failure reports. The stock driver has them from Linux 6.18 on.
var reportScenarios = []Scenario{
	{"report/no-target", "a call that finds no target is reported without one", []Feature{Reports}, func(t *T) {
		b := t.proc("b")
		b.read(call(0, 1, "data"))
		t.reports()
		b.read(oneway(99, 2))
		t.reports()
	}},
	{"report/target", "a call that fails later names its target", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1, handle(9)))
		t.reports()
		b.read(call(0, 2, size(defaultMap+8)))
		t.reports()
	}},
	{"report/self", "a process that calls itself", []Feature{Reports}, func(t *T) {
		a := t.proc("a")
		a.manage()
		a.read(call(0, 1))
		t.reports()
	}},
	{"report/nested-target", "a nested call that fails names the waiting thread", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read(call(0, 1))
		a.read(call(h, 2, handle(9)))
		t.reports()
	}},
	{"report/reply", "a reply that fails is a reply, from the replier", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(reply(handle(9)))
		t.reports()
	}},
	{"report/reply-to-nobody", "a reply without a call", []Feature{Reports}, func(t *T) {
		t.proc("b").read(reply("x"))
		t.reports()
	}},
	{"report/reply-to-dead", "a reply whose caller has died", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		b.kill()
		a.read(reply())
		t.reports()
	}},
	{"report/frozen", "a call to a frozen process, and a oneway that waits for it", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.read(call(0, 1))
		t.reports()
		b.read(oneway(0, 2))
		t.reports()
	}},
	{"report/unmapped", "a target without a buffer", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a", unmapped), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		t.reports()
	}},
	{"report/spam", "a suspected oneway is reported whether or not its sender wants to know", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a", mapped(64<<10)), t.proc("b")
		a.manage()
		b.write(oneway(0, 1, size(20<<10)))
		b.write(oneway(0, 2, size(8<<10)))
		t.reports()
		b.readN(1024)
	}},
	{"report/spam-frozen", "a suspected oneway to a frozen process is reported as both", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a", mapped(64<<10)), t.proc("b")
		a.manage()
		b.freeze(a, 0)
		b.write(oneway(0, 1, size(20<<10)))
		t.reports()
		b.write(oneway(0, 2, size(8<<10)))
		t.reports()
	}},
	{"report/none", "what succeeds, and what is lost by a death, is not reported", []Feature{Reports}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1))
		b.read(call(0, 2))
		a.kill()
		t.reports()
	}},
	{"report/fields", "flags, code and size are those of the failing command", []Feature{Reports}, func(t *T) {
		b := t.proc("b", context("hwbinder"))
		b.read(call(3, 0x5f504e47, "twelve bytes", flags(uapi.TF_ACCEPT_FDS|uapi.TF_CLEAR_BUF|0x10000000)))
		t.reports()
	}},
	{"report/delivery", "a failure that is found at delivery only is not reported", []Feature{Reports}, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		a.limitFiles()
		b.read(call(0, 1, descriptor(r)))
		t.reports()
	}},
}
