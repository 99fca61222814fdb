// SPDX-License-Identifier: Apache-2.0

package vsock

import "math/bits"

// This file sends packets to the guest.

// What a connection has to tell the guest, besides data. Lower bits go first.
const (
	sendRequest = 1 << iota
	sendResponse
	sendCredit
	sendCreditRequest
	sendShutdown // after all data
)

// controlOps are the packets without data.
var controlOps = map[uint32]uint16{
	sendRequest: opRequest, sendResponse: opResponse,
	sendCredit: opCreditUpdate, sendCreditRequest: opCreditRequest,
}

// wakeLocked puts a connection that has something to send on the ready list.
func (d *Device) wakeLocked(c *conn) {
	if c.ready || c.removed || !c.wantsToSend() {
		return
	}
	c.ready = true
	d.state.ready = append(d.state.ready, c)
}

// wantsToSend reports whether a packet could be made now. A FIN waits for the data
// before it, and data for credit.
func (c *conn) wantsToSend() bool {
	if c.send&^uint32(sendShutdown) != 0 {
		return true
	}
	if c.out.len() > 0 {
		return c.state == stateEstablished && c.credit() > 0
	}
	return c.state == stateEstablished && c.send&sendShutdown != 0
}

// credit is how many bytes the guest's buffer can still take. What a hostile guest
// claims makes no difference to us: out is bounded.
func (c *conn) credit() int {
	inFlight := c.sent - c.peerFwd
	if inFlight >= c.peerAlloc {
		return 0
	}
	return int(c.peerAlloc - inFlight)
}

// pumpLocked fills rx buffers while there are some and something to send. It
// reports whether it filled any.
func (d *Device) pumpLocked() (gave bool) {
	s := &d.state
	for d.somethingLocked() {
		ok, err := s.rx.Pop(&s.rxChain)
		if !ok || err != nil {
			return gave
		}
		gave = true
		n := 0
		if s.rxChain.Writable() >= headerSize {
			n = d.fillLocked()
		} else {
			d.log.Debug("vsock: an rx buffer too small for a header")
		}
		s.rx.Push(&s.rxChain, uint32(n))
	}
	return gave
}

// somethingLocked reports whether there is a packet to send. It forgets the
// connections that ended while they waited for their turn.
func (d *Device) somethingLocked() bool {
	s := &d.state
	if len(s.resets) > 0 {
		return true
	}
	for len(s.ready) > 0 {
		c := s.ready[0]
		if !c.removed && c.wantsToSend() {
			return true
		}
		c.ready = false
		s.ready = s.ready[1:]
	}
	return false
}

// fillLocked writes one packet into rxChain and returns its length.
func (d *Device) fillLocked() int {
	s := &d.state
	if len(s.resets) > 0 {
		h := s.resets[0]
		s.resets = s.resets[1:]
		return d.writeLocked(&h, nil, nil)
	}
	c := s.ready[0]
	s.ready = s.ready[1:]
	c.ready = false
	n := d.fillFromLocked(c)
	d.wakeLocked(c)
	return n
}

// fillFromLocked makes a connection's next packet.
func (d *Device) fillFromLocked(c *conn) int {
	if c.send&^uint32(sendShutdown) != 0 {
		kind := uint32(1) << bits.TrailingZeros32(c.send)
		c.send &^= kind
		c.announced = true
		return d.writeControlLocked(c, controlOps[kind], 0)
	}
	if c.out.len() > 0 && c.credit() > 0 {
		return d.writeDataLocked(c)
	}
	if c.out.len() == 0 && c.send&sendShutdown != 0 {
		c.send &^= sendShutdown
		n := d.writeControlLocked(c, opShutdown, c.down)
		d.finishLocked(c)
		return n
	}
	return 0
}

func (d *Device) writeDataLocked(c *conn) int {
	n := min(c.out.len(), c.credit(), maxPacket, d.state.rxChain.Writable()-headerSize)
	if n == 0 {
		return 0 // a buffer with room for a header only
	}
	first, second := c.out.peek(n)
	h := c.header(opRW, 0)
	h.len = uint32(n)
	total := d.writeLocked(&h, first, second)
	c.out.drop(n)
	c.sent += uint32(n)
	d.state.count.ReceivedBytes += uint64(n)
	if c.out.len() > 0 && c.credit() == 0 {
		c.send |= sendCreditRequest
	}
	c.cond.Broadcast() // readLoop has room again
	return total
}

func (d *Device) writeControlLocked(c *conn, op uint16, flags uint32) int {
	h := c.header(op, flags)
	return d.writeLocked(&h, nil, nil)
}

// writeLocked writes a packet into rxChain. A page that cannot be written, or a
// reset, loses the packet; the connection's fate is sealed anyway.
func (d *Device) writeLocked(h *header, first, second []byte) int {
	var raw [headerSize]byte
	h.put(&raw)
	chain := &d.state.rxChain
	if chain.WriteAt(raw[:], 0) != nil ||
		chain.WriteAt(first, headerSize) != nil ||
		chain.WriteAt(second, headerSize+len(first)) != nil {
		return 0
	}
	return headerSize + len(first) + len(second)
}

// header is a packet of the connection with our credit in it.
func (c *conn) header(op uint16, flags uint32) header {
	c.lastFwd = c.taken
	return header{
		srcCID: HostCID, dstCID: c.dev.cfg.CID, srcPort: c.key.hostPort, dstPort: c.key.guestPort,
		typ: typeStream, op: op, flags: flags, bufAlloc: BufSize, fwdCnt: c.taken,
	}
}
