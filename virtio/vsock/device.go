// SPDX-License-Identifier: Apache-2.0

package vsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"virtbinder/virtio"
)

// Limits of one device.
const (
	// HostCID is the host's address.
	HostCID = 2
	// MaxConns is the largest number of connections at a time, both directions
	// together.
	MaxConns = 256
	// BufSize is the size in bytes of a connection's buffer in each direction.
	BufSize = 256 << 10
	// maxResets bounds the RSTs that wait for rx buffers.
	maxResets = 64
	// maxPacket is the most data that one packet to the guest carries.
	maxPacket = 64 << 10
	// firstPort is where the local ports of connections from the host begin.
	firstPort = 1 << 30
)

// Queues of the device.
const (
	queueRX    = 0
	queueTX    = 1
	queueEvent = 2
	numQueues  = 3
	queueSize  = 256
)

// Config describes the guest's socket device.
type Config struct {
	CID  uint64       // the guest's address, 3 or more and below 2^32
	Path string       // of the Unix socket to listen on
	Log  *slog.Logger // slog.Default() if nil
}

// Device is a virtio socket device. It listens on its Unix socket from New to
// Close; connections made while no guest driver is there are closed.
type Device struct {
	// Invariant after New.
	cfg      Config
	log      *slog.Logger
	listener *net.UnixListener
	accepts  sync.WaitGroup // acceptLoop and handshakes

	mu    sync.Mutex
	state deviceState
}

// deviceState is what Device.mu guards.
type deviceState struct {
	active   bool
	closed   bool
	rx, tx   *virtio.Queue
	rxChain  virtio.Chain
	txChain  virtio.Chain
	conns    map[connKey]*conn
	ready    []*conn // connections with something to send to the guest, each once
	resets   []header
	nextPort uint32
	waiting  map[net.Conn]struct{} // host connections before "CONNECT"
	loops    *sync.WaitGroup       // goroutines of this activation's connections
	count    Stats                 // without Open
}

// connKey names a connection. The guest's CID is fixed.
type connKey struct{ hostPort, guestPort uint32 }

// New makes the device and listens on cfg.Path. A socket file that nobody listens
// on any more is replaced; one in use is an error.
func New(cfg Config) (*Device, error) {
	if cfg.CID <= HostCID || cfg.CID >= 1<<32-1 {
		return nil, fmt.Errorf("vsock: guest CID %d is not between 3 and 2^32-2", cfg.CID)
	}
	l, err := listen(cfg.Path)
	if err != nil {
		return nil, err
	}
	d := &Device{cfg: cfg, log: cfg.Log, listener: l}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.state.conns = map[connKey]*conn{}
	d.state.waiting = map[net.Conn]struct{}{}
	d.state.nextPort = firstPort
	d.state.loops = new(sync.WaitGroup)
	d.accepts.Go(d.acceptLoop)
	return d, nil
}

// Close stops listening and ends all connections. It returns when no goroutine of
// the device is left.
func (d *Device) Close() error {
	d.mu.Lock()
	d.state.closed = true
	for c := range d.state.waiting {
		c.Close()
	}
	d.mu.Unlock()
	err := d.listener.Close()
	d.accepts.Wait()
	d.Reset()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// String returns the device's name for logs.
func (d *Device) String() string { return "vsock" }

// Type returns the id of a socket device.
func (d *Device) Type() uint16 { return 19 }

// Features returns none: stream sockets need no bit.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes returns the sizes of the rx, tx and event queues.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize, queueSize, 8} }

// SharedMemory returns none.
func (d *Device) SharedMemory() []virtio.SharedMemory { return nil }

// ReadConfig reads the configuration, which is the guest's CID.
func (d *Device) ReadConfig(off uint32, p []byte) {
	if off < 8 {
		copy(p, binary.LittleEndian.AppendUint64(nil, d.cfg.CID)[off:])
	}
}

// WriteConfig ignores the write: nothing is writable.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate starts the device.
func (d *Device) Activate(a virtio.Activation) error {
	if len(a.Queues) != numQueues || a.Queues[queueRX].Size() == 0 || a.Queues[queueTX].Size() == 0 {
		return errors.New("vsock: the driver did not set up its rx and tx queues")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.state
	s.active, s.rx, s.tx = true, a.Queues[queueRX], a.Queues[queueTX]
	return nil
}

// Reset ends every connection and forgets the queues.
func (d *Device) Reset() {
	d.mu.Lock()
	s := &d.state
	s.active = false
	for _, c := range s.conns {
		d.removeLocked(c)
	}
	s.ready, s.resets = nil, nil
	loops := s.loops
	s.loops = new(sync.WaitGroup)
	d.mu.Unlock()
	loops.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	s.rx, s.tx, s.rxChain, s.txChain = nil, nil, virtio.Chain{}, virtio.Chain{}
}

// Notify serves a doorbell: the guest gave buffers, or sent packets. The event
// queue's buffers stay with us; there are no events before migration.
//
// The rx and tx queues depend on each other, so either doorbell serves both.
func (d *Device) Notify(int) {
	d.mu.Lock()
	done := d.serveLocked()
	d.mu.Unlock()
	done.interrupt()
}

// kicks are the queues that need an interrupt, to be sent without the lock.
type kicks struct{ rx, tx *virtio.Queue }

func (k kicks) interrupt() {
	if k.tx != nil {
		k.tx.Interrupt()
	}
	if k.rx != nil {
		k.rx.Interrupt()
	}
}

// serveLocked moves all that can move: packets from the guest, then packets to it,
// until neither gets further.
func (d *Device) serveLocked() (k kicks) {
	s := &d.state
	if !s.active {
		return k
	}
	for {
		took, gave := d.receiveLocked(), d.pumpLocked()
		if took {
			k.tx = s.tx
		}
		if gave {
			k.rx = s.rx
		}
		if !took && !gave {
			return k
		}
	}
}
