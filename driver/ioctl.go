// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Ioctl runs an ioctl other than BINDER_WRITE_READ. Its argument travels by value
// and comes back in r.Resp.BR. BINDER_FREEZE may complete later.
func (vm *VM) Ioctl(x *Exec, r *Request, cmd uint32, arg *[24]byte) {
	r.reset(vm)
	x.lock(vm)
	defer x.unlock()
	th := vm.caller(x, r)
	if th == nil {
		return
	}
	// Any ioctl spends the first return of a fresh thread, as in the C driver.
	defer func() { th.needReturn = false }()
	if cmd == uapi.BINDER_FREEZE {
		th.freeze(x, r, le.Uint32(arg[0:]), le.Uint32(arg[4:]), le.Uint32(arg[8:]))
		return
	}
	errno := th.ioctl(x, r, cmd, arg)
	r.Resp.BR = append(r.Resp.BR, arg[:]...)
	x.finish(r, errno)
}

func (th *Thread) ioctl(x *Exec, r *Request, cmd uint32, arg *[24]byte) unix.Errno {
	p := th.proc
	switch cmd {
	case uapi.BINDER_VERSION:
		le.PutUint32(arg[:], uapi.ProtocolVersion)
	case uapi.BINDER_SET_MAX_THREADS:
		p.maxThreads = le.Uint32(arg[:])
	case uapi.BINDER_SET_CONTEXT_MGR:
		return p.setManager(x, nil, r)
	case uapi.BINDER_SET_CONTEXT_MGR_EXT:
		return p.setManager(x, uapi.Object(arg[:]), r)
	case uapi.BINDER_THREAD_EXIT:
		if th.writing {
			return unix.EBUSY // the thread is in another call: only a broken guest gets here
		}
		th.release(x)
	case uapi.BINDER_GET_NODE_DEBUG_INFO:
		p.nodeDebugInfo(arg)
	case uapi.BINDER_GET_NODE_INFO_FOR_REF:
		return p.nodeInfoForRef(arg)
	case uapi.BINDER_GET_FROZEN_INFO:
		return p.vm.frozenInfo(arg)
	case uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION:
		p.spamDetection = le.Uint32(arg[:]) != 0
	case uapi.BINDER_GET_EXTENDED_ERROR:
		le.PutUint32(arg[0:], uint32(th.ee.id))
		le.PutUint32(arg[4:], th.ee.command)
		le.PutUint32(arg[8:], uint32(th.ee.param))
		th.ee = extendedError{command: uapi.BR_OK}
	default:
		return unix.EINVAL
	}
	return 0
}

// nodeDebugInfo fills arg with the first node whose ptr is above the given one.
func (p *Process) nodeDebugInfo(arg *[24]byte) {
	after := le.Uint64(arg[:])
	*arg = [24]byte{}
	var next *Node
	for ptr, n := range p.nodes {
		if ptr > after && (next == nil || ptr < next.ptr) {
			next = n
		}
	}
	if next == nil {
		return
	}
	le.PutUint64(arg[0:], next.ptr)
	le.PutUint64(arg[8:], next.cookie)
	le.PutUint32(arg[16:], flag(next.hasStrong))
	le.PutUint32(arg[20:], flag(next.hasWeak))
}

// nodeInfoForRef is for the context manager only.
func (p *Process) nodeInfoForRef(arg *[24]byte) unix.Errno {
	for i := 4; i < 24; i++ {
		if arg[i] != 0 {
			return unix.EINVAL
		}
	}
	if m := p.ctx.manager; m == nil || m.proc != p {
		return unix.EPERM
	}
	ref := p.ref(le.Uint32(arg[:]), true)
	if ref == nil {
		return unix.EINVAL
	}
	le.PutUint32(arg[4:], uint32(ref.node.localStrong+ref.node.internalStrong))
	le.PutUint32(arg[8:], uint32(ref.node.localWeak))
	return 0
}

func (vm *VM) frozenInfo(arg *[24]byte) unix.Errno {
	pid := le.Uint32(arg[:])
	var found bool
	var syncRecv, asyncRecv uint32
	for _, s := range vm.procs {
		p := s.proc
		if p == nil || p.pid != pid || p.closing {
			continue
		}
		found = true
		syncRecv |= flag(p.syncRecv) | flag(p.busy())<<1
		asyncRecv |= flag(p.asyncRecv)
	}
	if !found {
		return unix.EINVAL
	}
	le.PutUint32(arg[4:], syncRecv)
	le.PutUint32(arg[8:], asyncRecv)
	return 0
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
