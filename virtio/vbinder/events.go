// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"errors"

	"virtbinder/driver"
	"virtbinder/internal/lockrank"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder/wire"
)

const (
	// maxLevels and maxTokens bound what waits for event buffers. A driver that
	// follows the protocol cannot reach them: it has at most one level per open
	// file and one per thread. It holds a file for each token, and one window has
	// room for a million: its memory ends before there are as many.
	maxLevels = 1 << 20
	maxTokens = 1 << 24
)

var errEventsLost = errors.New("vbinder: the driver posts no event buffers while events pile up")

// level is something that is true until the driver was told: it is pending once,
// however often it is raised.
type level struct {
	kind driver.EventKind
	proc driver.ProcID
	tid  uint32 // 0 for EventPoll
}

// events is the event queue and what waits for its buffers.
type events struct {
	// Invariant after newEvents.
	dev *Device
	act *activation
	vq  *virtio.Queue

	mu      lockrank.Mutex // guards the rest
	pending map[level]struct{}
	order   fifo[level] // of pending
	tokens  fifo[uint32]
	spare   *eventSlot
	failed  bool
}

// eventSlot is one event on its way into a buffer.
type eventSlot struct {
	chain virtio.Chain
	buf   [wire.SizeofEvent]byte
	next  *eventSlot
}

func newEvents(d *Device, a *activation, vq *virtio.Queue) *events {
	e := &events{dev: d, act: a, vq: vq, pending: map[level]struct{}{}}
	e.mu.Init(lockrank.Device, "vbinder.events.mu")
	return e
}

// post queues an event and sends what there are buffers for.
func (e *events) post(ev driver.Event) {
	e.mu.Lock()
	ok := e.addLocked(ev)
	e.mu.Unlock()
	if !ok {
		e.act.fail(errEventsLost)
		return
	}
	e.drain()
}

// addLocked notes an event; it fails, once, when there are too many.
func (e *events) addLocked(ev driver.Event) bool {
	if e.failed {
		return true
	}
	if ev.Kind == driver.EventPut {
		e.tokens.push(ev.Token)
	} else {
		l := level{kind: ev.Kind, proc: ev.Proc, tid: ev.TID}
		if ev.Kind == driver.EventPoll {
			l.tid = 0
		}
		if _, set := e.pending[l]; set {
			return true
		}
		e.pending[l] = struct{}{}
		e.order.push(l)
	}
	e.failed = e.order.len() > maxLevels || e.tokens.len() > maxTokens
	return !e.failed
}

// drain sends events while there are any and buffers for them.
func (e *events) drain() {
	sent := false
	for {
		e.mu.Lock()
		s, err := e.takeLocked()
		e.mu.Unlock()
		if err != nil {
			e.act.fail(err)
		}
		if s == nil {
			break
		}
		written := e.write(s)
		e.vq.Push(&s.chain, written)
		sent = true
		e.mu.Lock()
		s.next, e.spare = e.spare, s
		e.mu.Unlock()
	}
	if sent {
		e.dev.stats.interrupts.Add(1)
		e.vq.Interrupt()
	}
}

// takeLocked pairs the oldest event with a buffer; nil if either is missing. A
// buffer that is too small comes with no event.
func (e *events) takeLocked() (*eventSlot, error) {
	if e.order.len() == 0 && e.tokens.len() == 0 {
		return nil, nil
	}
	s := e.spare
	if s == nil {
		s = &eventSlot{}
	} else {
		e.spare = s.next
	}
	ok, err := e.vq.Pop(&s.chain)
	if !ok || err != nil {
		s.next, e.spare = e.spare, s
		return nil, err
	}
	if s.chain.Writable() >= wire.SizeofEvent {
		e.fillLocked(s)
	}
	return s, nil
}

// fillLocked takes the next event: tokens first, as files wait to be closed.
func (e *events) fillLocked(s *eventSlot) {
	if n := min(e.tokens.len(), wire.EvTokens); n > 0 {
		var tokens [wire.EvTokens]uint32
		for i := range n {
			tokens[i] = e.tokens.pop()
		}
		wire.PutTokens(&s.buf, tokens[:n])
		return
	}
	l := e.order.pop()
	delete(e.pending, l)
	wire.PutEvent(&s.buf, l.kind, l.proc, l.tid)
}

// write copies an event into its buffer and returns how many bytes it wrote.
func (e *events) write(s *eventSlot) uint32 {
	if s.chain.Writable() < wire.SizeofEvent {
		e.dev.stats.bad.Add(1)
		return 0
	}
	if err := s.chain.WriteAt(s.buf[:], 0); err != nil {
		if !errors.Is(err, virtio.ErrReset) {
			e.act.fail(err)
		}
		return 0
	}
	e.dev.stats.events.Add(1)
	return wire.SizeofEvent
}
