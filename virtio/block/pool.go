// SPDX-License-Identifier: Apache-2.0

package block

import (
	"fmt"
	"runtime/debug"
	"sync"

	"virtbinder/virtio"
)

// pool is the workers of one activation.
type pool struct {
	bells []chan struct{} // by queue, with room for one token per worker
	done  chan struct{}
	wg    sync.WaitGroup
}

func startPool(d *Device, a virtio.Activation) *pool {
	p := &pool{done: make(chan struct{})}
	for _, q := range a.Queues {
		bell := make(chan struct{}, workersPerQueue)
		p.bells = append(p.bells, bell)
		for range workersPerQueue {
			w := &worker{dev: d, queue: q, bell: bell, done: p.done}
			p.wg.Go(func() {
				defer contain(a.Fail)
				w.run()
			})
		}
		ring(bell) // the driver may have filled the ring before DRIVER_OK
	}
	return p
}

// contain must be deferred directly. A bug that this guest found costs it this
// device and nobody anything else.
func contain(fail func(error)) {
	if v := recover(); v != nil {
		fail(fmt.Errorf("a bug in the device: panic: %v\n%s", v, debug.Stack()))
	}
}

func (p *pool) wake(queue int) {
	if queue < len(p.bells) {
		ring(p.bells[queue])
	}
}

// ring wakes one worker; with as many tokens as workers waiting, none is needed.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// stop returns when no worker runs.
func (p *pool) stop() {
	close(p.done)
	p.wg.Wait()
}

// worker serves requests of one queue.
type worker struct {
	dev   *Device
	queue *virtio.Queue
	bell  chan struct{}
	done  chan struct{}
	chain virtio.Chain
	buf   []byte // bounceSize, aligned to a page; nil before the first request
}

func (w *worker) run() {
	for {
		select {
		case <-w.done:
			return
		case <-w.bell:
			w.drain()
		}
	}
}

// drain serves requests until there is none. An error of Pop has failed the
// device already.
func (w *worker) drain() {
	for !w.stopped() {
		ok, err := w.queue.Pop(&w.chain)
		if !ok || err != nil {
			return
		}
		ring(w.bell) // there may be another for another worker
		written := w.serve()
		w.queue.Push(&w.chain, written)
		w.queue.Interrupt()
	}
}

func (w *worker) stopped() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}
