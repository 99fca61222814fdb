// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// This file is the doorbell in both modes (step 3 of docs/data-path.md); see the
// package comment.

// notifyAccess is a guest's access to the doorbell port. It is an exit of the
// kicking vCPU: always when inline; in worker mode only if the write did not match
// an eventfd (another width, or before the port was placed).
func (p *PCI) notifyAccess(b []byte, write bool) {
	if !write || len(b) < 2 {
		zeroUnless(write, b)
		return
	}
	queue := int(binary.LittleEndian.Uint16(b))
	if queue >= len(p.sizes) {
		return
	}
	if !p.opts.Inline {
		if queue < len(p.workers) {
			p.workers[queue].kick()
		}
		return
	}
	p.life.RLock()
	defer p.life.RUnlock()
	if p.active.Load() {
		p.notify(queue)
	}
}

// notify runs the device. A panic there is a bug that this guest found: it costs the
// guest its device and nobody anything else.
func (p *PCI) notify(queue int) {
	defer p.contain()
	if !p.failed.Load() {
		p.dev.Notify(queue)
	}
}

// contain must be deferred directly. It turns a panic into a failed device.
func (p *PCI) contain() {
	if v := recover(); v != nil {
		p.log.Error("bug: the device panicked", "panic", v, "stack", string(debug.Stack()))
		p.fail(fmt.Errorf("a bug in the device: panic: %v", v))
	}
}

// worker serves one queue's doorbell while the device is active.
type worker struct {
	pci   *PCI
	queue int
	fd    int // eventfd, open from NewPCI to Close

	vq   *Queue // of the activation, while it runs
	poll poller

	stop atomic.Bool
	done chan struct{} // closed when run has returned; nil before the first start
}

// openWorkers makes the eventfds, so that the port can be bound to them whenever
// it is placed.
func (p *PCI) openWorkers() error {
	for i := range p.sizes {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			p.closeWorkers()
			return fmt.Errorf("%s: eventfd: %w", p.opts.Name, err)
		}
		p.workers = append(p.workers, &worker{pci: p, queue: i, fd: fd})
	}
	return nil
}

func (p *PCI) closeWorkers() {
	for _, w := range p.workers {
		if w.fd >= 0 {
			unix.Close(w.fd)
		}
		w.fd = -1
	}
}

func (p *PCI) startWorkers() {
	for i, w := range p.workers {
		w.vq, w.poll = p.queues[i], poller{}
		if dev, ok := p.dev.(Poller); ok {
			w.poll.limit = dev.Poll(i)
		}
		w.stop.Store(false)
		w.done = make(chan struct{})
		go w.run()
	}
}

// stopWorkers returns when no worker runs.
func (p *PCI) stopWorkers() {
	for _, w := range p.workers {
		if w.done != nil {
			w.stop.Store(true)
			w.kick()
		}
	}
	for _, w := range p.workers {
		if w.done != nil {
			<-w.done
			w.done = nil
		}
	}
}

func (w *worker) kick() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	for {
		if _, err := unix.Write(w.fd, one[:]); err != unix.EINTR {
			return
		}
	}
}

// run serves the queue whenever its doorbell rings, on a thread of its own. A blocking
// read, rather than the runtime's poller, saves a goroutine switch on each kick.
func (w *worker) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(w.done)
	for {
		err := w.sleep()
		if w.stop.Load() {
			return
		}
		if err != nil {
			w.pci.fail(fmt.Errorf("%s queue %d: doorbell: %w", w.pci.opts.Name, w.queue, err))
			return
		}
		w.poll.slept()
		w.serve()
	}
}

// sleep waits for the doorbell.
func (w *worker) sleep() error {
	var count [8]byte
	for {
		if _, err := unix.Read(w.fd, count[:]); err != unix.EINTR || w.stop.Load() {
			return err
		}
	}
}

// serve serves the queue until nothing has come for as long as it is worth polling.
func (w *worker) serve() {
	w.vq.Poll(w.poll.window > 0)
	w.pci.notify(w.queue)
	for w.poll.await(w.vq) && !w.stop.Load() && !w.pci.failed.Load() {
		w.pci.notify(w.queue)
	}
	if w.vq.Poll(false) {
		w.pci.notify(w.queue)
	}
}
