// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// freezeNotice is one registered freeze notification (BC_REQUEST_FREEZE_NOTIFICATION).
type freezeNotice struct {
	work
	proc    *Process
	cookie  uint64
	frozen  bool
	sent    bool // read, not acknowledged
	resend  bool
	cleared bool
}

func (f *freezeNotice) deliver(x *Exec, th *Thread, r *Request) bool {
	if f.cleared {
		th.put64(r, uapi.BR_CLEAR_FREEZE_NOTIFICATION_DONE, f.cookie)
		f.proc.gone(statFreeze)
		return false
	}
	f.sent = true
	th.proc.deliveredFreeze.push(&f.work)
	th.put64(r, uapi.BR_FROZEN_BINDER, f.cookie)
	var frozen uint32
	if f.frozen {
		frozen = 1
	}
	r.Resp.BR = le.AppendUint32(le.AppendUint32(r.Resp.BR, frozen), 0)
	return true
}

func (f *freezeNotice) cancel(*Exec) {
	if f.cleared {
		f.proc.gone(statFreeze)
	}
}

func (p *Process) requestFreezeNotice(x *Exec, handle uint32, cookie uint64) unix.Errno {
	ref := p.ref(handle, false)
	if ref == nil || ref.freeze != nil {
		return unix.EINVAL
	}
	if !p.room(statFreeze) {
		return unix.ENOMEM
	}
	f := &freezeNotice{proc: p, cookie: cookie}
	f.item = f
	ref.freeze = f
	p.made(statFreeze)
	if owner := ref.node.proc; owner != nil {
		f.frozen = owner.frozen
		p.todo.push(&f.work)
		p.wake(x)
	}
	return 0
}

func (p *Process) clearFreezeNotice(x *Exec, handle uint32, cookie uint64) unix.Errno {
	ref := p.ref(handle, false)
	if ref == nil || ref.freeze == nil || ref.freeze.cookie != cookie {
		return unix.EINVAL
	}
	f := ref.freeze
	ref.freeze = nil
	f.cleared = true
	if !f.queued() {
		p.todo.push(&f.work)
		p.wake(x)
	} else if f.sent {
		f.resend = true
	}
	return 0
}

func (p *Process) freezeNoticeDone(x *Exec, cookie uint64) unix.Errno {
	for w := p.deliveredFreeze.head; w != nil; w = w.next {
		f := w.item.(*freezeNotice)
		if f.cookie != cookie {
			continue
		}
		w.unlink()
		f.sent = false
		if f.resend {
			f.resend = false
			p.todo.push(w)
			p.wake(x)
		}
		return 0
	}
	return unix.EINVAL
}

// tellFreeze announces the process's new state to whoever registered for it. It holds
// each of its nodes meanwhile: one that only waits for an acknowledgement is work for
// the owner again when it is let go, as in the driver since 6.12.
func (p *Process) tellFreeze(x *Exec, frozen bool) {
	var held *Node
	for _, ptr := range sortedKeys(p.nodes) {
		n := p.nodes[ptr]
		n.tmp++
		if held != nil {
			held.put(x)
		}
		held = n
		for ref := n.refs; ref != nil; ref = ref.nextOfNode {
			f := ref.freeze
			if f == nil {
				continue
			}
			if !f.queued() {
				f.frozen = frozen
				ref.proc.todo.push(&f.work)
				ref.proc.wake(x)
				continue
			}
			if f.sent && f.frozen != frozen {
				f.resend = true
			}
			f.frozen = frozen
		}
	}
	if held != nil {
		held.put(x)
	}
}

// freezeWait is a BINDER_FREEZE that waits for its targets to drain, one after the
// other, as the driver's loop does.
type freezeWait struct {
	r       *Request
	th      *Thread
	targets []*Process
	timeout time.Duration
	timer   *time.Timer
	over    bool
}

