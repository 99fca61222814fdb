// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"slices"

	"virtbinder/internal/lockrank"
)

// Step 7 of a transaction's way ends here: what was decided under the lock is carried
// out after it.

// Exec is one caller's way into the core: scratch memory that is reused from call
// to call, and the effects that locked sections decided and that are carried out
// after unlock. A goroutine that feeds a core owns one; it must not be shared.
type Exec struct {
	// Tag is the caller's, for Env.Complete to recognise its own Exec by.
	Tag any

	core *Core
	vm   *VM  // whose call it is
	held bool // Core.mu

	ready    []*Thread // claimed: their parked reads run before unlock
	done     []*Request
	reports  []vmReport
	notices  []vmNotice
	events   []vmEvent
	releases []span

	token tokenReader
	build builder // the transaction being built; its slices are reused
}

type vmReport struct {
	env Env
	r   Report

	// Where the sender's data begins; req is nil if nobody wants to know.
	req              *Request
	dataPos, dataLen uint64
}

type vmEvent struct {
	env Env
	e   Event
}

type span struct {
	env       Env
	off, size uint64
}

// EventKind says what an Event tells.
type EventKind uint32

const (
	// EventPoll: some thread of the process became readable.
	EventPoll EventKind = 1
	// EventThread: a read that was answered as waiting may be sent again.
	EventThread EventKind = 2
	// EventPut: drop Token; it will not be delivered.
	EventPut EventKind = 3
)

// Event is something that the guest driver must learn though no request waits.
type Event struct {
	Kind  EventKind
	Proc  ProcID
	TID   uint32
	Token uint32
}

func (x *Exec) lock(vm *VM) {
	x.core, x.vm = vm.core, vm
	x.relock()
}

// relock and drop are for the one place where a call lets go of the lock half-way.
func (x *Exec) relock() {
	x.core.mu.Lock()
	x.held = true
}

func (x *Exec) drop() {
	x.held = false
	x.core.mu.Unlock()
}

// unlock ends a locked section, and has to be deferred. It runs the reads that became
// ready, releases Core.mu and carries out what was decided under it. If the section
// panicked, that is contained.
func (x *Exec) unlock() {
	if v := recover(); v != nil {
		x.contain(v)
		return
	}
	if !x.held {
		return // the goroutine ends within a copy (runtime.Goexit), as a test's does that fails there
	}
	defer func() {
		if v := recover(); v != nil {
			x.contain(v)
		}
	}()
	x.runReady()
	x.drop()
	x.flush()
}

// flush carries out the effects: reports first, so that they are built and gone
// before anybody can read the failure, then responses, events, and freed memory.
func (x *Exec) flush() {
	lockrank.AssertNone("publishing")
	if len(x.reports)+len(x.notices) > 0 {
		x.flushReports()
	}
	for i, r := range x.done {
		x.done[i] = nil
		r.vm.env.Complete(x, r)
	}
	x.done = x.done[:0]
	for i := range x.events {
		x.events[i].env.Event(x, x.events[i].e)
	}
	x.events = spare(x.events)
	for _, s := range x.releases {
		s.env.Release(s.off, s.size)
	}
	x.releases = x.releases[:0]
}

// flushReports hands on reports and notices. A request that failed is answered by
// the same flush, so until then the memory that it carries is there.
func (x *Exec) flushReports() {
	for i := range x.reports {
		rep := &x.reports[i]
		if rep.req != nil && slices.Contains(x.done, rep.req) {
			rep.r.Interface = x.token.interfaceOf(rep)
		}
		rep.env.Report(rep.r)
	}
	clear(x.reports)
	x.reports = x.reports[:0]
	for i := range x.notices {
		x.notices[i].to.Notice(x.notices[i].n)
	}
	x.notices = x.notices[:0]
}

func (x *Exec) event(vm *VM, e Event) { x.events = append(x.events, vmEvent{vm.env, e}) }

// putToken drops a file that the guest holds for us.
func (x *Exec) putToken(vm *VM, token uint32) {
	if token != 0 {
		x.event(vm, Event{Kind: EventPut, Token: token})
	}
}

// wake makes th run its parked read before the lock is released: it is picked for
// work, and waits no more.
func (x *Exec) wake(th *Thread) {
	th.leaveWaiting()
	x.rouse(th)
}

// rouse is wake where there is no work for th: until it runs it counts as one that
// waits. It is the only way a read becomes claimed.
func (x *Exec) rouse(th *Thread) {
	switch {
	case th.parked:
		th.parked = false
		x.ready = append(x.ready, th)
	case th.absent:
		th.leaveWaiting()
		th.absent = false
		x.event(th.proc.vm, Event{Kind: EventThread, Proc: th.proc.id, TID: th.tid})
	}
	if th.looper&looperPoll != 0 {
		th.proc.pollWake(x)
	}
}

func (x *Exec) runReady() {
	for i := 0; i < len(x.ready); i++ {
		th := x.ready[i]
		x.ready[i] = nil
		if th.reading != nil && !th.parked {
			th.resumeRead(x)
		}
	}
	x.ready = x.ready[:0]
}
