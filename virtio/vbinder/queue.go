// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"sync/atomic"

	"virtbinder/driver"
	"virtbinder/internal/lockrank"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder/wire"
)

// queue is the control queue, the deferred queue or a request queue, with its own free
// requests and runners, so that vCPUs share nothing here.
type queue struct {
	// Invariant after newQueue.
	dev  *Device
	act  *activation
	vq   *virtio.Queue
	kind on    // which operations it takes
	park int32 // outstanding requests beyond which none may park

	outstanding atomic.Int32 // popped and not pushed

	mu      lockrank.Mutex // guards the rest
	idle    *request
	runners *runner
}

// runner is one Notify's way into the core.
type runner struct {
	exec  driver.Exec
	queue *queue
	next  *runner

	serving *request // with the core, until it was answered
}

func newQueue(d *Device, a *activation, vq *virtio.Queue, index int, indirect bool) *queue {
	q := &queue{dev: d, act: a, vq: vq, kind: onRequest}
	q.mu.Init(lockrank.Device, "vbinder.queue.mu")
	q.park = int32(vq.Size() / 2)
	if !indirect {
		q.park /= 4 // an ordinary request takes a few descriptors of the ring itself
	}
	switch index {
	case wire.QControl:
		q.kind, q.park = onControl, 0
	case wire.QDeferred:
		q.kind, q.park = onDeferred, 0
	}
	return q
}

// serve takes requests off the ring until it is empty.
func (q *queue) serve() {
	run := q.runner()
	for {
		r := q.request()
		ok, err := q.vq.Pop(&r.chain)
		if !ok {
			q.putRequest(r)
			if err != nil {
				q.act.fail(err)
			}
			break
		}
		q.dev.stats.requests.Add(1)
		if q.kind != onDeferred {
			q.act.settle()
		}
		r.core.NoPark = q.outstanding.Add(1) > q.park
		run.serve(r)
	}
	q.putRunner(run)
}

func (q *queue) runner() *runner {
	q.mu.Lock()
	run := q.runners
	if run != nil {
		q.runners = run.next
	}
	q.mu.Unlock()
	if run == nil {
		run = &runner{queue: q}
		run.exec.Tag = run
	}
	return run
}

func (q *queue) putRunner(run *runner) {
	q.mu.Lock()
	run.next, q.runners = q.runners, run
	q.mu.Unlock()
}

func (q *queue) request() *request {
	q.mu.Lock()
	r := q.idle
	if r != nil {
		q.idle = r.next
	}
	q.mu.Unlock()
	if r == nil {
		r = newRequest(q)
	}
	return r
}

func (q *queue) putRequest(r *request) {
	r.trim()
	q.mu.Lock()
	r.next, q.idle = q.idle, r
	q.mu.Unlock()
}
