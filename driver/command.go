// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Step 5 of a transaction's way begins here: the stream of one BINDER_WRITE_READ,
// command by command.

// command is one row of the BC table: the size of what follows the code comes from
// the code itself.
type command struct {
	code uint32
	run  func(th *Thread, x *Exec, r *Request, arg []byte) unix.Errno
}

// commands is indexed by the number in the code. One without run is refused as an
// unknown code is.
var commands = [...]command{
	{uapi.BC_TRANSACTION, (*Thread).cmdTransaction},
	{uapi.BC_REPLY, (*Thread).cmdReply},
	{uapi.BC_ACQUIRE_RESULT, nil}, // never implemented
	{uapi.BC_FREE_BUFFER, func(th *Thread, x *Exec, r *Request, arg []byte) unix.Errno {
		th.freeBuffer(x, r, le.Uint64(arg))
		return 0
	}},
	{uapi.BC_INCREFS, refCommand(true, false)},
	{uapi.BC_ACQUIRE, refCommand(true, true)},
	{uapi.BC_RELEASE, refCommand(false, true)},
	{uapi.BC_DECREFS, refCommand(false, false)},
	{uapi.BC_INCREFS_DONE, doneCommand(false)},
	{uapi.BC_ACQUIRE_DONE, doneCommand(true)},
	{uapi.BC_ATTEMPT_ACQUIRE, nil}, // never implemented
	{uapi.BC_REGISTER_LOOPER, (*Thread).cmdRegisterLooper},
	{uapi.BC_ENTER_LOOPER, (*Thread).cmdEnterLooper},
	{uapi.BC_EXIT_LOOPER, func(th *Thread, _ *Exec, _ *Request, _ []byte) unix.Errno {
		th.looper |= looperExited
		return 0
	}},
	{uapi.BC_REQUEST_DEATH_NOTIFICATION, func(th *Thread, x *Exec, _ *Request, arg []byte) unix.Errno {
		th.requestDeath(x, le.Uint32(arg), le.Uint64(arg[4:]))
		return 0
	}},
	{uapi.BC_CLEAR_DEATH_NOTIFICATION, func(th *Thread, x *Exec, _ *Request, arg []byte) unix.Errno {
		th.clearDeath(x, le.Uint32(arg), le.Uint64(arg[4:]))
		return 0
	}},
	{uapi.BC_DEAD_BINDER_DONE, func(th *Thread, x *Exec, _ *Request, arg []byte) unix.Errno {
		th.deadBinderDone(x, le.Uint64(arg))
		return 0
	}},
	{uapi.BC_TRANSACTION_SG, (*Thread).cmdTransaction},
	{uapi.BC_REPLY_SG, (*Thread).cmdReply},
	{uapi.BC_REQUEST_FREEZE_NOTIFICATION, func(th *Thread, x *Exec, _ *Request, arg []byte) unix.Errno {
		return th.proc.requestFreezeNotice(x, le.Uint32(arg), le.Uint64(arg[4:]))
	}},
	{uapi.BC_CLEAR_FREEZE_NOTIFICATION, func(th *Thread, x *Exec, _ *Request, arg []byte) unix.Errno {
		return th.proc.clearFreezeNotice(x, le.Uint32(arg), le.Uint64(arg[4:]))
	}},
	{uapi.BC_FREEZE_NOTIFICATION_DONE, func(th *Thread, x *Exec, _ *Request, arg []byte) unix.Errno {
		return th.proc.freezeNoticeDone(x, le.Uint64(arg))
	}},
}

func refCommand(inc, strong bool) func(*Thread, *Exec, *Request, []byte) unix.Errno {
	return func(th *Thread, x *Exec, _ *Request, arg []byte) unix.Errno {
		return th.proc.refCommand(x, le.Uint32(arg), inc, strong)
	}
}

func doneCommand(strong bool) func(*Thread, *Exec, *Request, []byte) unix.Errno {
	return func(th *Thread, x *Exec, _ *Request, arg []byte) unix.Errno {
		th.proc.acknowledge(x, le.Uint64(arg), le.Uint64(arg[8:]), strong)
		return 0
	}
}

func lookup(code uint32) *command {
	if n := code & 0xff; int(n) < len(commands) && commands[n].code == code && commands[n].run != nil {
		return &commands[n]
	}
	return nil
}

