// SPDX-License-Identifier: Apache-2.0

package bindertest

import "virtbinder/driver/uapi"

// Section 3: the ioctls, each with each of its errors.
var ioctlScenarios = []Scenario{
	{"ioctl/version", "BINDER_VERSION says 8", nil, func(t *T) {
		a := t.proc("a")
		a.ioctl(uapi.BINDER_VERSION, make([]byte, 4))
	}},
	{"ioctl/version-bad-pointer", "BINDER_VERSION to nowhere: EINVAL", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_VERSION, Unmapped)
	}},
	{"ioctl/reserved", "BINDER_SET_IDLE_TIMEOUT and _PRIORITY were never implemented: EINVAL", nil, func(t *T) {
		a := t.proc("a")
		a.ioctl(uapi.BINDER_SET_IDLE_TIMEOUT, make([]byte, 8))
		a.ioctl(uapi.BINDER_SET_IDLE_PRIORITY, make([]byte, 4))
	}},
	{"ioctl/unknown", "an ioctl that is not binder's, or with another size: EINVAL", nil, func(t *T) {
		a := t.proc("a")
		a.ioctl(0x6263, make([]byte, 4))
		a.ioctl(0xc0046263, make([]byte, 4))
		a.ioctl(uapi.BINDER_VERSION&^0xffff0000|0x00080000, make([]byte, 8))
		a.ioctl(0x5401, make([]byte, 64))
	}},
	{"ioctl/unknown-is-a-first-ioctl", "an ioctl that fails spends the first return too", nil, func(t *T) {
		a := t.proc("a")
		b, c := a.fresh(t), a.fresh(t)
		b.ioctl(0x6263, make([]byte, 4))
		b.read()
		c.ioctlAt(uapi.BINDER_WRITE_READ, Unmapped)
		c.read()
	}},
	{"ioctl/bad-pointer-is-a-first-ioctl", "so does one whose argument cannot be read or written", nil, func(t *T) {
		a := t.proc("a")
		b, c := a.fresh(t), a.fresh(t)
		b.ioctlAt(uapi.BINDER_SET_MAX_THREADS, Unmapped)
		b.read()
		c.ioctlAt(uapi.BINDER_VERSION, Unmapped)
		c.read()
	}},
	{"ioctl/max-threads-bad-pointer", "BINDER_SET_MAX_THREADS from nowhere: EINVAL", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_SET_MAX_THREADS, Unmapped)
	}},
	{"ioctl/max-threads-large", "any number of threads may be asked for", nil, func(t *T) {
		a := t.proc("a")
		a.maxThreads(^uint32(0))
		a.maxThreads(0)
	}},
	{"ioctl/manager", "one context manager: EBUSY for all others, itself too", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.manage()
		b.manage()
		b.manageExt(binder(0, 0))
		f := a.open("binder")
		a.on(f).manage()
	}},
	{"ioctl/manager-ignores-argument", "BINDER_SET_CONTEXT_MGR takes no argument", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_SET_CONTEXT_MGR, Unmapped)
	}},
	{"ioctl/manager-after-death", "when the manager dies another process may come, with the same uid", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.kill()
		b.manage()
	}},
	{"ioctl/manager-uid", "the first manager's uid is the context's: EPERM for others, for good", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", uid(1001))
		a.manage()
		b.manage()
		a.kill()
		b.manage()
		t.proc("c").manage()
	}},
	{"ioctl/manager-uid-now", "it is the effective uid at the call that counts, not that at open", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.kill()
		b.setEUID(1000)
		b.manage()
		b.setEUID(0)
		b.manage()
	}},
	{"ioctl/manager-contexts", "each context has its own manager", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", context("hwbinder"))
		a.manage()
		b.manage()
		c := t.proc("c", context("vndbinder"))
		c.manage()
		f := c.open("binder")
		c.on(f).manage()
	}},
	{"ioctl/contexts-are-apart", "handle 0 is the manager of one's own context", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", context("hwbinder"))
		a.manage()
		b.read(call(0, 1))
		b.manage()
		c := t.proc("c", context("hwbinder"))
		b.read(enter)
		c.read(call(0, 2))
		d := t.proc("d", context("vndbinder"))
		d.read(call(0, 3))
	}},
	{"ioctl/manager-ext", "BINDER_SET_CONTEXT_MGR_EXT: ptr, cookie and flags are those of handle 0", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manageExt(binder(0x30, 0x31, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS))
		a.read(enter)
		r, _ := b.pipe()
		b.read(call(0, 1, descriptor(r)))
		a.nodeDebug(0)
	}},
	{"ioctl/manager-ext-any-type", "the type of the object is not looked at", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manageExt(weakHandle(7))
		a.read(enter)
		b.read(call(0, 1))
	}},
	{"ioctl/manager-ext-bad-pointer", "BINDER_SET_CONTEXT_MGR_EXT from nowhere: EINVAL", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_SET_CONTEXT_MGR_EXT, Unmapped)
	}},
	{"ioctl/manager-existing-node", "an object that the process has passed on before becomes handle 0", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		b.manage()
		b.read(enter)
		h := t.held(b, a, binder(0, 0))
		b.kill()
		a.manage()
		a.nodeDebug(0)
		_ = h
	}},
	{"ioctl/thread-exit-ignores-argument", "BINDER_THREAD_EXIT takes no argument", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_THREAD_EXIT, Unmapped)
	}},
	{"ioctl/thread-exit-again", "a thread may exit any number of times", nil, func(t *T) {
		a := t.proc("a")
		a.threadExit()
		a.threadExit()
	}},
	{"ioctl/node-debug", "BINDER_GET_NODE_DEBUG_INFO walks the nodes by ptr; zeroes are the end", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x30, 0x33), binder(0x10, 0x11), weakBinder(0x20, 0x22)))
		a.read(acquire(1), acquire(2), increfs(3), free(a.got.Buffer), reply())
		b.nodeDebug(0)
		b.nodeDebug(0x10)
		b.nodeDebug(0x1f)
		b.nodeDebug(0x20)
		b.nodeDebug(0x30)
		b.nodeDebug(^uint64(0))
	}},
	{"ioctl/node-debug-manager", "the context manager's own node has ptr 0, which the walk passes over", nil, func(t *T) {
		a := t.proc("a")
		a.nodeDebug(0)
		a.manage()
		a.nodeDebug(0)
	}},
	{"ioctl/node-debug-bad-pointer", "from nowhere: EFAULT", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_GET_NODE_DEBUG_INFO, Unmapped)
	}},
	{"ioctl/node-info", "BINDER_GET_NODE_INFO_FOR_REF gives the context manager a node's counts", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		a.signal()
		a.nodeInfo(h)
		a.write(acquire(h), increfs(h))
		a.nodeInfo(h)
	}},
	{"ioctl/node-info-in-use", "a node whose counts were not acknowledged, and while it is called", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.nodeInfo(1)
		a.read(acquire(1), reply())
		a.nodeInfo(1)
		a.write(oneway(1, 1))
		a.nodeInfo(1)
	}},
	{"ioctl/node-info-not-manager", "others: EPERM", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.nodeInfo(1)
		b.manage()
		a.nodeInfo(1)
		a.write(acquire(0))
		a.nodeInfo(0)
	}},
	{"ioctl/node-info-fields", "any other field than the handle set: EINVAL, before EPERM", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		for i := 1; i < 6; i++ {
			arg := make([]byte, 24)
			arg[4*i] = 1
			a.ioctl(uapi.BINDER_GET_NODE_INFO_FOR_REF, arg)
			b.ioctl(uapi.BINDER_GET_NODE_INFO_FOR_REF, arg)
		}
	}},
	{"ioctl/node-info-handle", "an unknown or weak handle: EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.nodeInfo(1)
		a.read(enter)
		b.read(call(0, 1, weakBinder(0x10, 0x11)))
		a.nodeInfo(a.got.handle(0))
	}},
	{"ioctl/node-info-bad-pointer", "from nowhere: EFAULT", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_GET_NODE_INFO_FOR_REF, Unmapped)
	}},
	{"ioctl/freeze-unknown", "BINDER_FREEZE of a pid that has no binder open: EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", bare)
		a.freeze(b, 0)
		a.unfreeze(b)
		a.frozenInfo(b)
	}},
	{"ioctl/freeze-bad-pointer", "from nowhere: EFAULT", nil, func(t *T) {
		a := t.proc("a")
		a.ioctlAt(uapi.BINDER_FREEZE, Unmapped)
		a.ioctlAt(uapi.BINDER_GET_FROZEN_INFO, Unmapped)
	}},
	{"ioctl/spam-bad-pointer", "BINDER_ENABLE_ONEWAY_SPAM_DETECTION from nowhere: EFAULT", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION, Unmapped)
	}},
	{"ioctl/extended-error-bad-pointer", "BINDER_GET_EXTENDED_ERROR to nowhere: EFAULT; what was there is lost", nil, func(t *T) {
		a := t.proc("a")
		a.read(call(0, 1))
		a.ioctlAt(uapi.BINDER_GET_EXTENDED_ERROR, Unmapped)
		a.extendedError()
	}},
	{"ioctl/write-read-nothing", "neither write nor read", nil, func(t *T) {
		a := t.proc("a")
		a.write()
		a.writeReadAt(0, 0, 0, 0, 0, 0)
		a.writeReadAt(0, 5, 0, 0, 7, 0)
	}},
	{"ioctl/write-read-bad-pointer", "a binder_write_read that is nowhere: EFAULT", nil, func(t *T) {
		t.proc("a").ioctlAt(uapi.BINDER_WRITE_READ, Unmapped)
	}},
	{"ioctl/write-unreadable", "a write buffer that is nowhere: EFAULT, nothing consumed", nil, func(t *T) {
		a := t.proc("a")
		a.writeReadAt(8, 0, Unmapped, 256, 0, own)
	}},
	{"ioctl/write-ends-in-nowhere", "a stream that runs into unmapped memory: what stands before it is executed", nil, func(t *T) {
		a := t.proc("a")
		b := stream(enter, acquire(7))
		end := uint64(Arena + ArenaSize)
		a.poke(end-8, b[:8])
		a.writeReadAt(12, 0, end-8, 256, 0, own)
		a.writeReadAt(4, 0, end-8, 0, 0, 0)
	}},
	{"ioctl/write-consumed", "the write starts where write_consumed says", nil, func(t *T) {
		a := t.proc("a")
		b := append(stream(rawCommand([]byte{1, 2, 3, 4}, "")), stream(enter, leave)...)
		a.poke(own, b)
		a.writeReadAt(12, 4, own, 0, 0, 0)
		a.writeReadAt(12, 0, own, 0, 0, 0)
		a.writeReadAt(12, 12, own, 0, 0, 0)
		a.writeReadAt(12, 20, own, 0, 0, 0)
	}},
	{"ioctl/write-beyond-size", "a command that begins inside the size may end beyond it", nil, func(t *T) {
		a := t.proc("a")
		a.poke(own, stream(enter, acquire(7)))
		a.writeReadAt(6, 0, own, 0, 0, 0)
		a.writeReadAt(9, 0, own, 0, 0, 0)
		a.poke(own, stream(enter, leave))
		a.writeReadAt(1, 0, own, 0, 0, 0)
		a.writeReadAt(5, 0, own, 0, 0, 0)
	}},
	{"ioctl/write-unaligned", "the stream may be anywhere", nil, func(t *T) {
		a := t.proc("a")
		a.poke(own+1, stream(enter, acquire(7), leave))
		a.writeReadAt(16, 0, own+1, 0, 0, 0)
	}},
	{"ioctl/read-unwritable", "a read buffer that is nowhere: EFAULT", nil, func(t *T) {
		a := t.proc("a")
		a.writeReadAt(0, 0, 0, 256, 0, Unmapped)
		a.poke(own, stream(enter))
		a.writeReadAt(4, 0, own, 256, 0, Unmapped)
	}},
	{"ioctl/read-continued", "with read_consumed set the read goes on there, without BR_NOOP", nil, func(t *T) {
		a := t.proc("a")
		a.manage()
		b := t.proc("b")
		b.write(oneway(0, 1))
		b.writeReadAt(0, 0, 0, 256, 8, own)
		b.peek(own, 16)
	}},
	{"ioctl/read-full", "read_consumed at or beyond read_size", nil, func(t *T) {
		a := t.proc("a", nonblock)
		a.writeReadAt(0, 0, 0, 16, 16, own)
		a.writeReadAt(0, 0, 0, 16, 24, own)
	}},
	{"ioctl/write-fails-read-does-not-run", "after a write error read_consumed is 0 and nothing is read", nil, func(t *T) {
		a := t.proc("a")
		a.poke(own, []byte{1, 2, 3, 4})
		a.writeReadAt(4, 0, own, 256, 12, own+64)
	}},
	{"ioctl/read-into-device-memory", "a read buffer that may only be read: EFAULT", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(call(0, 1, "there must be a page"))
		a.writeReadAt(0, 0, 0, 256, 0, MapAddr)
	}},
	{"ioctl/compat", "the ioctls of a 32-bit process have the same structures", []Feature{Compat}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		bc := stream(oneway(0, 7))
		b.poke(own, bc)
		b.ioctl32(uapi.BINDER_VERSION, make([]byte, 4))
		b.ioctl32(uapi.BINDER_WRITE_READ, longs(uint64(len(bc)), 0, own, 256, 0, own+256))
		b.peek(own+256, 8)
		a.read(enter)
		a.ioctl32(uapi.BINDER_SET_IDLE_TIMEOUT, make([]byte, 8))
	}},
	{"ioctl/two-threads", "two threads of a process make ioctls at once", nil, func(t *T) {
		a := t.proc("a")
		b := a.newThread()
		a.read(enter)
		b.maxThreads(2)
		b.ioctl(uapi.BINDER_VERSION, make([]byte, 4))
	}},
}
