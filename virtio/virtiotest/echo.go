// SPDX-License-Identifier: Apache-2.0

package virtiotest

import (
	"sync"
	"sync/atomic"

	"virtbinder/virtio"
)

// Echo is the simplest useful device: each queue answers a chain with the chain's
// own readable bytes, as many as fit. It tests the transport and the queues, and
// is the model for a device: see how Reset waits and how errors are left to the
// queue.
type Echo struct {
	Queues []uint16              // sizes
	Shared []virtio.SharedMemory // shown to the guest
	Quiet  bool                  // never interrupt

	Resets    atomic.Int64
	Served    atomic.Int64
	ConfigMem [64]byte // the configuration space: plain memory; guarded by the transport

	mu     sync.Mutex
	active virtio.Activation
	chain  []virtio.Chain // one per queue, so that serving allocates nothing
	buf    []byte
}

// NewEcho makes an echo device with queues of the given sizes.
func NewEcho(sizes ...uint16) *Echo {
	return &Echo{Queues: sizes, chain: make([]virtio.Chain, len(sizes)), buf: make([]byte, 1<<16)}
}

// Type returns the id of a virtio input device, which no driver binds to here.
func (e *Echo) Type() uint16 { return 18 }

// Features returns none.
func (e *Echo) Features() uint64 { return 0 }

// QueueSizes returns Queues.
func (e *Echo) QueueSizes() []uint16 { return e.Queues }

// ReadConfig reads ConfigMem.
func (e *Echo) ReadConfig(off uint32, p []byte) {
	if off < uint32(len(e.ConfigMem)) {
		copy(p, e.ConfigMem[off:])
	}
}

// WriteConfig writes ConfigMem.
func (e *Echo) WriteConfig(off uint32, p []byte) {
	if off < uint32(len(e.ConfigMem)) {
		copy(e.ConfigMem[off:], p)
	}
}

// Activate keeps the queues.
func (e *Echo) Activate(a virtio.Activation) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active = a
	return nil
}

// Reset forgets them.
func (e *Echo) Reset() {
	e.Resets.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active = virtio.Activation{}
	clear(e.chain)
}

// Activation returns what the device was given.
func (e *Echo) Activation() virtio.Activation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active
}

// SharedMemory returns Shared.
func (e *Echo) SharedMemory() []virtio.SharedMemory { return e.Shared }

// Notify serves a queue until it is empty.
func (e *Echo) Notify(queue int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if queue >= len(e.active.Queues) {
		return
	}
	q, c := e.active.Queues[queue], &e.chain[queue]
	for {
		ok, err := q.Pop(c)
		if !ok || err != nil {
			return // on an error the queue has failed the device
		}
		q.Push(c, e.serve(c))
		if !e.Quiet {
			q.Interrupt()
		}
		e.Served.Add(1)
	}
}

// serve copies a chain's readable part into its writable part and returns how much
// it wrote: 0 for a chain that cannot be served, which still gets its answer.
func (e *Echo) serve(c *virtio.Chain) uint32 {
	n := min(c.Readable(), c.Writable(), len(e.buf))
	if c.ReadAt(e.buf[:n], 0) != nil || c.WriteAt(e.buf[:n], 0) != nil {
		return 0
	}
	return uint32(n)
}
