// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/internal/guestmem"
)

// This file is how a worker waits for its queue (step 3 of a transaction's way): it may
// look at the ring for a while before it sleeps, which saves the driver its doorbell and
// the worker its wake-up.
//
// How long adapts, as KVM's halt polling does: a sleep that a longer look would have
// saved makes the next one longer, one that no look would have saved makes it shorter,
// down to none. It yields to whoever wants the processor, and gives up for some time
// where somebody does: what polls must not be in the way of what it waits for.

// Poller is a Device that wants some queues' workers to poll.
type Poller interface {
	// Poll returns how long the worker of a queue may look at its ring before it
	// sleeps; 0 for not at all.
	Poll(queue int) time.Duration
}

const (
	firstPoll   = 5 * time.Microsecond
	looks       = 64 // at the ring, between two looks at the clock
	scarceSleep = 64 // sleeps without polling after another thread has had the processor
)

// poller is one worker's way of waiting. It belongs to its worker.
type poller struct {
	limit  time.Duration // what Poll said; 0: it never polls
	window time.Duration // how long it looks now
	pause  int           // sleeps until it tries again
	idle   time.Time     // since when there is nothing to do
}

// await looks at q until the driver has put something up. It reports false if that took
// too long, or if the processor was wanted.
func (p *poller) await(q *Queue) bool {
	p.idle = time.Now()
	if p.window == 0 {
		return false
	}
	for last := p.idle; ; {
		if found, live := q.look(looks); found || !live {
			return found
		}
		_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		now := time.Now()
		if now.Sub(last) > p.limit {
			p.window, p.pause = 0, scarceSleep
			return false
		}
		if now.Sub(p.idle) > p.window {
			return false
		}
		last = now
	}
}

// slept learns from a sleep that has ended.
func (p *poller) slept() { p.learn(time.Since(p.idle)) }

func (p *poller) learn(idle time.Duration) {
	switch {
	case p.limit == 0:
	case p.pause > 0:
		p.pause--
	case idle > p.limit:
		if p.window /= 2; p.window < firstPoll {
			p.window = 0
		}
	case idle > p.window:
		p.window = min(max(2*p.window, firstPoll), p.limit)
	}
}

// Poll says whether the queue's owner looks at it by itself: while it does, Pop asks for
// no notification when the ring is empty. An owner that stops must Pop until there is
// nothing, to be told of what comes next. It returns what was so before.
func (q *Queue) Poll(on bool) (before bool) { return q.polled.Swap(on) }

// Waiting reports whether there is something for Pop.
func (q *Queue) Waiting() bool {
	found, _ := q.look(1)
	return found
}

// look looks n times, and reports whether there is something for Pop; a fault is, which
// Pop tells of. A queue that is not live will have nothing more.
func (q *Queue) look(n int) (found, live bool) {
	q.mu.Lock()
	taken, stopped := q.state.lastAvail, q.stopped.Load()
	q.mu.Unlock()
	if stopped {
		return false, false
	}
	var err error
	defer func() { found = found || err != nil }()
	defer guestmem.Recover(guestmem.Enter(), &err)
	for range n {
		if q.availIdx.load() != taken {
			return true, true
		}
	}
	return false, true
}
