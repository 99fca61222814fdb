// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"virtbinder/internal/journal"
	"virtbinder/vmm/api"
)

// maxEvents bounds what is remembered of a VM's life; pausing and resuming it often
// forgets the oldest.
const maxEvents = 1024

// Events is what happened to a VM, but for failures, which are in its journal.
type Events struct {
	vm string

	mu    sync.Mutex
	state eventsState // guarded by mu
}

type eventsState struct {
	first uint64 // number of list[0]
	list  []api.Event
	ended bool
	more  chan struct{} // closed at the next event
}

// NewEvents begins the story of a VM.
func NewEvents(vm string) *Events {
	return &Events{vm: vm, state: eventsState{more: make(chan struct{})}}
}

// Started says that the VM runs.
func (e *Events) Started() { e.add(api.Event{Kind: api.EventStarted}) }

// Paused says that it stands still.
func (e *Events) Paused() { e.add(api.Event{Kind: api.EventPaused}) }

// Resumed says that it goes on.
func (e *Events) Resumed() { e.add(api.Event{Kind: api.EventResumed}) }

// Stopping says that its power button was pressed.
func (e *Events) Stopping() { e.add(api.Event{Kind: api.EventStopping}) }

// Ended is the last event; err is why the VM could not go on, if that is how.
func (e *Events) Ended(exit string, code int, err error) {
	last := api.Event{Kind: api.EventEnded, Exit: exit, Code: code}
	if err != nil {
		last.Error = err.Error()
	}
	e.add(last)
}

func (e *Events) add(ev api.Event) {
	ev.Time, ev.VM = time.Now(), e.vm
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &e.state
	if s.ended {
		return
	}
	if len(s.list) == maxEvents {
		s.list = append(s.list[:0], s.list[1:]...)
		s.first++
	}
	s.list = append(s.list, ev)
	s.ended = ev.Kind == api.EventEnded
	close(s.more)
	s.more = make(chan struct{})
}

// next returns the events from number on, how many before them are forgotten, and a
// channel that is closed when there are more.
func (e *Events) next(number uint64) (events []api.Event, lost uint64, more <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &e.state
	if number < s.first {
		lost, number = s.first-number, s.first
	}
	return append(events, s.list[number-s.first:]...), lost, s.more
}

// follow calls send with all events until the last one, the end of ctx, or an error of
// send.
func (e *Events) follow(ctx context.Context, send func(api.Event) error) error {
	for number := uint64(0); ; {
		events, lost, more := e.next(number)
		if lost > 0 {
			if err := send(api.Event{Time: time.Now(), VM: e.vm, Kind: api.EventLost, Count: lost}); err != nil {
				return err
			}
		}
		for _, ev := range events {
			if err := send(ev); err != nil || ev.Kind == api.EventEnded {
				return err
			}
		}
		number += lost + uint64(len(events))
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// followFailures is follow for the records of a journal.
func followFailures(ctx context.Context, vm string, r *journal.Reader, suffix string, send func(api.Event) error) error {
	defer context.AfterFunc(ctx, r.Stop)()
	batch := make([]journal.Record, 64)
	for {
		n, lost, ok := r.Next(batch)
		if !ok {
			return ctx.Err()
		}
		if lost > 0 {
			if err := send(api.Event{Time: time.Now(), VM: vm, Kind: api.EventLost, Count: lost}); err != nil {
				return err
			}
		}
		for i := range n {
			doc, err := batch[i].JSON(suffix)
			if err == nil {
				err = send(api.Event{Time: batch[i].Time, VM: vm, Kind: api.EventFailure, Failure: json.RawMessage(doc)})
			}
			if err != nil {
				return err
			}
		}
	}
}
