// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// stage is where cases are played. Its methods panic with stopped when a step
// cannot be taken; play recovers that.
type stage struct {
	binder, hwbinder string
	out              *json.Encoder
	markers          bool
	marker           *actor
	actors           []*actor
	number           uint32
}

type stopped struct{ err error }

func stop(format string, args ...any) { panic(stopped{fmt.Errorf(format, args...)}) }

// actor is a puppet with a part in a case.
type actor struct {
	*puppet
	role string
}

// Bytes of a mapping, and where one that is not made is meant.
const (
	roomy = 1 << 20
	noMap = 0
)

// actor starts a process that has the device open.
func (s *stage) actor(role, path string, mapped int) *actor { return s.actorIn(0, role, path, mapped) }

func (s *stage) actorIn(flags uintptr, role, path string, mapped int) *actor {
	p, err := startPuppet(flags, role)
	if err != nil {
		stop("%s: %w", role, err)
	}
	a := &actor{p, role}
	s.actors = append(s.actors, a)
	a.must(step{Do: "open", Path: path, Map: mapped})
	return a
}

// server starts the context manager. The last one's release may take a moment.
func (s *stage) server(role string, mapped int, flags uint32) *actor {
	a := s.actor(role, s.binder, mapped)
	object := make([]byte, uapi.SizeFlatBinderObject)
	le.PutUint32(object, uapi.BINDER_TYPE_BINDER)
	le.PutUint32(object[4:], flags)
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		switch errno := a.try(step{Do: "ioctl", Ioctl: uapi.BINDER_SET_CONTEXT_MGR_EXT, Arg: object}).Errno; {
		case errno == 0:
			a.must(step{Do: "send", Raw: le.AppendUint32(nil, uapi.BC_ENTER_LOOPER)})
			return a
		case errno != unix.EBUSY || time.Now().After(end):
			stop("%s: become context manager: %w", role, errno)
		}
	}
}

func (s *stage) closeAll() {
	for _, a := range s.actors {
		if a.cmd.ProcessState == nil {
			a.kill()
		}
	}
}

// try takes a step that may fail; must one that may not.
func (a *actor) try(st step) outcome {
	o, err := a.do(st)
	if err != nil {
		stop("%s: %s: %w", a.role, st.Do, err)
	}
	return o
}

func (a *actor) must(st step) outcome {
	o := a.try(st)
	if o.Errno != 0 {
		stop("%s: %s: %w", a.role, st.Do, o.Errno)
	}
	return o
}

func (a *actor) pid() uint32 { return uint32(a.cmd.Process.Pid) }

func (a *actor) send(t transact) { a.must(step{Do: "send", Send: &t}) }

func (a *actor) read(n int) []back { return a.must(step{Do: "read", Want: n}).BR }

// serve reads the next call. Requests for references may come before it.
func (a *actor) serve() back {
	for {
		b := a.read(1)[0]
		if b.Code == uapi.BR_TRANSACTION {
			return b
		}
	}
}

// extended is the thread's extended error; the driver resets it.
func (a *actor) extended() *[2]int32 {
	arg := a.must(step{Do: "ioctl", Ioctl: uapi.BINDER_GET_EXTENDED_ERROR, Arg: make([]byte, 12)}).Arg
	return &[2]int32{int32(le.Uint32(arg[4:])), int32(le.Uint32(arg[8:]))}
}

// freeze freezes another process.
func (a *actor) freeze(target *actor) {
	arg := le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, target.pid()), 1), 1000)
	a.must(step{Do: "ioctl", Ioctl: uapi.BINDER_FREEZE, Arg: arg})
}

// done ends a case: its result is printed, its marker made.
func (s *stage) done(r Result, cast ...*actor) {
	r.Number, r.Roles = s.number, map[string]uint32{}
	s.number++
	for _, a := range cast {
		r.Roles[a.role] = a.pid()
	}
	if s.markers {
		s.marker.send(transact{Handle: 1 << 30, Code: MarkerCode + r.Number})
		s.marker.read(1)
	}
	if err := s.out.Encode(r); err != nil {
		stop("%w", err)
	}
}

// failing plays a case of one transaction whose sender reads n codes.
func (s *stage) failing(name string, n int, sender *actor, t transact, others ...*actor) {
	sender.send(t)
	br := names(sender.read(n))
	s.done(Result{Case: name, Sender: br, Extended: sender.extended()}, append(others, sender)...)
}
