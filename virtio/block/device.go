// SPDX-License-Identifier: Apache-2.0

package block

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"virtbinder/virtio"
)

// Backend is what holds the data. Its methods may be called from several
// goroutines at a time.
type Backend interface {
	// ReadAt and WriteAt transfer all of p at byte off. Both are multiples of
	// BlockSize, p is aligned to a page, and all of it lies within Size.
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Sync returns when all that was written before is on stable storage.
	Sync() error
	// Discard says that the range is not needed any more; its content may be
	// anything afterwards.
	Discard(off, n int64) error
	// WriteZeroes makes the range read as zeroes, and gives its space back if
	// unmap is true and that is possible.
	WriteZeroes(off, n int64, unmap bool) error
	// Size returns the number of bytes, a multiple of BlockSize.
	Size() int64
	// BlockSize returns the smallest unit of transfer in bytes: 512 to 4096, a
	// power of two.
	BlockSize() int
	// ReadOnly says that only ReadAt may be called.
	ReadOnly() bool
}

// Limits and defaults.
const (
	// MaxQueues is the largest number of request queues.
	MaxQueues = 16
	// maxID is the size of a disk's serial number in bytes.
	maxID = 20

	queueSize       = 256
	workersPerQueue = 4
)

// Config describes a disk.
type Config struct {
	ID      string // serial number, at most 20 bytes: /dev/disk/by-id/virtio-ID
	Backend Backend
	Queues  int          // request queues; 0 is one
	Log     *slog.Logger // slog.Default() if nil
}

// Device is a virtio block device. The caller closes the backend after the
// machine has ended.
type Device struct {
	// Invariant after New.
	cfg       Config
	log       *slog.Logger
	sectors   uint64
	blockSize int
	readOnly  bool

	features  atomic.Uint64 // as negotiated; 0 before Activate
	writeback atomic.Bool   // the driver asks for flushes; else each write is one
	count     counters

	mu   sync.Mutex
	pool *pool // guarded by mu: the workers; nil while not active
}

// New makes the device.
func New(cfg Config) (*Device, error) {
	if cfg.Queues == 0 {
		cfg.Queues = 1
	}
	if cfg.Queues < 0 || cfg.Queues > MaxQueues {
		return nil, fmt.Errorf("disk %s: %d queues: give 1 to %d", cfg.ID, cfg.Queues, MaxQueues)
	}
	if len(cfg.ID) > maxID {
		return nil, fmt.Errorf("disk id %q is %d bytes long; %d is the most", cfg.ID, len(cfg.ID), maxID)
	}
	d := &Device{cfg: cfg, log: cfg.Log, blockSize: cfg.Backend.BlockSize(), readOnly: cfg.Backend.ReadOnly()}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.sectors = uint64(cfg.Backend.Size()) / SectorSize
	d.writeback.Store(true)
	return d, nil
}

// String returns the device's name for logs.
func (d *Device) String() string { return d.cfg.ID }

// Type returns the id of a block device.
func (d *Device) Type() uint16 { return 2 }

// Features returns what the disk offers.
func (d *Device) Features() uint64 {
	f := featureSegMax | featureBlockSize | featureTopology | featureFlush | featureConfigWCE
	if d.cfg.Queues > 1 {
		f |= featureMultiQueue
	}
	if d.readOnly {
		return f | featureReadOnly
	}
	return f | featureDiscard | featureWriteZeroes
}

// QueueSizes returns the sizes of the request queues.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, d.cfg.Queues)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// SharedMemory returns none.
func (d *Device) SharedMemory() []virtio.SharedMemory { return nil }

// Activate starts the workers.
func (d *Device) Activate(a virtio.Activation) error {
	if len(a.Queues) == 0 || a.Queues[0].Size() == 0 {
		return errors.New("the driver did not set up a request queue")
	}
	d.features.Store(a.Features)
	d.writeback.Store(a.Features&featureFlush != 0)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pool = startPool(d, a)
	return nil
}

// Notify wakes a worker.
func (d *Device) Notify(queue int) {
	d.mu.Lock()
	p := d.pool
	d.mu.Unlock()
	if p != nil {
		p.wake(queue)
	}
}

// Reset joins the workers.
func (d *Device) Reset() {
	d.mu.Lock()
	p := d.pool
	d.pool = nil
	d.mu.Unlock()
	if p != nil {
		p.stop()
	}
	d.features.Store(0)
	d.writeback.Store(true)
}
