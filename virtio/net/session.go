// SPDX-License-Identifier: Apache-2.0

package net

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"virtbinder/virtio"
)

// session is one activation.
type session struct {
	dev               *Device
	receive, transmit *virtio.Queue
	features          uint64
	bells             [numQueues]chan struct{}
	done              chan struct{}
	wg                sync.WaitGroup
}

func startSession(d *Device, a virtio.Activation) *session {
	s := &session{
		dev: d, receive: a.Queues[queueReceive], transmit: a.Queues[queueTransmit],
		features: a.Features, done: make(chan struct{}),
	}
	for i := range s.bells {
		s.bells[i] = make(chan struct{}, 1)
	}
	ring(s.bells[queueTransmit]) // the driver may have filled the ring before DRIVER_OK
	for _, f := range []func() error{s.send, s.deliver} {
		s.wg.Go(func() {
			defer contain(a.Fail)
			if err := f(); err != nil {
				a.Fail(err)
			}
		})
	}
	return s
}

// contain must be deferred directly. A bug that this guest found costs it this
// device and nobody anything else.
func contain(fail func(error)) {
	if v := recover(); v != nil {
		fail(fmt.Errorf("a bug in the device: panic: %v\n%s", v, debug.Stack()))
	}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// stop returns when no goroutine of the session is left.
func (s *session) stop() {
	close(s.done)
	_ = s.dev.cfg.Link.SetReadDeadline(time.Unix(1, 0))
	s.wg.Wait()
}

func (s *session) stopped() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// wait waits for a queue's doorbell. It reports false when the session is over.
func (s *session) wait(queue int) bool {
	select {
	case <-s.done:
		return false
	case <-s.bells[queue]:
		return !s.stopped()
	}
}

// send carries frames from the guest to the link.
func (s *session) send() error {
	var chain virtio.Chain
	frame := make([]byte, HeaderSize+maxFrame)
	for s.wait(queueTransmit) {
		for !s.stopped() {
			ok, err := s.transmit.Pop(&chain)
			if !ok || err != nil {
				break // a broken ring has failed the device already
			}
			s.sendOne(&chain, frame)
			s.transmit.Push(&chain, 0)
			s.transmit.Interrupt()
		}
	}
	return nil
}

// sendOne copies one frame out of the guest and sends it.
func (s *session) sendOne(c *virtio.Chain, frame []byte) {
	n := c.Readable()
	if n < HeaderSize+ethernetSize || n > len(frame) || c.ReadAt(frame[:n], 0) != nil {
		s.dev.dropped.Add(1)
		return
	}
	putBuffers(frame, 0)
	if _, err := s.dev.cfg.Link.Write(frame[:n]); err != nil {
		s.dev.dropped.Add(1) // the link is full, down, or does not like this one
		return
	}
	s.dev.sent.Add(1)
	s.dev.sentBytes.Add(uint64(n - HeaderSize))
}

func (s *session) has(feature uint64) bool { return s.features&feature != 0 }

// settle tells the link what the guest can take. That may be a system call which
// vCPU threads are not allowed.
func (s *session) settle() error {
	if !s.dev.cfg.Link.CanOffload() {
		return nil
	}
	return s.dev.cfg.Link.SetOffload(Offload{
		Sum: s.has(featureGuestCSum), TSO4: s.has(featureGuestTSO4), TSO6: s.has(featureGuestTSO6), ECN: s.has(featureGuestECN),
	})
}

// deliver carries frames from the link to the guest.
func (s *session) deliver() error {
	if err := s.settle(); err != nil {
		return err
	}
	var m merger
	frame := make([]byte, HeaderSize+maxFrame)
	for !s.stopped() {
		n, err := s.dev.cfg.Link.Read(frame)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue // the session is over
		case err != nil:
			return fmt.Errorf("%v: %w", s.dev, err)
		case n < HeaderSize:
			continue
		}
		if !s.deliverOne(&m, frame[:n]) {
			return nil
		}
	}
	return nil
}

// merger is the buffers of one frame.
type merger struct {
	chains [maxMerged]virtio.Chain
	n      int
	room   int // bytes in them
}

// deliverOne gives the guest one frame, when it has put up buffers for it. It
// reports false when the session is over.
func (s *session) deliverOne(m *merger, frame []byte) bool {
	m.n, m.room = 0, 0
	limit := 1
	if s.has(featureMergeRxBuf) {
		limit = maxMerged
	}
	for m.room < len(frame) && m.n < limit {
		c := &m.chains[m.n]
		ok, err := s.receive.Pop(c)
		switch {
		case err != nil:
			return false
		case ok:
			m.room += c.Writable()
			m.n++
		case !s.wait(queueReceive):
			return false
		}
	}
	s.fill(m, frame)
	s.receive.Interrupt()
	return true
}

// fill spreads the frame over the buffers and gives them back; one that they are
// too small for is lost, and they come back empty.
func (s *session) fill(m *merger, frame []byte) {
	putBuffers(frame, m.n)
	size, fits := len(frame)-HeaderSize, m.room >= len(frame)
	if !fits {
		frame = nil
	}
	for i := range m.n {
		c := &m.chains[i]
		part := frame[:min(len(frame), c.Writable())]
		if c.WriteAt(part, 0) != nil {
			fits = false
		}
		frame = frame[len(part):]
		s.receive.Push(c, uint32(len(part)))
	}
	if fits {
		s.dev.received.Add(1)
		s.dev.receivedBytes.Add(uint64(size))
	} else {
		s.dev.dropped.Add(1)
	}
}
