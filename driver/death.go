// SPDX-License-Identifier: Apache-2.0

package driver

import "virtbinder/driver/uapi"

// death is one registered death notification. It outlives its registration while a
// notice is on its way or unacknowledged.
type death struct {
	work
	proc   *Process
	cookie uint64
	state  deathState
}

type deathState uint8

const (
	deathIdle     deathState = iota
	deathDue                 // BR_DEAD_BINDER queued, or read and not acknowledged
	deathDueClear            // the same, and cleared meanwhile: say so after the acknowledgement
	deathCleared             // BR_CLEAR_DEATH_NOTIFICATION_DONE queued
)

func (d *death) deliver(x *Exec, th *Thread, r *Request) bool {
	if d.state == deathCleared {
		th.put64(r, uapi.BR_CLEAR_DEATH_NOTIFICATION_DONE, d.cookie)
		d.proc.gone(statDeath)
		return false
	}
	th.proc.delivered.push(&d.work)
	th.put64(r, uapi.BR_DEAD_BINDER, d.cookie)
	return true // the reader will call about it
}

func (d *death) cancel(*Exec) {
	// Registered ones are counted off with their handle.
	if d.state == deathCleared || d.state == deathDueClear {
		d.proc.gone(statDeath)
	}
}

// requestDeath is BC_REQUEST_DEATH_NOTIFICATION; misuse is logged and ignored.
func (th *Thread) requestDeath(x *Exec, handle uint32, cookie uint64) {
	p := th.proc
	if !p.room(statDeath) {
		th.fail(x, uapi.BR_ERROR)
		return
	}
	ref := p.ref(handle, false)
	if ref == nil || ref.death != nil {
		p.userError("asks for a death notification that it cannot have", "handle", handle)
		return
	}
	d := &death{proc: p, cookie: cookie}
	d.item = d
	ref.death = d
	p.made(statDeath)
	if ref.node.proc == nil {
		d.state = deathDue
		p.todo.push(&d.work)
		p.wake(x)
	}
}

// clearDeath is BC_CLEAR_DEATH_NOTIFICATION.
func (th *Thread) clearDeath(x *Exec, handle uint32, cookie uint64) {
	p := th.proc
	ref := p.ref(handle, false)
	if ref == nil || ref.death == nil || ref.death.cookie != cookie {
		p.userError("clears a death notification that it does not have", "handle", handle)
		return
	}
	d := ref.death
	ref.death = nil
	if !d.queued() {
		th.announceCleared(x, d)
		return
	}
	d.state = deathDueClear
}

// announceCleared queues BR_CLEAR_DEATH_NOTIFICATION_DONE: to the clearing thread
// if it is a looper, else to the process.
func (th *Thread) announceCleared(x *Exec, d *death) {
	d.state = deathCleared
	if th.looper&(looperRegistered|looperEntered) != 0 {
		th.enqueueOwn(x, &d.work)
		return
	}
	th.proc.todo.push(&d.work)
	th.proc.wake(x)
}

// deadBinderDone is BC_DEAD_BINDER_DONE.
func (th *Thread) deadBinderDone(x *Exec, cookie uint64) {
	for w := th.proc.delivered.head; w != nil; w = w.next {
		d := w.item.(*death)
		if d.cookie != cookie {
			continue
		}
		w.unlink()
		if d.state == deathDueClear {
			th.announceCleared(x, d)
		}
		return
	}
	th.proc.userError("acknowledges a death that it was not told", "cookie", cookie)
}
