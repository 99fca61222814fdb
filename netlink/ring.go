// SPDX-License-Identifier: Apache-2.0

package netlink

import "sync"

// ring is the bounded queue between Emit and the sender goroutine. push costs a
// short mutex and one slot; it never waits and never allocates.
type ring struct {
	mu    sync.Mutex
	state ringState // guarded by mu
	// wake has room for one token: the sender sleeps on it after a pop that
	// found nothing.
	wake chan struct{}
}

// ringState is what ring.mu guards.
type ringState struct {
	slots    []Report
	head     int // next slot to pop
	used     int
	sleeping bool   // the sender saw an empty ring since the last wake
	closed   bool   // no more pushes
	accepted uint64 // pushed, ever
	dropped  uint64 // refused because the ring was full or closed, ever
}

func newRing(size int) *ring {
	return &ring{state: ringState{slots: make([]Report, size)}, wake: make(chan struct{}, 1)}
}

// push copies r into a free slot, or counts it as dropped.
func (q *ring) push(r *Report) {
	q.mu.Lock()
	s := &q.state
	if s.closed || s.used == len(s.slots) {
		s.dropped++
		q.mu.Unlock()
		return
	}
	i := s.head + s.used
	if i >= len(s.slots) {
		i -= len(s.slots)
	}
	s.slots[i] = *r
	s.used++
	s.accepted++
	wake := s.sleeping
	s.sleeping = false
	q.mu.Unlock()
	if wake {
		q.signal()
	}
}

// drop counts n reports that were lost before they got here, and wakes the sender
// to tell of them.
func (q *ring) drop(n uint64) {
	q.mu.Lock()
	q.state.dropped += n
	q.mu.Unlock()
	q.signal()
}

// pop moves up to len(out) reports into out. When it finds none, the next push
// signals wake.
func (q *ring) pop(out []Report) (n int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := &q.state
	for n < len(out) && s.used > 0 {
		out[n] = s.slots[s.head]
		s.slots[s.head] = Report{} // lets go of the context's string
		if s.head++; s.head == len(s.slots) {
			s.head = 0
		}
		s.used--
		n++
	}
	if n == 0 {
		s.sleeping = true
	}
	return n, s.closed
}

// close refuses further pushes; what is queued may still be popped.
func (q *ring) close() {
	q.mu.Lock()
	q.state.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *ring) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *ring) counts() (accepted, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state.accepted, q.state.dropped
}
