// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Section 6: each kind of object, and each rule by which one is refused. Every
// refusal is BR_FAILED_REPLY; what the scenario names is the extended error.
var objectScenarios = []Scenario{
	// Offsets.
	{"object/offsets-size", "an offsets_size that is no multiple of 8: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.OffsetsSize = 12 })))
		t.refused(call(0, 1, binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.OffsetsSize = 4 })))
	}},
	{"object/offsets-unreadable", "an offsets array that is nowhere: -EFAULT", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.Offsets = Unmapped })))
	}},
	{"object/offsets-partly-unreadable", "an offsets array that ends in unmapped memory: -EFAULT", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), binder(0x20, 0x21), with(func(tr *uapi.TransactionData) { tr.Offsets = Arena + ArenaSize - 8 })))
	}},
	{"object/offsets-unreadable-and-odd", "unreadable comes before no multiple of 8", nil, func(t *T) {
		t.refused(call(0, 1, "data", with(func(tr *uapi.TransactionData) { tr.Offsets, tr.OffsetsSize = Unmapped, 12 })))
	}},
	{"object/data-unreadable", "data that is nowhere: -EFAULT", nil, func(t *T) {
		t.refused(call(0, 1, "data", with(func(tr *uapi.TransactionData) { tr.Buffer = Unmapped })))
	}},
	{"object/data-partly-unreadable", "data that ends in unmapped memory: -EFAULT", nil, func(t *T) {
		t.refused(call(0, 1, "data", with(func(tr *uapi.TransactionData) { tr.Buffer, tr.DataSize = Arena+ArenaSize-8, 16 })))
	}},
	{"object/data-null", "data that is nowhere, and none of it: accepted", nil, func(t *T) {
		t.refused(call(0, 1, with(func(tr *uapi.TransactionData) { tr.Buffer, tr.Offsets = 0, 0 })))
	}},
	{"object/offset-beyond-data", "an object that begins behind the data: -EFAULT", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), offsets{32}))
	}},
	{"object/offset-at-end", "an object that begins where the data ends: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), offsets{24}))
	}},
	{"object/offset-huge", "an offset that overflows", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), offsets{^uint64(0)}))
		t.refused(call(0, 1, binder(0x10, 0x11), offsets{^uint64(7)}))
		t.refused(call(0, 1, binder(0x10, 0x11), offsets{1 << 63}))
	}},
	{"object/offset-unaligned", "an offset that is no multiple of 4: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, strings.Repeat(" ", 8), binder(0x10, 0x11), offsets{2}))
		t.refused(call(0, 1, strings.Repeat(" ", 8), binder(0x10, 0x11), offsets{7}))
	}},
	{"object/offset-aligned-to-4", "an object may stand on 4 bytes", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "four"+string(binder(0x10, 0x11).raw), offsets{4}))
	}},
	{"object/offset-twice", "two offsets of one object: -EFAULT", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), offsets{0, 0}))
	}},
	{"object/offset-decreasing", "offsets that go back: -EFAULT", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), binder(0x20, 0x21), offsets{24, 0}))
	}},
	{"object/offset-overlap", "objects that overlap: -EFAULT", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), binder(0x20, 0x21), offsets{0, 20}))
	}},
	{"object/cut-off", "an object that the data does not hold wholly: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.DataSize = 20 })))
		t.refused(call(0, 1, binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.DataSize = 3 })))
		t.refused(call(0, 1, binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.DataSize = 4 })))
		t.refused(call(0, 1, binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.DataSize = 0 })))
	}},
	{"object/cut-off-ptr", "a PTR that the data does not hold wholly: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, ptr("content"), with(func(tr *uapi.TransactionData) { tr.DataSize = 32 })))
	}},
	{"object/unknown", "an object of unknown type: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, rawObject(make([]byte, 24))))
		t.refused(call(0, 1, rawObject(le.AppendUint32(nil, 0x73622a86)), strings.Repeat(" ", 40)))
	}},
	{"object/unreadable", "an object in unmapped memory", nil, func(t *T) {
		t.refused(call(0, 1, binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.Buffer = Unmapped })))
		t.refused(call(0, 1, "12345678", binder(0x10, 0x11), with(func(tr *uapi.TransactionData) { tr.Buffer = Arena + ArenaSize - 16 })))
	}},
	{"object/small-data", "an object in less data than the largest object has", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "abcd", binder(0x10, 0x11)))
	}},
	{"object/gaps", "data between, before and behind objects arrives as it is", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "before", binder(0x10, 0x11), "between it", weakBinder(0x20, 0x21), "behind"))
	}},
	{"object/many", "many objects in one call", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		parts := []any{}
		for i := range uint64(60) {
			parts = append(parts, binder(0x1000+16*i, i))
		}
		b.readN(8192, call(0, 1, parts...))
		a.readN(8192, free(a.got.Buffer), reply())
	}},
	{"object/unwound", "objects before the refused one are given up: the sender hears of counts and of their end", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11), weakBinder(0x20, 0x21), handle(9)))
		b.extendedError()
		b.nodeDebug(0)
		b.nodeDebug(0x10)
		b.read(call(0, 2, binder(0x30, 0x31)))
	}},
	{"object/unwound-handle", "a handle before the refused object is given up", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		c.read(call(0, 2, binder(0x40, 0x41)))
		a.read(acquire(2), reply(handle(h)))
		c.write(acquire(1), acquireDone(0x40, 0x41), increfsDone(0x40, 0x41))
		a.read()
		c.read(call(0, 3, handle(1), handle(7)))
		c.extendedError()
		a.signal()
		a.nodeInfo(h)
	}},

	// BINDER.
	{"object/binder", "an object of the sender becomes a handle, 1 and up, its cookie 0", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11), binder(0x20, 0x21), binder(0x10, 0x11)))
	}},
	{"object/binder-same-handle", "the same object comes as the same handle again", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		t.held(a, b, binder(0x10, 0x11))
		t.held(a, b, binder(0x20, 0x21))
		b.read(call(0, 2, binder(0x20, 0x21), binder(0x10, 0x11)))
	}},
	{"object/binder-cookie", "the same ptr with another cookie: -EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		t.held(a, b, binder(0x10, 0x11))
		b.read(call(0, 2, binder(0x10, 0x12)))
		b.extendedError()
		b.read(call(0, 3, binder(0x30, 0x31), binder(0x30, 0x32)))
		b.extendedError()
	}},
	{"object/binder-flags-once", "flags count when the object is first passed", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		t.held(a, b, binder(0x10, 0x11, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		r, _ := a.pipeOfIdle()
		a.signal()
		a.read(call(h, 1, descriptor(r)))
		a.extendedError()
	}},
	{"object/binder-flags-pass", "the flags of an object arrive unchanged", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11, 0x17f), weakBinder(0x20, 0x21, 0xffff0000)))
	}},
	{"object/binder-null", "ptr 0 and cookie 0 are an object like any other", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0, 0)))
		a.read(acquire(1), free(a.got.Buffer), reply())
	}},
	{"object/binder-manager", "the manager's own object, ptr 0, becomes handle 0", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(reply(binder(0, 0)))
		b.write(acquire(0), free(b.got.Buffer))
		a.nodeInfo(0)
	}},
	{"object/binder-home", "a handle that goes home becomes the object with its cookie", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.read(call(0, 2))
		a.read(reply(handle(h)))
	}},
	{"object/binder-in-reply", "an object in a reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(reply(binder(0x50, 0x51)))
		b.write(acquire(1), free(b.got.Buffer))
		a.read()
	}},
	{"object/weak-binder", "a weak object becomes a weak handle, which cannot be called", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.read(increfs(1), free(a.got.Buffer), reply())
		a.read(call(1, 2))
		a.extendedError()
		b.write(increfsDone(0x10, 0x11))
		a.write(decrefs(1))
		b.read()
	}},
	{"object/weak-binder-then-strong", "the same object weak and then strong: one handle", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11), binder(0x10, 0x11)))
		a.read(free(a.got.Buffer), reply())
	}},

	// HANDLE.
	{"object/handle", "a handle passed to a third process becomes a handle of its own", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		t.held(a, b, binder(0x10, 0x11))
		h := t.held(a, b, binder(0x20, 0x21))
		c.read(call(0, 2))
		a.read(free(a.got.Buffer), reply(handle(h)))
		c.write(acquire(c.got.handle(0)), free(c.got.Buffer))
		b.read(enter)
		c.read(call(1, 3, "hello"))
	}},
	{"object/handle-unknown", "a handle that the sender does not hold: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, handle(3)))
		t.refused(call(0, 1, weakHandle(3)))
		t.refused(call(0, 1, handle(^uint32(0))))
	}},
	{"object/handle-zero", "handle 0, held, to its owner", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, handle(0)))
		b.extendedError()
		b.read(acquire(0), call(0, 2, handle(0)))
		a.read(free(a.got.Buffer), reply())
	}},
	{"object/handle-weak-as-strong", "a weak handle sent as a strong one: -EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.read(reply(handle(1)))
		a.extendedError()
	}},
	{"object/handle-weak-as-weak", "a weak handle sent as a weak one goes home as WEAK_BINDER", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.read(reply(weakHandle(1)))
	}},
	{"object/handle-strong-as-weak", "a strong handle sent as a weak one", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		c.read(call(0, 2))
		a.read(free(a.got.Buffer), reply(weakHandle(h)))
		c.read(call(1, 3))
		c.extendedError()
		c.write(acquire(1))
		c.read(call(1, 4))
		c.extendedError()
	}},
	{"object/handle-of-the-dead", "a handle to a dead object may be passed on", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b.kill()
		c.read(call(0, 2))
		a.read(free(a.got.Buffer), reply(handle(h)))
		c.read(call(1, 3))
		c.extendedError()
	}},
	{"object/handle-in-oneway", "a handle in a oneway is held by its buffer until it is freed", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(oneway(0, 1, binder(0x10, 0x11)))
		a.read(call(1, 2))
		a.signal()
		b.read()
	}},
	{"object/buffer-holds", "a handle lives as long as the buffer it came in", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.write(call(0, 1, binder(0x10, 0x11)))
		a.nodeInfo(1)
		a.write(free(a.got.Buffer))
		a.nodeInfo(1)
		b.nodeDebug(0)
	}},
	{"object/handle-reused", "the lowest free handle is given again", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		for i := range uint64(3) {
			t.held(a, b, binder(0x10+i, i))
		}
		a.signal()
		a.write(release(2), release(1))
		a.read(enter)
		b.read(call(0, 2, binder(0x40, 1), binder(0x50, 2), binder(0x60, 3)))
	}},

	// FD.
	{"object/fd", "a descriptor is installed when the reader reads, close-on-exec; the driver never closes it", nil, func(t *T) {
		a, b := t.acceptor()
		r, w := b.pipe()
		b.read(oneway(0, 1, "fd:", descriptor(r)))
		got := a.got.fd(0)
		b.writeFD(w, "through the pipe")
		a.readFD(got)
		a.write(free(a.got.Buffer))
		a.look(got)
		b.look(r)
	}},
	{"object/fd-several", "several descriptors, one of them twice", nil, func(t *T) {
		a, b := t.acceptor()
		r, w := b.pipe()
		f := b.tempFile("file", "content")
		b.read(call(0, 1, descriptor(w), descriptor(f), descriptor(w), descriptor(r)))
		a.readFD(a.got.fd(1))
	}},
	{"object/fd-refused", "a node that does not accept descriptors: -EPERM", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		r, _ := b.pipe()
		b.read(call(0, 1, descriptor(r)))
		b.extendedError()
		b.look(r)
	}},
	{"object/fd-refused-before-bad", "refused comes before bad: -EPERM", nil, func(t *T) {
		t.refused(call(0, 1, descriptor(fd{-1, "-1"})))
	}},
	{"object/fd-bad", "a descriptor that is not open: -EBADF", nil, func(t *T) {
		a, b := t.acceptor()
		for _, f := range []fd{{-1, "-1"}, {999, "999"}, {1 << 30, "1<<30"}} {
			b.read(call(0, 1, descriptor(f)))
			b.extendedError()
		}
		_ = a
	}},
	{"object/fd-fields", "the upper half of the field is zeroed, flags and cookie pass through", nil, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		o := flat("FD with all bits", uapi.BINDER_TYPE_FD, 0x5a5a5a5a, uint64(r.n)|0x7777777700000000, 0x123456789abcdef0)
		b.read(call(0, 1, o))
		_ = a
	}},
	{"object/fd-in-reply", "in a reply a descriptor needs TF_ACCEPT_FDS in the call", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		r, _ := a.pipeOfIdle()
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(descriptor(r)))
		a.extendedError()
		b.extendedError()
		a.read()
		b.read(call(0, 2, flags(uapi.TF_ACCEPT_FDS)))
		a.read(free(a.got.Buffer), reply(descriptor(r)))
	}},
	{"object/fd-in-oneway", "a descriptor in a oneway", nil, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		b.read(oneway(0, 1, descriptor(r)))
		a.look(a.got.fd(0))
	}},
	{"object/fd-closed-after-send", "the sender may close its descriptor once it is sent", nil, func(t *T) {
		a, b := t.acceptorIdle()
		r, w := b.pipe()
		b.write(oneway(0, 1, descriptor(r)))
		b.closeFD(r)
		b.writeFD(w, "still connected")
		a.read(enter)
		a.readFD(a.got.fd(0))
	}},
	{"object/fd-undelivered", "a descriptor that nobody reads is closed when its call ends: the pipe's reader sees the end", nil, func(t *T) {
		a, b := t.acceptorIdle()
		r, w := b.pipe()
		b.write(oneway(0, 1, descriptor(w)))
		b.closeFD(w)
		b.readFD(r)
		a.kill()
		b.readFD(r)
	}},
	{"object/fd-refused-closes", "a descriptor of a refused call is closed", nil, func(t *T) {
		a, b := t.acceptor()
		r, w := b.pipe()
		b.read(call(0, 1, descriptor(w), handle(77)))
		b.closeFD(w)
		b.readFD(r)
		_ = a
	}},
	{"object/fd-no-room", "the reader has no free descriptor: it sees nothing, the caller gets BR_FAILED_REPLY", nil, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		a.limitFiles()
		b.read(call(0, 1, descriptor(r)))
		b.extendedError()
		b.look(r)
		a.signal()
		b.write(oneway(0, 2))
		a.read()
	}},
	{"object/fd-no-room-oneway", "the same in a oneway: it vanishes", nil, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		a.limitFiles()
		b.read(oneway(0, 1, descriptor(r)))
		b.read(oneway(0, 2))
		a.read(free(a.got.Buffer))
	}},
	{"object/fd-no-room-second", "the first descriptor fits, the second does not: the first is taken back", nil, func(t *T) {
		a, b := t.acceptor()
		r, w := b.pipe()
		last, th := a.limitFiles()
		th.closeFD(last)
		b.read(call(0, 1, descriptor(r), descriptor(w)))
		b.closeFD(w)
		b.readFD(r)
	}},
	{"object/fd-no-room-reply", "no room for a reply's descriptor: the caller gets BR_FAILED_REPLY instead of it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		r, _ := a.pipeOfIdle()
		b.limitFiles()
		b.read(call(0, 1, flags(uapi.TF_ACCEPT_FDS)))
		a.read(free(a.got.Buffer), reply(descriptor(r)))
		b.extendedError()
		b.read(call(0, 2))
	}},
	{"object/fd-no-room-with-work", "other work of the same read is still delivered", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		r, _ := a.pipeOfIdle()
		b.write(oneway(0, 3))
		a.write(free(a.got.Buffer))
		b.limitFiles()
		a.write(oneway(h, 1, descriptor(r)))
		b.read()
	}},
	{"object/fd-binder-itself", "a binder descriptor may be passed too", nil, func(t *T) {
		a, b := t.acceptor()
		b.nameFile(fd{b.file.n, "b's binder"})
		b.read(call(0, 1, descriptor(fd{b.file.n, "binder of b"})))
		_ = a
	}},

	// PTR.
	{"object/ptr", "a PTR is copied behind the offsets, its pointer turned to the copy", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "head", ptr("the content"), "tail", ptr("more")))
	}},
	{"object/ptr-empty", "a PTR of no bytes", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, ptrAt(0, 0), ptr("x"), ptrAt(Unmapped, 0)))
	}},
	{"object/ptr-too-long", "more than is left of buffers_size: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, ptr("0123456789"), extra(8)))
		t.refused(call(0, 1, ptr("01234567"), ptr("0"), extra(8)))
		t.refused(call(0, 1, ptr("012"), ptr("0123456789"), extra(16)))
	}},
	{"object/ptr-padding-counts", "each PTR takes a multiple of 8 of buffers_size", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, ptr("012"), ptr("01234567"), extra(16)))
	}},
	{"object/ptr-space-left", "buffers_size may be more than is used", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, ptr("012"), extra(64)))
	}},
	{"object/ptr-without-sg", "a PTR in a plain BC_TRANSACTION has no room: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, string(ptrAt(own, 8).raw), offsets{0}))
	}},
	{"object/ptr-unreadable", "a PTR to nowhere: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, ptrAt(Unmapped, 8)))
		t.refused(call(0, 1, ptrAt(Arena+ArenaSize-8, 16)))
	}},
	{"object/ptr-huge", "a PTR whose length overflows: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, ptrAt(own, ^uint64(0)), extra(64)))
		t.refused(call(0, 1, ptrAt(own, 1<<63), extra(64)))
	}},
	{"object/ptr-in-reply", "a PTR in a reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(reply(ptr("answer")))
	}},
	{"object/ptr-hidl-string", "a struct whose pointer is turned to the child's copy", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "desc", ptr("PPPPPPPP\x05\x00\x00\x00\x00\x00\x00\x00"), ptr("hello\x00").in(0, 0)))
	}},
	{"object/ptr-hidl-vector", "a vector of strings: parents, children and grandchildren", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "desc", ptr("PPPPPPPP\x02\x00\x00\x00\x00\x00\x00\x00"), ptr("AAAAAAAA.......1BBBBBBBB.......2").in(0, 0),
			ptr("first").in(1, 0), ptr("second").in(1, 16)))
	}},
	{"object/ptr-first-offset-zero", "a parent that is the first object, at offset 0 of the data", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, ptr("PPPPPPPP"), ptr("child").in(0, 0)))
		b.extendedError()
	}},
	{"object/ptr-parent-later", "a parent that comes later, or itself: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, "desc", ptr("PPPPPPPP"), ptr("child").in(1, 0)))
		t.refused(call(0, 1, "desc", ptr("PPPPPPPP"), ptr("child").in(2, 0)))
		t.refused(call(0, 1, "desc", ptr("PPPPPPPP"), ptr("child").in(^uint64(0), 0)))
	}},
	{"object/ptr-parent-no-ptr", "a parent that is no PTR: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, "desc", binder(0x10, 0x11), ptr("child").in(0, 0)))
	}},
	{"object/ptr-parent-bounds", "8 bytes of pointer must fit the parent: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, "desc", ptr("PPPPPPPP"), ptr("child").in(0, 1)))
		t.refused(call(0, 1, "desc", ptr("PPPP"), ptr("child").in(0, 0)))
		t.refused(call(0, 1, "desc", ptr("PPPPPPPP"), ptr("child").in(0, ^uint64(0))))
		t.refused(call(0, 1, "desc", ptr("PPPPPPPP"), ptr("child").in(0, ^uint64(7))))
	}},
	{"object/ptr-parent-aligned-to-4", "a pointer may stand on 4 bytes", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "desc", ptr("1234PPPPPPPP"), ptr("child").in(0, 4)))
	}},
	{"object/ptr-parent-unaligned", "a pointer that does not stand on 4 bytes of the target's buffer: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, "desc", ptr("123PPPPPPPP"), ptr("child").in(0, 3)))
		t.refused(call(0, 1, "desc", ptr("12PPPPPPPP"), ptr("child").in(0, 2)))
	}},
	{"object/ptr-order", "fix-ups of one parent go upwards: -EINVAL otherwise", nil, func(t *T) {
		t.refused(call(0, 1, "desc", ptr("AAAAAAAABBBBBBBB"), ptr("b").in(0, 8), ptr("a").in(0, 0)))
		t.refused(call(0, 1, "desc", ptr("AAAAAAAABBBBBBBB"), ptr("a").in(0, 0), ptr("b").in(0, 4)))
		t.refused(call(0, 1, "desc", ptr("AAAAAAAABBBBBBBB"), ptr("a").in(0, 0), ptr("a").in(0, 0)))
	}},
	{"object/ptr-order-ancestors", "a parent is the last object or one of its ancestors: -EINVAL otherwise", nil, func(t *T) {
		t.refused(call(0, 1, "desc", ptr("AAAAAAAA"), ptr("BBBBBBBB"), ptr("child").in(0, 0)))
		t.refused(call(0, 1, "desc", ptr("AAAAAAAABBBBBBBB"), ptr("PPPPPPPP").in(0, 0), ptr("x").in(0, 8), ptr("y").in(1, 0)))
	}},
	{"object/ptr-back-to-ancestor", "after a grandchild the grandparent may go on, behind its last pointer", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "desc", ptr("AAAAAAAABBBBBBBB"), ptr("PPPPPPPP").in(0, 0), ptr("leaf").in(1, 0), ptr("more").in(0, 8)))
	}},
	{"object/ptr-roots", "several trees, one after the other", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "desc", ptr("AAAAAAAA"), ptr("a").in(0, 0), ptr("BBBBBBBB"), ptr("b").in(2, 0)))
	}},
	{"object/ptr-flags", "other flags of a PTR are not looked at", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		o := ptr("content")
		le.PutUint32(o.raw[4:], 0xfffffffe)
		b.read(call(0, 1, o))
	}},
	{"object/ptr-large", "a PTR of several pages", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, ptr(strings.Repeat("0123456789abcdef", 1200))))
	}},

	// FDA.
	{"object/fda", "an array of descriptors in a PTR: installed at the read, closed by the driver when the buffer is freed", nil, func(t *T) {
		a, b := t.acceptor()
		r, w := b.pipe()
		b.read(call(0, 1, "desc", ptr(words(2, 7, uint32(r.n), uint32(w.n))), fdArray(2, 0, 8)))
		n := a.descriptorAt(a.got.Buffer + 4 + 4 + 40 + 32 + 16 + 8)
		a.writeFD(fd{a.descriptorAt(a.got.Buffer + 4 + 4 + 40 + 32 + 16 + 12).n, "the array's second"}, "hello")
		a.readFD(n)
		a.look(n)
		a.read(free(a.got.Buffer), reply())
		a.look(n)
		b.look(r)
	}},
	{"object/fda-free-returns", "freeing such a buffer lets the read return before it waits", nil, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		b.read(oneway(0, 1, "desc", ptr(words(uint32(r.n), 0)), fdArray(1, 0, 0)))
		a.read(free(a.got.Buffer))
		a.read()
	}},
	{"object/fda-exit", "descriptors of an array are the reader's: its end closes them", nil, func(t *T) {
		a, b := t.acceptor()
		r, w := b.pipe()
		b.read(oneway(0, 1, "desc", ptr(words(uint32(w.n), 0)), fdArray(1, 0, 0)))
		b.closeFD(w)
		b.readFD(r)
		a.kill()
		b.readFD(r)
	}},
	{"object/fda-empty", "an array of none is legal even where descriptors are refused", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "desc", ptr("content"), fdArray(0, 0, 0)))
	}},
	{"object/fda-refused", "a node that does not accept descriptors: -EPERM", nil, func(t *T) {
		t.refused(call(0, 1, "desc", ptr(words(0, 0)), fdArray(1, 0, 0)))
	}},
	{"object/fda-bad", "a descriptor that is not open: -EBADF, and those before it are given up", nil, func(t *T) {
		a, b := t.acceptor()
		r, w := b.pipe()
		b.read(call(0, 1, "desc", ptr(words(uint32(w.n), 999)), fdArray(2, 0, 0)))
		b.extendedError()
		b.closeFD(w)
		b.readFD(r)
		_ = a
	}},
	{"object/fda-no-room", "no free descriptor for an array: nothing is delivered", nil, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		a.limitFiles()
		b.read(call(0, 1, "desc", ptr(words(uint32(r.n), 0)), fdArray(1, 0, 0)))
		b.extendedError()
	}},
	{"object/fda-parent", "no parent, or one that is no PTR: -EINVAL", nil, func(t *T) {
		t.refused(call(0, 1, "desc", fdArray(1, 0, 0)))
		t.refused(call(0, 1, "desc", ptr("content."), fdArray(1, 1, 0)))
		t.refused(call(0, 1, "desc", binder(0x10, 0x11), fdArray(1, 0, 0)))
	}},
	{"object/fda-bounds", "an array that its parent does not hold: -EINVAL", nil, func(t *T) {
		a, b := t.acceptor()
		for _, o := range []object{fdArray(3, 0, 0), fdArray(1, 0, 8), fdArray(1, 0, 5), fdArray(1<<62, 0, 0), fdArray(^uint64(0), 0, 0), fdArray(1, 0, ^uint64(0)), fdArray(1, 0, ^uint64(3))} {
			b.read(call(0, 1, "desc", ptr(words(0, 0)), o))
			b.extendedError()
		}
		_ = a
	}},
	{"object/fda-unaligned", "an array that does not stand on 4 bytes: -EINVAL", nil, func(t *T) {
		a, b := t.acceptor()
		b.read(call(0, 1, "desc", ptr(words(0, 0, 0)), fdArray(1, 0, 2)))
		b.extendedError()
		b.poke(own, make([]byte, 16))
		b.read(call(0, 1, "desc", ptrAt(own+1, 8), fdArray(1, 0, 0)))
		b.extendedError()
		b.read(call(0, 1, "desc", ptrAt(own+1, 8), fdArray(1, 0, 3)))
		b.extendedError()
		_ = a
	}},
	{"object/fda-unreadable", "an array whose parent is unreadable: -EFAULT", nil, func(t *T) {
		a, b := t.acceptor()
		b.read(call(0, 1, "desc", ptrAt(Unmapped, 8), fdArray(1, 0, 0)))
		b.extendedError()
		_ = a
	}},
	{"object/fda-order", "arrays and pointers of one parent go upwards: -EINVAL otherwise", nil, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		n := uint32(r.n)
		b.read(call(0, 1, "desc", ptr(words(n, n, n, n)), fdArray(1, 0, 4), fdArray(1, 0, 0)))
		b.extendedError()
		b.read(call(0, 1, "desc", ptr(words(n, n, n, n)), fdArray(2, 0, 0), fdArray(1, 0, 4)))
		b.extendedError()
		b.read(call(0, 1, "desc", ptr(words(n, n, n, n)), fdArray(1, 0, 8), ptr("x").in(0, 0)))
		b.extendedError()
		_ = a
	}},
	{"object/fda-two", "two arrays and a pointer in one parent", nil, func(t *T) {
		a, b := t.acceptor()
		r, w := b.pipe()
		b.read(call(0, 1, "desc", ptr(words(uint32(r.n), 9, uint32(w.n), 9, 9, 9)), fdArray(1, 0, 0), fdArray(1, 0, 8), ptr("x").in(0, 16)))
		a.write(free(a.got.Buffer))
	}},
	{"object/fda-in-reply", "an array in a reply needs TF_ACCEPT_FDS in the call", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		r, _ := a.pipeOfIdle()
		b.read(call(0, 1, flags(uapi.TF_ACCEPT_FDS)))
		a.read(free(a.got.Buffer), reply("desc", ptr(words(uint32(r.n), 0)), fdArray(1, 0, 0)))
		b.write(free(b.got.Buffer))
		a.read()
		b.read(call(0, 2))
		a.read(free(a.got.Buffer), reply("desc", ptr(words(uint32(r.n), 0)), fdArray(1, 0, 0)))
		a.extendedError()
	}},
	{"object/fda-many", "an array of many descriptors", nil, func(t *T) {
		a, b := t.acceptor()
		r, _ := b.pipe()
		var all []uint32
		for range 20 {
			all = append(all, uint32(r.n))
		}
		b.read(call(0, 1, "desc", ptr(words(all...)), fdArray(20, 0, 0)))
		a.write(free(a.got.Buffer))
	}},
}