// WriteRead runs one BINDER_WRITE_READ: the stream up to the first failure or
// queued return error, exactly once, then the read. r comes back through
// Env.Complete, at once or when its read ends.
func (vm *VM) WriteRead(x *Exec, r *Request) {
	r.reset(vm)
	x.lock(vm)
	defer x.unlock()
	defer r.returnFiles()
	th := vm.caller(x, r)
	if th == nil {
		return
	}
	if th.reading != nil || th.writing {
		x.finish(r, unix.EBUSY) // one thread makes one call at a time; only a broken guest gets here
		return
	}
	th.absent = false
	th.leaveWaiting()
	th.writing = true
	errno := th.write(x, r)
	th.writing = false
	switch {
	case th.dead || th.proc.dead:
		x.gone(r)
	case errno == 0 && (r.Partial || r.Resp.Flags&RespRetry != 0):
		x.finish(r, 0) // the same call goes on in another request
		th.passOn(x)
	case errno != 0 || r.ReadSize == 0:
		th.needReturn = false
		x.finish(r, errno)
		th.passOn(x)
	default:
		th.startRead(x, r)
	}
}

// write executes the stream. What was executed stays executed.
func (th *Thread) write(x *Exec, r *Request) unix.Errno {
	s := r.Stream
	pos := 0
	for pos < len(s) {
		if th.returnError.cmd != uapi.BR_OK {
			r.Resp.Flags |= RespStopped
			return 0
		}
		if len(s)-pos < 4 {
			return unix.EFAULT
		}
		code := le.Uint32(s[pos:])
		th.proc.countBC(code)
		cmd := lookup(code)
		if cmd == nil {
			return unix.EINVAL
		}
		end := pos + 4 + uapi.PayloadSize(code)
		if end > len(s) {
			return unix.EFAULT
		}
		if errno := cmd.run(th, x, r, s[pos+4:end]); errno != 0 {
			return errno
		}
		if r.Resp.Flags&RespRetry != 0 {
			return 0
		}
		pos = end
		r.Resp.WriteConsumed = uint64(pos)
		if th.dead {
			return 0
		}
	}
	if r.Fault && th.returnError.cmd == uapi.BR_OK {
		return unix.EFAULT
	}
	return 0
}

func (th *Thread) cmdTransaction(x *Exec, r *Request, arg []byte) unix.Errno {
	return th.transact(x, r, arg, false)
}

func (th *Thread) cmdReply(x *Exec, r *Request, arg []byte) unix.Errno {
	return th.transact(x, r, arg, true)
}

func (th *Thread) transact(x *Exec, r *Request, arg []byte, reply bool) unix.Errno {
	if len(r.Gather) == 0 {
		return unix.EFAULT // the guest driver could not gather for it
	}
	g := &r.Gather[0]
	tr := uapi.DecodeTransactionData(arg, len(arg) > uapi.SizeTransactionData)
	if target := th.misjudged(g, &tr, reply); target != nil {
		r.Resp.Flags |= RespRetry
		r.Resp.Val = uint64(target.id)
		return 0
	}
	r.Gather = r.Gather[1:]
	x.build.run(x, th, r, g, tr, reply)
	return 0
}

func (th *Thread) cmdRegisterLooper(*Exec, *Request, []byte) unix.Errno {
	p := th.proc
	switch {
	case th.looper&looperEntered != 0:
		th.looper |= looperInvalid
		p.userError("sends BC_REGISTER_LOOPER after BC_ENTER_LOOPER", "tid", th.tid)
	case p.requestedThreads == 0:
		th.looper |= looperInvalid
		p.userError("sends BC_REGISTER_LOOPER without a request", "tid", th.tid)
	default:
		p.requestedThreads--
		p.startedThreads++
	}
	th.looper |= looperRegistered
	return 0
}

func (th *Thread) cmdEnterLooper(*Exec, *Request, []byte) unix.Errno {
	if th.looper&looperRegistered != 0 {
		th.looper |= looperInvalid
		th.proc.userError("sends BC_ENTER_LOOPER after BC_REGISTER_LOOPER", "tid", th.tid)
	}
	th.looper |= looperEntered
	return 0
}
