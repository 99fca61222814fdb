// SPDX-License-Identifier: Apache-2.0

// Package entropy is virtio's entropy device (id 4): the guest gives buffers and
// gets them back filled from the host's random number generator.
//
// It is served in the thread that kicks: reading a little from getrandom(2) takes
// less than waking another thread would.
package entropy

import (
	"crypto/rand"
	"errors"
	"sync"

	"virtbinder/virtio"
)

const (
	queueSize = 8
	// maxRequest is how much of a buffer is filled at a time; the device may
	// return less than it was given room for.
	maxRequest = 4096
)

// Device is a virtio entropy device.
type Device struct {
	mu    sync.Mutex
	queue *virtio.Queue // guarded by mu, as the rest; nil while not active
	chain virtio.Chain
	buf   [maxRequest]byte
}

// New makes the device.
func New() *Device { return &Device{} }

// String returns the device's name for logs.
func (d *Device) String() string { return "entropy" }

// Type returns the id of an entropy device.
func (d *Device) Type() uint16 { return 4 }

// Features returns none: the device has none.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes returns the size of the one queue.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize} }

// SharedMemory returns none.
func (d *Device) SharedMemory() []virtio.SharedMemory { return nil }

// ReadConfig leaves the zeroes: there is no configuration.
func (d *Device) ReadConfig(uint32, []byte) {}

// WriteConfig ignores the write.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate takes the queue.
func (d *Device) Activate(a virtio.Activation) error {
	if len(a.Queues) != 1 || a.Queues[0].Size() == 0 {
		return errors.New("the driver did not set up its queue")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = a.Queues[0]
	return nil
}

// Reset forgets the queue.
func (d *Device) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue, d.chain = nil, virtio.Chain{}
}

// Notify fills the buffers that are there, until the ring is empty: only then does
// it ask to be told of the next one.
func (d *Device) Notify(int) {
	d.mu.Lock()
	q := d.queue
	for q != nil && d.fillLocked(q) {
	}
	d.mu.Unlock()
	if q != nil {
		q.Interrupt()
	}
}

// fillLocked serves one buffer.
func (d *Device) fillLocked(q *virtio.Queue) bool {
	ok, err := q.Pop(&d.chain)
	if !ok || err != nil {
		return false
	}
	p := d.buf[:min(d.chain.Writable(), maxRequest)]
	_, _ = rand.Read(p) // never fails: the process ends if the kernel has no randomness
	n := len(p)
	if err := d.chain.WriteAt(p, 0); err != nil {
		n = 0
	}
	clear(p)
	q.Push(&d.chain, uint32(n))
	return true
}
