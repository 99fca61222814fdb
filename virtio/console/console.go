// SPDX-License-Identifier: Apache-2.0

package console

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"virtbinder/virtio"
)

// Queues of the one port.
const (
	queueReceive  = 0 // to the guest
	queueTransmit = 1 // from the guest
	numQueues     = 2
	queueSize     = 64
)

const (
	outRoom = 1 << 20 // bytes that may wait to be printed
	inRoom  = 4096    // bytes that may wait for the guest to take them
	piece   = 4096    // how much is moved at a time
)

// Config says where a console leads.
type Config struct {
	Name string
	In   io.Reader    // what is typed; nil gives none. A Read in progress at Close is not interrupted
	Out  io.Writer    // what the guest prints goes there; nil drops it
	Log  *slog.Logger // slog.Default() if nil
}

// Device is a virtio console.
type Device struct {
	cfg      Config
	log      *slog.Logger
	in, out  *pipe
	printing sync.WaitGroup

	mu      sync.Mutex
	session *session // guarded by mu: nil while not active
}

// session is one activation.
type session struct {
	receive, transmit *virtio.Queue
	bell              chan struct{} // the transmit queue's
	done              chan struct{}
	stopped           atomic.Bool
	sending           sync.WaitGroup

	// guarded by Device.mu
	chain virtio.Chain
	buf   [piece]byte
}

// New makes the device and starts printing and reading.
func New(cfg Config) *Device {
	d := &Device{cfg: cfg, log: cfg.Log, in: newPipe(inRoom), out: newPipe(outRoom)}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.printing.Go(d.print)
	if cfg.In != nil {
		go d.read()
	}
	return d
}

// Close writes out what is left. The device was reset.
func (d *Device) Close() error {
	d.Reset()
	d.in.close()
	d.out.close()
	d.printing.Wait()
	return nil
}

// String returns the device's name for logs.
func (d *Device) String() string { return d.cfg.Name }

// Type returns the id of a console.
func (d *Device) Type() uint16 { return 3 }

// Features returns none: one port, and no size.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes returns the sizes of the receive and transmit queues.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize, queueSize} }

// SharedMemory returns none.
func (d *Device) SharedMemory() []virtio.SharedMemory { return nil }

// ReadConfig leaves the zeroes: no field is in use without its feature.
func (d *Device) ReadConfig(uint32, []byte) {}

// WriteConfig ignores the write.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate starts the sender.
func (d *Device) Activate(a virtio.Activation) error {
	if len(a.Queues) != numQueues || a.Queues[queueReceive].Size() == 0 || a.Queues[queueTransmit].Size() == 0 {
		return errors.New("the driver did not set up its two queues")
	}
	s := &session{
		receive: a.Queues[queueReceive], transmit: a.Queues[queueTransmit],
		bell: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.ring()
	s.sending.Go(func() { d.send(s) })
	d.mu.Lock()
	d.session = s
	d.mu.Unlock()
	return nil
}

// Reset joins the sender. What was typed and not taken stays.
func (d *Device) Reset() {
	d.mu.Lock()
	s := d.session
	d.session = nil
	d.mu.Unlock()
	if s == nil {
		return
	}
	s.stopped.Store(true)
	close(s.done)
	d.out.wake()
	s.sending.Wait()
}

// Notify wakes the sender, or gives the guest what was typed.
func (d *Device) Notify(queue int) {
	switch queue {
	case queueTransmit:
		d.mu.Lock()
		s := d.session
		d.mu.Unlock()
		if s != nil {
			s.ring()
		}
	case queueReceive:
		d.deliver()
	}
}

func (s *session) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// send takes what the guest prints, until the session is over.
func (d *Device) send(s *session) {
	var chain virtio.Chain
	buf := make([]byte, piece)
	for {
		select {
		case <-s.done:
			return
		case <-s.bell:
		}
		for {
			ok, err := s.transmit.Pop(&chain)
			if !ok || err != nil {
				break
			}
			taken := d.takeOutput(s, &chain, buf)
			s.transmit.Push(&chain, 0)
			s.transmit.Interrupt()
			if !taken {
				return
			}
		}
	}
}

// takeOutput moves one chain's bytes on. It reports false when the session is over.
func (d *Device) takeOutput(s *session, c *virtio.Chain, buf []byte) bool {
	for off := 0; off < c.Readable(); {
		p := buf[:min(piece, c.Readable()-off)]
		if err := c.ReadAt(p, off); err != nil {
			return !errors.Is(err, virtio.ErrReset)
		}
		if !d.out.put(p, s.stopped.Load) {
			return false
		}
		off += len(p)
	}
	return true
}

// print writes the guest's output until Close.
func (d *Device) print() {
	out := d.cfg.Out
	var spare []byte
	for {
		b := d.out.swap(spare)
		if len(b) == 0 {
			return
		}
		if out != nil {
			if _, err := out.Write(b); err != nil {
				d.log.Warn("console: cannot write, going on without", "console", d.cfg.Name, "err", err)
				out = nil
			}
		}
		spare = b
	}
}

// read takes what is typed, until In ends or Close.
func (d *Device) read() {
	never := func() bool { return false }
	buf := make([]byte, piece)
	for {
		n, err := d.cfg.In.Read(buf)
		if n > 0 && !d.in.put(buf[:n], never) {
			return
		}
		d.deliver()
		if err != nil {
			return
		}
	}
}

// deliver gives the guest what was typed, as far as it has put up buffers.
func (d *Device) deliver() {
	d.mu.Lock()
	s := d.session
	gave := s != nil && d.deliverLocked(s)
	d.mu.Unlock()
	if gave {
		s.receive.Interrupt()
	}
}

func (d *Device) deliverLocked(s *session) (gave bool) {
	for {
		// Pop asks for a doorbell when there is no buffer; with nothing typed
		// there is no use for one yet.
		if d.in.empty() {
			return gave
		}
		ok, err := s.receive.Pop(&s.chain)
		if !ok || err != nil {
			return gave
		}
		p := s.buf[:min(s.chain.Writable(), piece)]
		n := d.in.take(p)
		if err := s.chain.WriteAt(p[:n], 0); err != nil {
			n = 0
		}
		s.receive.Push(&s.chain, uint32(n))
		gave = true
	}
}