// refused has a process send a call that the context manager's side refuses, or not.
func (t *T) refused(c cmd) {
	if len(t.procs) == 0 {
		a := t.proc("a")
		a.manage()
		t.proc("b")
	}
	b := t.procs[1]
	b.write(c)
	b.nonblock(1)
	b.read()
	b.extendedError()
	b.nonblock(0)
}

// acceptor is a context manager that accepts descriptors, parked as a looper, and
// another process.
func (t *T) acceptor() (a, b *proc) {
	a, b = t.acceptorIdle()
	a.read(enter)
	return a, b
}

func (t *T) acceptorIdle() (a, b *proc) {
	a, b = t.proc("a"), t.proc("b")
	a.manageExt(binder(0, 0, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
	return a, b
}

// pipeOfIdle makes a pipe in a process whose leader is parked.
func (p *proc) pipeOfIdle() (r, w fd) { return p.newThread().pipe() }

// limitFiles lets a process have no more descriptors than it has. It returns the
// highest, and a thread to close it with.
func (p *proc) limitFiles() (last fd, th *thread) {
	th = p.newThread()
	last = th.tempFile("last", "")
	th.rlimit(unix.RLIMIT_NOFILE, uint64(last.n+1))
	return last, th
}

// descriptorAt is the descriptor whose number stands at addr.
func (th *thread) descriptorAt(addr uint64) fd {
	var b []byte
	if !th.load(addr, 4, &b) {
		return fd{-1, "unreadable"}
	}
	return fd{int(int32(le.Uint32(b))), "the array's first"}
}
