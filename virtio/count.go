// SPDX-License-Identifier: Apache-2.0

package virtio

import "virtbinder/internal/guestmem"

// QueueCounts are what went over a queue since its driver set it up.
type QueueCounts struct {
	Taken      uint64 // chains that the device took off the ring
	Returned   uint64 // of these, those that it gave back
	Interrupts uint64 // that the driver wanted
}

// QueueState is a queue as seen from outside.
type QueueState struct {
	QueueCounts
	// Depth is how many chains the driver has put up and not got back: requests that
	// wait or are being served, or empty buffers on a queue to the guest.
	Depth uint64
}

// State returns where the queue stands. One that is not in use has no depth.
func (q *Queue) State() (s QueueState) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.QueueCounts = q.state.count
	if q.stopped.Load() {
		return s
	}
	waiting, err := q.waitingLocked()
	if err != nil {
		return s // whoever serves the queue will meet it, and fail the device
	}
	s.Depth = s.Taken - s.Returned + uint64(waiting)
	return s
}

func (q *Queue) waitingLocked() (n uint16, err error) {
	defer guestmem.Recover(guestmem.Enter(), &err)
	return q.pendingLocked()
}

// Queues returns where the device's queues stand, by index; none before its driver
// is ready.
func (p *PCI) Queues() []QueueState {
	p.life.RLock()
	defer p.life.RUnlock()
	states := make([]QueueState, len(p.queues))
	for i, q := range p.queues {
		states[i] = q.State()
	}
	return states
}
