// SPDX-License-Identifier: Apache-2.0

package vbinder

import "sync/atomic"

// counters count since New.
type counters struct {
	requests, kicks, parked, noPark, interrupts, inlined, events, bad atomic.Uint64
}

// Stats is a snapshot of what a device has done since New, and of its window now.
type Stats struct {
	Requests    uint64 // taken off control and request queues
	Kicks       uint64 // doorbells
	Parked      uint64 // requests that the core kept to answer later
	NoPark      uint64 // requests that met a ring already half full of waiting ones
	Interrupts  uint64 // asked for; the driver may have suppressed some
	Inlined     uint64 // answers that needed none, harvested by the kick
	Events      uint64 // sent to the guest driver
	BadRequests uint64 // refused before they reached the core
	Outstanding int    // requests with the core now

	WindowReserved uint64 // bytes mapped by processes
	WindowFailed   uint64 // mappings refused for want of window
}

// Stats returns a snapshot; the counters are read one by one.
func (d *Device) Stats() Stats {
	c := &d.stats
	s := Stats{
		Requests: c.requests.Load(), Kicks: c.kicks.Load(), Parked: c.parked.Load(), NoPark: c.noPark.Load(),
		Interrupts: c.interrupts.Load(), Inlined: c.inlined.Load(), Events: c.events.Load(), BadRequests: c.bad.Load(),
	}
	if a := d.act.Load(); a != nil {
		for _, q := range a.queues {
			if q != nil {
				s.Outstanding += int(q.outstanding.Load())
			}
		}
	}
	s.WindowReserved, s.WindowFailed = d.window.usage()
	return s
}
