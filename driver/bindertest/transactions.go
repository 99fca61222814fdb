// SPDX-License-Identifier: Apache-2.0

package bindertest

// Section 7: whom a call reaches, and each way in which it fails.
var transactionScenarios = []Scenario{
	{"transaction/sync-call", "a call and its reply; the completion comes with the reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 7, "hello"))
		a.read(free(a.got.Buffer), reply("ok"))
		b.write(free(b.got.Buffer))
	}},
	{"transaction/handle0-no-manager", "handle 0 without a context manager: BR_DEAD_REPLY, -EINVAL", nil, func(t *T) {
		b := t.proc("b")
		b.read(call(0, 1))
		b.extendedError()
		b.extendedError()
	}},
}
