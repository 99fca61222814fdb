// SPDX-License-Identifier: Apache-2.0

package bindertest

import "virtbinder/driver/uapi"

// What a Linux security module denies. The domains are those of selinux/policy.conf:
// each is named after the one thing that it may not do, or that others may not do to it.
const (
	server     = "server_t"     // may do all, but for what others' domains forbid
	client     = "client_t"     // likewise
	noManager  = "nomanager_t"  // may not become context manager
	noCall     = "nocall_t"     // may not call
	closed     = "closed_t"     // may not be called
	noTransfer = "notransfer_t" // may not pass binders on
	noReceive  = "noreceive_t"  // may not be passed binders nor files
	noFiles    = "nofiles_t"    // its files may not be passed to server_t
)

func domain(name string) option { return func(s *setup) { s.Domain = name } }

// lsmScenarios all need the policy.
var lsmScenarios = []Scenario{
	{"lsm/context-manager", "who may not become context manager gets the LSM's own error, and pins no uid", []Feature{LSM}, func(t *T) {
		a, b, c := t.proc("a", domain(noManager), uid(1000)), t.proc("b", domain(server)), t.proc("c", domain(noManager))
		a.manage()
		a.manageExt(binder(0, 0))
		b.manage()
		c.manage() // the slot is looked at first
	}},
	{"lsm/call", "who may not call: BR_FAILED_REPLY, -EPERM; others may", []Feature{LSM}, func(t *T) {
		a, b, c := t.proc("a", domain(server)), t.proc("b", domain(noCall)), t.proc("c", domain(client))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		b.extendedError()
		b.read(oneway(0, 1))
		b.extendedError()
		c.read(call(0, 1))
	}},
	{"lsm/call-order", "the handle is looked at before the LSM is asked, the stack and the data after", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(noCall))
		b.read(call(0, 1))
		b.extendedError()
		a.manage()
		b.read(call(9, 1))
		b.extendedError()
		b.read(call(0, 1, offsets{1 << 40}))
		b.extendedError()
		b.read(call(0, 1, extra(3)))
		b.extendedError()
	}},
	{"lsm/stream-stops", "what stands behind a denied call is not executed, nor are its files kept", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(noCall))
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		r, w := b.pipe()
		b.read(call(0, 1), call(0, 2, descriptor(w)))
		b.closeFD(w)
		b.readFD(r)
	}},
	{"lsm/another-target", "the verdict is about the process that is called now, not about the one of the last time", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(client))
		a.manage()
		b.read(oneway(0, 1))
		a.kill()
		c := t.proc("c", domain(closed))
		c.manage()
		b.read(oneway(0, 2))
		b.extendedError()
		c.kill()
		d := t.proc("d", domain(server))
		d.manage()
		b.read(oneway(0, 3))
	}},
	{"lsm/binder", "who may not pass binders on may call without one", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(noTransfer))
		a.manage()
		b.read(oneway(0, 1, binder(0x10, 0x20)))
		b.extendedError()
		b.read(oneway(0, 1, weakBinder(0x10, 0x20)))
		b.extendedError()
		b.read(oneway(0, 1, binder(0x10, 0x21))) // the cookie is looked at first
		b.extendedError()
		b.read(oneway(0, 2))
		a.read(enter)
	}},
	{"lsm/second-binder", "a denial undoes the objects before it", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(noFiles))
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		_, w := b.pipe()
		b.read(oneway(0, 1, binder(0x10, 0x20), descriptor(w)))
		b.extendedError()
		b.nodeDebug(0)
	}},
	{"lsm/handle", "a handle is a binder passed on, also back to its owner", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(noTransfer))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(binder(0x30, 0x40)))
		h := b.got.handle(0)
		b.read(acquire(h), free(b.got.Buffer), call(0, 2, handle(h)))
		b.extendedError()
		b.read(call(0, 2, handle(77))) // which handle it is, is looked at first
		b.extendedError()
	}},
	{"lsm/file", "a file that may not be passed on: -EPERM", []Feature{LSM}, func(t *T) {
		a, b, c := t.proc("a", domain(server)), t.proc("b", domain(noFiles)), t.proc("c", domain(client))
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		_, w := b.pipe()
		b.read(oneway(0, 1, descriptor(w)))
		b.extendedError()
		b.read(oneway(0, 1, descriptor(fd{999, "nothing"})))
		b.extendedError()
		_, v := c.pipe()
		c.read(oneway(0, 2, descriptor(v)))
		a.read(enter)
	}},
	{"lsm/file-array", "nor in an array", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(noFiles))
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		_, w := b.pipe()
		b.read(oneway(0, 1, "12345678", ptr(words(uint32(w.n), uint32(w.n))), fdArray(2, 0, 0)))
		b.extendedError()
	}},
	{"lsm/reply", "a reply is judged for what it carries only, by whom it is for", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(noReceive))
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply("plain"))
		a.read()
		b.read(free(b.got.Buffer), call(0, 2))
		a.read(free(a.got.Buffer), reply(binder(0x30, 0x40)))
		a.extendedError()
		b.extendedError()
		a.read()
		b.read(call(0, 3, flags(uapi.TF_ACCEPT_FDS)))
		_, w := a.pipe()
		a.read(free(a.got.Buffer), reply(descriptor(w)))
		b.extendedError()
	}},
	{"lsm/reply-nested", "a reply after one to somebody else is judged by whom it is for", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(client))
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x20)))
		h := a.got.handle(0)
		a.read(acquire(h), call(h, 2)) // back into b, which waits
		b.read(free(b.got.Buffer), call(0, 3))
		a.read(free(a.got.Buffer), reply(binder(0x30, 0x40)))
		b.read(free(b.got.Buffer), reply(binder(0x11, 0x21)))
		a.read()
		a.read(free(a.got.Buffer), reply(binder(0x31, 0x41)))
	}},
	{"lsm/label", "the security context is the sender's label", []Feature{LSM}, func(t *T) {
		a, b := t.proc("a", domain(server)), t.proc("b", domain(client))
		a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX))
		a.read(enter)
		b.read(call(0, 1, "12345"))
		a.peek(a.got.Extra, uint64(len("u:r:client_t")+1))
	}},
}
