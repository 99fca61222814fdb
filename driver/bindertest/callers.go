// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Sections 13 to 16: flags, who the caller is, its priority, and its extended error.
var callerScenarios = []Scenario{
	{"caller/flags-pass", "flags and code reach the receiver as they were sent", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 0xfffffffe, flags(uapi.TF_ROOT_OBJECT|uapi.TF_STATUS_CODE|uapi.TF_ACCEPT_FDS|0x10000000)))
		a.read(free(a.got.Buffer), reply(flags(uapi.TF_STATUS_CODE|0x20000000), with(func(tr *uapi.TransactionData) { tr.Code = 9 })))
	}},
	{"caller/cookie-of-call", "a reply's target and cookie are 0, whatever the replier wrote", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, with(func(tr *uapi.TransactionData) { tr.Cookie = 0x77 })))
		a.read(free(a.got.Buffer), reply(with(func(tr *uapi.TransactionData) { tr.Target, tr.Cookie = 5, 0x88 })))
	}},
	{"caller/target-is-the-objects", "the receiver is told ptr and cookie of the object that was called", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		b.read(enter)
		a.read(call(h, 1))
	}},
	{"caller/high-half-of-handle", "only the low half of the target is the handle", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, with(func(tr *uapi.TransactionData) { tr.Target = 5 << 32 })))
	}},
	{"caller/sender-fields-ignored", "sender_pid and sender_euid of the sender's struct are not believed", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", uid(1000))
		a.manage()
		a.read(enter)
		b.read(call(0, 1, with(func(tr *uapi.TransactionData) { tr.SenderPID, tr.SenderEUID = 1, 0 })))
	}},
	{"caller/pid-and-uid", "the receiver of a call is told the sender's pid and effective uid", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", uid(1000))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply())
	}},
	{"caller/uid-now", "the uid at the call counts", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.setEUID(2000)
		b.read(call(0, 1))
	}},
	{"caller/uid-not-of-delivery", "nor does the uid at the delivery", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.setEUID(3000)
		b.read(oneway(0, 1))
		b.setEUID(0)
		a.read(enter)
	}},
	{"caller/uid-of-manager", "whoever becomes context manager must have the first one's uid, at that moment", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.kill()
		b.setEUID(1000)
		b.manage()
		b.setEUID(0)
		b.manage()
	}},
	{"caller/pid-of-the-dead", "a call whose caller has died tells no pid", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", uid(2000))
		a.manage()
		b.read(call(0, 1))
		b.kill()
		a.read(enter)
	}},
	{"caller/reply-uid", "a reply tells the replier's uid", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage() // as root: the uid of the first one is pinned
		a.setEUID(1234)
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply())
	}},
	{"caller/pid-of-thread-group", "sender_pid is the process's, not the thread's", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		th := b.newThread()
		th.read(call(0, 1))
	}},
	{"caller/pid-in-own-namespace", "a receiver in its own pid namespace does not see outsiders: 0", []Feature{Namespaces}, func(t *T) {
		a, b := t.proc("a", pidNS), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
	}},
	{"caller/pid-from-inner-namespace", "a receiver outside sees its own number for a sender inside", []Feature{Namespaces}, func(t *T) {
		a, b := t.proc("a"), t.proc("b", pidNS)
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
	}},
	{"caller/uid-in-own-namespace", "a receiver in its own user namespace: what is not mapped is the overflow uid", []Feature{Namespaces}, func(t *T) {
		a, b := t.proc("a"), t.proc("b", userNS, uid(1000))
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read(enter)
		th := a.newThread()
		th.read(call(h, 1))
	}},
	{"caller/uid-from-inner-namespace", "a sender that is 0 inside is itself outside", []Feature{Namespaces}, func(t *T) {
		a, b := t.proc("a"), t.proc("b", userNS, uid(1000))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
	}},
	{"caller/nice-inherited", "a call is served at the caller's nice value if that is lower", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", nice(-5))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.niceNow()
		a.write(free(a.got.Buffer), reply())
		a.niceNow()
	}},
	{"caller/nice-not-raised", "a caller that is nicer does not make it nicer", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", nice(10))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.niceNow()
	}},
	{"caller/nice-of-object", "the object's own priority is a floor for a nicer caller", nil, func(t *T) {
		a, b := t.proc("a", nice(5)), t.proc("b", nice(10))
		a.manageExt(binder(0, 0, 2))
		a.read(enter)
		b.read(call(0, 1))
		a.niceNow()
		a.write(free(a.got.Buffer), reply())
		a.niceNow()
	}},
	{"caller/nice-of-oneway", "a oneway is served at the object's priority, not the sender's", nil, func(t *T) {
		a, b := t.proc("a", nice(5)), t.proc("b", nice(-5))
		a.manageExt(binder(0, 0, 3))
		a.read(enter)
		b.read(oneway(0, 1))
		a.niceNow()
		a.read(free(a.got.Buffer))
	}},
	{"caller/nice-of-oneway-below-object", "unless the receiver has a lower one already", nil, func(t *T) {
		a, b := t.proc("a", nice(1)), t.proc("b", nice(-7))
		a.manageExt(binder(0, 0, 3))
		b.read(oneway(0, 1))
		a.read(enter)
		a.niceNow()
	}},
	{"caller/nice-restored-before-wait", "an idle thread goes back to the process's nice value", nil, func(t *T) {
		a, b := t.proc("a", nice(5)), t.proc("b", nice(-5))
		a.manageExt(binder(0, 0, 3))
		a.read(enter)
		b.read(oneway(0, 1))
		a.nonblock(1)
		a.read(free(a.got.Buffer))
		a.niceNow()
	}},
	{"caller/nice-changed-while-serving", "what the thread set itself while serving is undone by the reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", nice(-5))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.setNice(7)
		a.write(free(a.got.Buffer), reply())
		a.niceNow()
	}},
	{"caller/nice-nested", "along a chain of calls", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", nice(-5))
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.read(acquire(1), call(1, 2))
		b.niceNow()
		b.read(free(b.got.Buffer), reply())
		b.read()
		a.niceNow()
		a.write(reply())
		a.niceNow()
	}},
	{"caller/nice-rlimit", "a receiver without the right to a lower nice value gets what RLIMIT_NICE allows", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", nice(-10))
		a.manage() // as root: the uid of the first one is pinned
		a.rlimit(unix.RLIMIT_NICE, 25)
		a.setEUID(1000)
		a.read(enter)
		b.read(call(0, 1))
		a.niceNow()
		a.write(free(a.got.Buffer), reply())
		a.niceNow()
	}},
	{"caller/nice-no-right", "without any right to it nothing changes", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", nice(-7))
		a.manageExt(binder(0, 0, 0x7f))
		a.setEUID(1000)
		a.read(enter)
		b.read(call(0, 1))
		a.niceNow()
	}},
	{"caller/nice-rlimit-below", "RLIMIT_NICE also takes away what a thread has beyond it", nil, func(t *T) {
		a, b := t.proc("a", nice(-9)), t.proc("b", nice(-7))
		a.manageExt(binder(0, 0, 0x7f))
		a.rlimit(unix.RLIMIT_NICE, 23)
		a.setEUID(1000)
		b.read(oneway(0, 1))
		a.read(enter)
		a.niceNow()
	}},
	{"caller/error-none", "no failure: BR_OK", nil, func(t *T) {
		a := t.proc("a")
		a.extendedError()
	}},
	{"caller/error-read-clears", "reading the extended error clears it", nil, func(t *T) {
		b := t.proc("b")
		b.read(call(5, 1))
		b.extendedError()
		b.extendedError()
	}},
	{"caller/error-next-call-resets", "the next transaction resets it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(5, 1))
		b.read(oneway(0, 1))
		b.extendedError()
	}},
	{"caller/error-per-thread", "it is the thread's own", nil, func(t *T) {
		b := t.proc("b")
		th := b.newThread()
		b.read(call(5, 1))
		th.extendedError()
		b.extendedError()
	}},
	{"caller/error-of-failed-reply", "a reply that fails is the caller's extended error", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(handle(9)))
		b.extendedError()
		a.extendedError()
	}},
	{"caller/error-of-dead-target", "a target that dies with the call leaves none", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		a.kill()
		b.extendedError()
	}},
	{"caller/security-context", "an object that asks for it gets the caller's security context with each call", []Feature{SecurityContext}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX))
		a.read(enter)
		b.read(call(0, 1, "12345"))
		a.read(free(a.got.Buffer), reply())
		a.read()
		b.read(oneway(0, 2))
	}},
	{"caller/security-context-room", "it takes room of the buffer: BR_FAILED_REPLY, -ENOSPC where there is none", []Feature{SecurityContext}, func(t *T) {
		a, b := t.proc("a", mapped(4096)), t.proc("b")
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX))
		a.read(enter)
		b.read(call(0, 1, size(4096)))
		b.extendedError()
		b.read(call(0, 1, size(2048)))
	}},
	{"caller/security-context-overflow", "a buffers_size that overflows with it: BR_FAILED_REPLY, -EINVAL", []Feature{SecurityContext}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX))
		b.read(call(0, 1, extra(1<<64-8)))
		b.extendedError()
	}},
	{"caller/security-context-not-asked", "others get none", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manageExt(binder(0, 0))
		a.read(enter)
		b.read(call(0, 1))
	}},
	{"caller/security-context-of-object", "an object may ask for it when it is first passed", []Feature{SecurityContext}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11, uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX))
		a.signal()
		b.read(enter)
		a.read(call(h, 1))
	}},
	{"caller/flags-of-first-pass", "an object's flags are those of its first passing", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		t.held(a, b, binder(0x10, 0x11, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		a.signal()
		f := a.tempFile("file", "x")
		a.read(call(h, 1, descriptor(f)))
		a.extendedError()
	}},
}