// freeze is BINDER_FREEZE on all of this VM's processes with that pid.
func (th *Thread) freeze(x *Exec, r *Request, pid, enable, timeoutMS uint32) {
	if th.freezing != nil {
		x.finish(r, unix.EBUSY) // one thread makes one call at a time
		return
	}
	vm := th.proc.vm
	var targets []*Process
	for i := len(vm.procs) - 1; i >= 0; i-- {
		if p := vm.procs[i].proc; p != nil && p.pid == pid && !p.closing {
			targets = append(targets, p)
		}
	}
	if len(targets) == 0 {
		x.finish(r, unix.EINVAL)
		return
	}
	if enable == 0 {
		for _, p := range targets {
			p.syncRecv, p.asyncRecv, p.frozen = false, false, false
			p.tellFreeze(x, false)
		}
		x.finish(r, 0)
		return
	}
	w := &freezeWait{r: r, th: th, targets: targets, timeout: time.Duration(timeoutMS) * time.Millisecond}
	w.begin(x)
}

// begin freezes the next target, and waits if it has transactions and may: without
// room to wait the time is up at once.
func (w *freezeWait) begin(x *Exec) {
	for len(w.targets) > 0 {
		p := w.targets[0]
		p.syncRecv, p.asyncRecv, p.frozen = false, false, true
		var errno unix.Errno
		if w.timeout > 0 && p.outstanding > 0 && !w.r.NoPark {
			if !w.th.cancels(w.r.Seq) {
				p.freezers, w.th.freezing = append(p.freezers, w), w
				w.arm(p.vm)
				return
			}
			errno = unix.EINTR
		}
		if !w.settle(x, errno) {
			return
		}
	}
	x.finish(w.r, 0)
}

// settle decides the target at hand: frozen, or thawed again with an error.
func (w *freezeWait) settle(x *Exec, errno unix.Errno) bool {
	p := w.targets[0]
	w.targets = w.targets[1:]
	if errno == 0 && p.busy() {
		errno = unix.EAGAIN
	}
	if errno == 0 {
		p.tellFreeze(x, true)
		return true
	}
	p.frozen = false
	switch errno {
	case unix.ENODEV:
		x.gone(w.r)
		return false
	case unix.EINTR:
		w.r.Resp.Flags |= RespCancelled
	}
	x.finish(w.r, errno)
	return false
}

// busy says that a process has transactions queued, served, or made.
func (p *Process) busy() bool {
	if p.outstanding > 0 {
		return true
	}
	for _, th := range p.threads {
		if th.stack != nil {
			return true
		}
	}
	return false
}

// arm starts the clock for the target at hand.
func (w *freezeWait) arm(vm *VM) {
	w.over = false
	p := w.targets[0]
	w.timer = time.AfterFunc(w.timeout, func() { vm.freezeTimeout(&Exec{}, w, p) })
}

// freezeTimeout ends the wait for p, whose time is up. By now w may wait for another.
func (vm *VM) freezeTimeout(x *Exec, w *freezeWait, p *Process) {
	x.lock(vm)
	defer x.unlock()
	if !w.over && w.targets[0] == p && !vm.lost {
		w.interrupt(x, 0)
	}
}

// interrupt ends the wait for the target at hand before it is drained.
func (w *freezeWait) interrupt(x *Exec, errno unix.Errno) {
	p := w.targets[0]
	i := slices.Index(p.freezers, w)
	p.freezers = slices.Delete(p.freezers, i, i+1)
	w.resume(x, errno)
}

// resume goes on after a wait: drained, timed out, or interrupted.
func (w *freezeWait) resume(x *Exec, errno unix.Errno) {
	w.over, w.th.freezing = true, nil
	w.timer.Stop()
	if w.settle(x, errno) {
		w.begin(x)
	}
}

// endFreezeWaits lets the freezes go on that waited for this process to drain.
func (p *Process) endFreezeWaits(x *Exec) {
	ws := p.freezers
	p.freezers = nil
	for _, w := range ws {
		w.resume(x, 0)
	}
}
