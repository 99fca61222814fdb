// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Section 2: the mapping, and the buffers in it.
var mmapScenarios = []Scenario{
	{"mmap/writable", "PROT_WRITE: EPERM; the file may be mapped after that", nil, func(t *T) {
		a := t.proc("a", unmapped)
		a.mmap(defaultMap, unix.PROT_READ|unix.PROT_WRITE)
		a.mmap(defaultMap, unix.PROT_READ)
	}},
	{"mmap/mprotect", "a mapping never becomes writable: EACCES", nil, func(t *T) {
		a := t.proc("a")
		a.mprotect(MapAddr, defaultMap, unix.PROT_READ|unix.PROT_WRITE)
		a.mprotect(MapAddr, defaultMap, unix.PROT_READ)
	}},
	{"mmap/twice", "a second mapping of the file: EBUSY, even after munmap", nil, func(t *T) {
		a := t.proc("a")
		a.mmap(defaultMap, unix.PROT_READ)
		a.munmap(MapAddr, defaultMap)
		a.mmap(defaultMap, unix.PROT_READ)
	}},
	{"mmap/two-files", "two opens have a mapping each", nil, func(t *T) {
		a := t.proc("a")
		f := a.open("binder")
		a.on(f).mmap(defaultMap, unix.PROT_READ)
	}},
	{"mmap/none", "the target never mapped its buffer: BR_DEAD_REPLY, -ESRCH", nil, func(t *T) {
		a, b := t.proc("a", unmapped), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		b.extendedError()
		b.read(oneway(0, 1))
		b.extendedError()
	}},
	{"mmap/unmapped", "the target unmapped its buffer: BR_DEAD_REPLY, -ESRCH", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.munmap(MapAddr, defaultMap)
		b.read(call(0, 1))
		b.extendedError()
	}},
	{"mmap/unmapped-in-part", "unmapping a part of the buffer ends all of it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.munmap(MapAddr+64<<10, 4096)
		b.read(call(0, 1))
		b.extendedError()
	}},
	{"mmap/unmapped-while-queued", "the buffer is unmapped with a call queued: it is delivered all the same", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1))
		a.munmap(MapAddr, defaultMap)
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
	}},
	{"mmap/caller-unmapped", "a caller without a buffer can call; the reply fails, BR_DEAD_REPLY", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", unmapped)
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply())
		a.extendedError()
		b.extendedError()
	}},
	{"mmap/size-cap", "a mapping beyond 4 MiB is accepted; the buffer ends at 4 MiB", nil, func(t *T) {
		a, b := t.proc("a", mapped(8<<20)), t.proc("b")
		a.manage()
		b.read(call(0, 1, size(4<<20+8)))
		b.extendedError()
		a.read(enter)
		b.read(call(0, 1, size(4<<20)))
		a.peek(MapAddr+4<<20, 8)
	}},
	{"mmap/one-page", "the smallest buffer is one page", nil, func(t *T) {
		a, b := t.proc("a", mapped(4096)), t.proc("b")
		a.manage()
		b.read(call(0, 1, size(4097)))
		b.extendedError()
		a.read(enter)
		b.read(call(0, 1, size(4096)))
	}},
	{"mmap/layout", "data, offsets and extra space stand one after the other, each padded to 8", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "abc", extra(16)))
		a.read(free(a.got.Buffer), reply())
		a.read()
		b.read(call(0, 1, "abcdefghi", binder(0x10, 0x11), ptr("pointed to")))
	}},
	{"mmap/padding", "each buffer begins on 8 bytes; an empty one takes 8", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		t.serve(a, b, reply(), reply("1"), reply("12345678"), reply("123456789"), reply(), reply("x"))
	}},
	{"mmap/padding-is-zero", "the bytes between data and offsets, and behind a short PTR", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "abc", ptr("xyz")))
		a.peek(MapAddr, 64)
	}},
	{"mmap/best-fit", "the smallest range that fits is taken", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		got := t.serve(a, b, reply(fill(64)), reply("-"), reply(fill(32)), reply("-"), reply(fill(48)), reply("-"))
		b.write(free(got[0]), free(got[2]), free(got[4]))
		t.serve(a, b, reply(fill(32)), reply(fill(40)), reply(fill(64)))
	}},
	{"mmap/best-fit-split", "the rest of a range that was split is used", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		got := t.serve(a, b, reply(fill(64)), reply("-"))
		b.write(free(got[0]))
		t.serve(a, b, reply(fill(24)), reply(fill(40)), reply(fill(8)))
	}},
	{"mmap/coalesce", "neighbouring free ranges become one, in either order", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		got := t.serve(a, b, reply(fill(32)), reply(fill(32)), reply(fill(32)), reply("-"))
		b.write(free(got[0]), free(got[2]), free(got[1]))
		t.serve(a, b, reply(fill(96)))
	}},
	{"mmap/equal-fit", "of equal ranges, which one is taken", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		got := t.serve(a, b, reply(fill(32)), reply("-"), reply(fill(32)), reply("-"), reply(fill(32)), reply("-"))
		b.write(free(got[2]), free(got[0]), free(got[4]))
		t.serve(a, b, reply(fill(32)), reply(fill(32)), reply(fill(32)))
	}},
	{"mmap/equal-fit-after-reuse", "of equal ranges freed in another order, which one is taken", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		got := t.serve(a, b, reply(fill(32)), reply("-"), reply(fill(32)), reply("-"), reply(fill(32)), reply("-"))
		b.write(free(got[4]), free(got[2]), free(got[0]))
		t.serve(a, b, reply(fill(16)), reply(fill(32)), reply(fill(16)))
	}},
	{"mmap/full", "no room: BR_FAILED_REPLY, -ENOSPC; after a free there is", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, size(defaultMap-64)))
		c.read(call(0, 2, size(128)))
		c.extendedError()
		a.read(free(a.got.Buffer), reply())
		c.read(call(0, 3, size(128)))
	}},
	{"mmap/exactly-full", "a call may take the whole buffer, and the next fails", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, size(defaultMap)))
		c.read(call(0, 2))
		c.extendedError()
	}},
	{"mmap/one-too-many", "a call larger than the buffer: BR_FAILED_REPLY, -ENOSPC", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1, size(defaultMap+1)))
		b.extendedError()
	}},
	{"mmap/fragmented", "room that is not in one piece does not do", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", mapped(4096))
		a.manage()
		got := t.serve(a, b, reply(size(1024)), reply(size(1024)), reply(size(1024)), reply(size(1024)))
		b.write(free(got[0]), free(got[2]))
		a.read()
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(size(1032)))
		b.extendedError()
	}},
	{"mmap/freed-alone", "what a reply took is there again once its free has returned, whoever needs it next", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b", mapped(4096))
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b2 := b.newThread()
		b2.read(enter)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(size(4096)))
		b.write(free(b.got.Buffer))
		a.read(call(h, 2, size(4096)))
		b2.read(free(b2.got.Buffer), reply())
		b2.read()
		a.read(free(a.got.Buffer))
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(size(4096)))
		b.write(free(b.got.Buffer))
		b.write(free(b.got.Buffer))
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply(size(4096)))
	}},
	{"mmap/size-overflow", "sizes whose sum overflows: BR_FAILED_REPLY, -EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		for _, f := range []with{
			func(tr *uapi.TransactionData) { tr.DataSize = ^uint64(0) },
			func(tr *uapi.TransactionData) { tr.DataSize = ^uint64(7) },
			func(tr *uapi.TransactionData) { tr.DataSize, tr.OffsetsSize = 1<<63, 1<<63 },
			func(tr *uapi.TransactionData) { tr.OffsetsSize = ^uint64(7) },
		} {
			b.read(call(0, 1, f))
			b.extendedError()
		}
	}},
	{"mmap/extra-overflow", "a buffers_size that overflows: BR_FAILED_REPLY, -EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1, "data", extra(^uint64(7))))
		b.extendedError()
		b.read(call(0, 1, "data", extra(1<<63)))
		b.extendedError()
	}},
	{"mmap/async-half", "oneways get half of the buffer: BR_FAILED_REPLY, -ENOSPC beyond", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1, size(defaultMap/2+8)))
		b.extendedError()
		b.read(oneway(0, 2, size(defaultMap/2)))
		b.read(oneway(0, 3))
		b.extendedError()
	}},
	{"mmap/async-returned", "freeing a oneway's buffer gives its share back", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1, size(defaultMap/2)))
		a.read(enter)
		b.read(oneway(0, 2, size(16)))
		a.write(free(a.got.Buffer))
		b.read(oneway(0, 3, size(defaultMap/2)))
	}},
	{"mmap/async-does-not-limit-calls", "calls may take what oneways may not", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1, size(defaultMap/2)))
		b.read(call(0, 2, size(defaultMap/2)))
	}},
	{"mmap/calls-leave-async", "a oneway needs room as well as its share", nil, func(t *T) {
		a, b, c := t.proc("a"), t.proc("b"), t.proc("c")
		a.manage()
		b.read(call(0, 1, size(defaultMap-16)))
		c.read(oneway(0, 2, size(24)))
		c.extendedError()
	}},
	{"mmap/free-unknown", "BC_FREE_BUFFER of no buffer, or of an address inside one, is ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.write(free(MapAddr), free(0), free(Arena), free(^uint64(0)))
		a.read(enter)
		b.read(call(0, 1, "sixteen bytes ok"))
		a.write(free(a.got.Buffer+8), free(a.got.Buffer-8))
		a.peek(a.got.Buffer, 16)
		a.write(free(a.got.Buffer))
	}},
	{"mmap/free-twice", "a second BC_FREE_BUFFER of the same buffer is ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, binder(0x10, 0x11)))
		a.write(acquire(1), free(a.got.Buffer), free(a.got.Buffer))
		a.nodeInfo(1)
	}},
	{"mmap/free-undelivered", "BC_FREE_BUFFER of a buffer that was not delivered yet is ignored", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1, "still here"))
		a.write(free(MapAddr))
		a.read(enter)
	}},
	{"mmap/free-unreplied", "freeing a call's buffer before the reply does not answer it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1))
		a.write(free(a.got.Buffer))
		a.read(reply("done"))
	}},
	{"mmap/free-after-reply", "a call's buffer may be freed long after the reply", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "first"))
		a.read(reply())
		a.peek(a.got.Buffer, 5)
		a.write(free(a.got.Buffer))
	}},
	{"mmap/free-by-other-thread", "any thread of the process may free a buffer", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		th := a.newThread()
		a.read(enter)
		b.read(call(0, 1, "x"))
		th.write(free(a.got.Buffer))
		th.write(free(a.got.Buffer))
		a.read(reply())
	}},
	{"mmap/free-by-other-process", "another process cannot free it", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.write(call(0, 1, "mine"))
		b.write(free(a.got.Buffer))
		a.peek(a.got.Buffer, 4)
		a.write(free(a.got.Buffer))
	}},
	{"mmap/stale", "what a freed buffer held stays visible", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "not a secret"))
		a.write(free(a.got.Buffer))
		a.peek(a.got.Buffer, 12)
	}},
	{"mmap/clear", "with TF_CLEAR_BUF it does not: data, offsets and extra are zeroed", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "a secret", ptr("another"), flags(uapi.TF_CLEAR_BUF)))
		a.write(free(a.got.Buffer))
		a.peek(a.got.Buffer, 64)
	}},
	{"mmap/stale-reuse", "a smaller buffer in the same place leaves the rest of the old bytes", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "0123456789abcdef"))
		a.read(free(a.got.Buffer), reply())
		a.read()
		b.read(call(0, 2, "ABCD"))
		a.peek(a.got.Buffer, 16)
	}},
	{"mmap/copied-once", "the sender's later changes do not reach the receiver", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.poke(own, []byte("before"))
		b.write(call(0, 1, size(6), with(func(tr *uapi.TransactionData) { tr.Buffer = own })))
		b.poke(own, []byte("after!"))
		a.read(enter)
	}},
	{"mmap/failed-call-gives-back", "a call that fails after its buffer was taken gives it back", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, size(4096), handle(7)))
		b.read(call(0, 2, "at the start"))
	}},
	{"mmap/large-payload", "a payload of many pages arrives whole", nil, func(t *T) {
		a, b := t.proc("a", mapped(1<<20)), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, strings.Repeat("0123456789abcdef", 3000)))
	}},
	{"mmap/huge-payload", "a payload of a megabyte less two pages, as libbinder maps", nil, func(t *T) {
		a, b := t.proc("a", mapped(1<<20-8192)), t.proc("b")
		a.manage()
		a.read(enter)
		b.poke(own, []byte("begin"))
		b.read(call(0, 1, size(1<<20-8192), with(func(tr *uapi.TransactionData) { tr.Buffer = own })))
		a.read(free(a.got.Buffer), reply())
	}},
	{"mmap/fork", "a child has the memory of its parent, but not the mapping; its end is a close: parked threads return", []Feature{Fork}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1, "data"))
		a.read()
		a2 := a.newThread()
		a2.read(enter)
		a.forkPeek(Arena, 4)
		a.forkPeek(a.got.Buffer, 4)
		a.peek(a.got.Buffer, 4)
		a2.read()
	}},
	{"mmap/exec", "the mapping does not outlive exec: calls find no buffer, BR_DEAD_REPLY, -ESRCH; nor is there another", []Feature{Exec}, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.write(oneway(0, 1, "queued"))
		a.exec()
		b.read(call(0, 2))
		b.extendedError()
		a.mmap(defaultMap, unix.PROT_READ)
		a.read()
		a.peek(MapAddr, 8)
	}},
	{"mmap/after-exec", "a file that was opened before exec cannot be mapped after it: EINVAL", []Feature{Exec}, func(t *T) {
		a := t.proc("a", unmapped)
		a.exec()
		a.mmap(defaultMap, unix.PROT_READ)
		a.mmap(defaultMap, unix.PROT_READ|unix.PROT_WRITE)
	}},
	{"mmap/never-used", "memory of the mapping that no buffer has used", nil, func(t *T) {
		a := t.proc("a")
		a.peek(MapAddr, 8)
	}},
}

// size makes a transaction of n bytes, all zero, from memory that nothing uses.
func size(n uint64) with {
	return func(tr *uapi.TransactionData) { tr.DataSize, tr.Buffer = n, own }
}

// fill is n bytes of data.
func fill(n int) string { return strings.Repeat(".", n) }

// serve has b call the context manager a once for each reply, and keeps the replies'
// buffers. It returns their addresses.
func (t *T) serve(a, b *proc, replies ...cmd) (kept []uint64) {
	for _, r := range replies {
		b.write(call(0, 1))
		a.read()
		a.read(free(a.got.Buffer), r)
		b.read()
		kept = append(kept, b.got.Buffer)
	}
	return kept
}
