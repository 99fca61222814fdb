// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"runtime"

	"virtbinder/virtio/vbinder/wire"
)

// Requests for which no doorbell rings (part of step 4 of a transaction's way).
//
// A guest thread that frees a plain reply (see driver/quiet.go) leaves that on the
// deferred queue and goes on. It is as if it had been executed at once: before any
// request is executed, everything is that was deferred before that one was put up.

// settle executes what is on the deferred queue. On return all of it is done that was
// there at the call, also what another vCPU had taken by then. It must not be called for
// a request of that queue itself.
func (a *activation) settle() {
	q := a.queues[wire.QDeferred]
	// In this order: who takes the last one off the ring has counted itself before.
	if !q.vq.Waiting() && a.settling.Load() == 0 {
		return
	}
	a.serveDeferred(q)
	for looks := 0; a.settling.Load() > 0; looks++ { // another does it; the ring bounds how much it is
		if looks >= mostLooks {
			runtime.Gosched()
		}
	}
}

// mostLooks is some microseconds' worth: a free takes less than one. To yield is worth it
// only if whoever is at it has lost its processor, since a vCPU's goroutine is locked to
// its thread, and the scheduler hands its place to another thread and back.
const mostLooks = 1 << 13

func (a *activation) serveDeferred(q *queue) {
	a.settling.Add(1)
	defer a.settling.Add(-1)
	q.serve()
}
