// SPDX-License-Identifier: Apache-2.0

package bindertest

import "virtbinder/driver/uapi"

// Section 4: the BC commands, and each misuse. Those of deaths, freezes and counts
// have sections of their own.
var commandScenarios = []Scenario{
	{"command/unknown", "an unknown command: EINVAL; what stands before it is executed, write_consumed points at it", nil, func(t *T) {
		a := t.proc("a")
		a.read(enter, rawCommand([]byte{1, 2, 3, 4}, "garbage"), leave)
	}},
	{"command/unknown-number", "the next number after the last command: EINVAL", nil, func(t *T) {
		a := t.proc("a")
		a.write(command(0x40086316, "", uint64(0)))
		a.write(command(0x000063ff, ""))
	}},
	{"command/wrong-size", "a known number with another size is unknown: EINVAL", nil, func(t *T) {
		a := t.proc("a")
		a.write(command(0x40086305, "", uint64(0)))
		a.write(command(0x0000630d|0x40040000, "", uint32(0)))
		a.write(command(uapi.BC_ENTER_LOOPER&^0xff00|0x6200, ""))
	}},
	{"command/return-code", "a BR code is no command: EINVAL", nil, func(t *T) {
		t.proc("a").write(command(uapi.BR_NOOP, ""))
	}},
	{"command/attempt-acquire", "BC_ATTEMPT_ACQUIRE: EINVAL", nil, func(t *T) {
		t.proc("a").write(enter, command(uapi.BC_ATTEMPT_ACQUIRE, "", uint64(0)), leave)
	}},
	{"command/acquire-result", "BC_ACQUIRE_RESULT: EINVAL", nil, func(t *T) {
		t.proc("a").write(enter, command(uapi.BC_ACQUIRE_RESULT, "", uint32(0)), leave)
	}},
	{"command/several", "one write may hold many commands", nil, func(t *T) {
		a := t.proc("a")
		a.write(enter, acquire(9), release(9), increfs(9), decrefs(9), free(0), leave)
	}},
	{"command/stops-at-return-error", "the write stops, without an error, once a call has failed", nil, func(t *T) {
		a := t.proc("a")
		a.read(enter, call(9, 1), call(9, 2), enter)
		a.extendedError()
		a.read()
	}},
	{"command/stops-until-read", "and stays stopped until the error is read", nil, func(t *T) {
		a := t.proc("a")
		a.write(call(9, 1))
		a.write(enter, leave)
		a.write(enter, leave)
		a.read(enter)
		a.write(enter, leave)
	}},
	{"command/oneways-in-one-write", "several oneways in one write: a completion each", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(oneway(0, 1), oneway(0, 2), oneway(0, 3))
	}},
	{"command/call-and-oneway", "a oneway after a call in the same write", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1), oneway(0, 2))
		b.read()
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		a.read()
	}},
	{"command/two-calls", "a second call before the first is answered: BR_FAILED_REPLY, -EPROTO", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		b.read(call(0, 1), call(0, 2))
		b.extendedError()
		a.read(enter)
		a.read(free(a.got.Buffer), reply())
		b.read()
	}},
	{"command/sg-without-objects", "BC_TRANSACTION_SG with room for nothing", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "plain", extra(0), with(func(tr *uapi.TransactionData) { tr.Extra = 0 })))
		a.read(free(a.got.Buffer), reply("plain", extra(8)))
	}},
	{"command/sg-unaligned", "a buffers_size that is no multiple of 8: BR_FAILED_REPLY, -EINVAL", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, "data", extra(12)))
		b.extendedError()
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply("data", extra(12)))
		a.extendedError()
		b.extendedError()
	}},
	{"command/free-buffer-order", "commands run in the order of the stream: a free before the reply", nil, func(t *T) {
		a, b := t.proc("a", mapped(4096)), t.proc("b")
		a.manage()
		a.read(enter)
		b.read(call(0, 1, size(4096)))
		a.read(free(a.got.Buffer), reply())
		a.read()
		b.read(call(0, 2, size(4096)))
	}},
	{"command/reply-then-call", "a reply and a new call in one write", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter)
		h := t.held(a, b, binder(0x10, 0x11))
		b2 := b.newThread()
		b2.read(enter)
		b.read(call(0, 2))
		a.read(free(a.got.Buffer), reply(), call(h, 3))
		b2.read(free(b2.got.Buffer), reply())
		a.read()
	}},
	{"command/transaction-truncated", "a transaction whose struct is unreadable: EFAULT, no completion", nil, func(t *T) {
		a := t.proc("a")
		end := uint64(Arena + ArenaSize)
		bc, _ := call(0, 1)(&layout{})
		a.poke(end-64, bc[:64])
		a.writeReadAt(68, 0, end-64, 256, 0, own)
		a.writeReadAt(0, 0, 0, 256, 0, own)
	}},
	{"command/each-truncated", "every command whose payload is unreadable: EFAULT", nil, func(t *T) {
		a := t.proc("a")
		end := uint64(Arena + ArenaSize)
		for _, code := range []uint32{
			uapi.BC_TRANSACTION, uapi.BC_REPLY, uapi.BC_TRANSACTION_SG, uapi.BC_REPLY_SG, uapi.BC_FREE_BUFFER, uapi.BC_INCREFS, uapi.BC_ACQUIRE,
			uapi.BC_RELEASE, uapi.BC_DECREFS, uapi.BC_INCREFS_DONE, uapi.BC_ACQUIRE_DONE, uapi.BC_REQUEST_DEATH_NOTIFICATION,
			uapi.BC_CLEAR_DEATH_NOTIFICATION, uapi.BC_DEAD_BINDER_DONE,
		} {
			a.poke(end-4, le.AppendUint32(nil, code))
			a.writeReadAt(4, 0, end-4, 0, 0, 0)
		}
	}},
	{"command/unsupported-truncated", "an unsupported command without payload: EINVAL", nil, func(t *T) {
		a := t.proc("a")
		end := uint64(Arena + ArenaSize)
		for _, code := range []uint32{uapi.BC_ATTEMPT_ACQUIRE, uapi.BC_ACQUIRE_RESULT} {
			a.poke(end-4, le.AppendUint32(nil, code))
			a.writeReadAt(4, 0, end-4, 0, 0, 0)
		}
	}},
	{"command/freeze-truncated", "freeze notification commands without payload: EFAULT", []Feature{FreezeNotice}, func(t *T) {
		a := t.proc("a")
		end := uint64(Arena + ArenaSize)
		for _, code := range []uint32{uapi.BC_REQUEST_FREEZE_NOTIFICATION, uapi.BC_CLEAR_FREEZE_NOTIFICATION, uapi.BC_FREEZE_NOTIFICATION_DONE} {
			a.poke(end-4, le.AppendUint32(nil, code))
			a.writeReadAt(4, 0, end-4, 0, 0, 0)
		}
	}},
	{"command/looper-states", "looper commands in any order are accepted", nil, func(t *T) {
		a := t.proc("a")
		a.write(register, enter, register, leave, enter, leave, leave)
		a.read()
	}},
	{"command/exit-looper-still-serves", "a looper that has sent BC_EXIT_LOOPER is still served", nil, func(t *T) {
		a, b := t.proc("a"), t.proc("b")
		a.manage()
		a.read(enter, leave)
		b.read(call(0, 1))
		a.read(free(a.got.Buffer), reply())
	}},
	{"command/many-pieces", "a write of many commands", nil, func(t *T) {
		a := t.proc("a")
		var all []cmd
		for range 100 {
			all = append(all, acquire(9), enter)
		}
		b := stream(all...)
		a.poke(own, b)
		a.writeReadAt(uint64(len(b)), 0, own, 0, 0, 0)
	}},
}
