// SPDX-License-Identifier: Apache-2.0

package vsock

// This file handles packets from the guest.

// receiveLocked takes packets from the tx queue until it is empty, or until the
// answers that wait for rx buffers are too many. It reports whether it took any.
func (d *Device) receiveLocked() (took bool) {
	s := &d.state
	for len(s.resets) < maxResets {
		ok, err := s.tx.Pop(&s.txChain)
		if !ok || err != nil {
			return took
		}
		took = true
		var raw [headerSize]byte
		if s.txChain.Readable() >= headerSize && s.txChain.ReadAt(raw[:], 0) == nil {
			h := parseHeader(&raw)
			d.packetLocked(&h)
		} else {
			d.log.Debug("vsock: a packet without a header")
		}
		s.tx.Push(&s.txChain, 0)
	}
	return took
}

// packetLocked acts on one packet, whose data is in txChain.
func (d *Device) packetLocked(h *header) {
	s := &d.state
	switch {
	case h.srcCID != d.cfg.CID:
		d.log.Debug("vsock: a packet from another CID", "cid", h.srcCID)
		return
	case int64(h.len) > int64(s.txChain.Readable()-headerSize):
		d.log.Debug("vsock: a packet shorter than it says", "len", h.len)
		return
	case h.dstCID != HostCID || h.typ != typeStream:
		d.refuseLocked(h)
		return
	}
	c := s.conns[connKey{hostPort: h.dstPort, guestPort: h.srcPort}]
	if c == nil {
		if h.op == opRequest {
			d.requestLocked(h)
		} else {
			d.refuseLocked(h)
		}
		return
	}
	c.peerAlloc, c.peerFwd = h.bufAlloc, h.fwdCnt
	switch h.op {
	case opResponse:
		d.responseLocked(c)
	case opRST:
		d.goneLocked(c)
	case opShutdown:
		d.shutdownLocked(c, h.flags)
	case opRW:
		d.dataLocked(c, h)
	case opCreditUpdate:
	case opCreditRequest:
		c.send |= sendCredit
	default: // a second REQUEST, or no such operation
		d.resetLocked(c)
		return
	}
	d.wakeLocked(c)
}

// refuseLocked answers a packet that belongs to no connection.
func (d *Device) refuseLocked(h *header) {
	if h.op == opRST {
		return
	}
	d.state.resets = append(d.state.resets, header{
		srcCID: h.dstCID, dstCID: h.srcCID, srcPort: h.dstPort, dstPort: h.srcPort,
		typ: h.typ, op: opRST,
	})
}

// requestLocked begins a connection from the guest.
func (d *Device) requestLocked(h *header) {
	s := &d.state
	if len(s.conns) >= MaxConns {
		d.log.Warn("vsock: the guest has too many connections", "limit", MaxConns)
		d.refuseLocked(h)
		return
	}
	c := d.newConnLocked(connKey{hostPort: h.dstPort, guestPort: h.srcPort})
	c.peerAlloc, c.peerFwd = h.bufAlloc, h.fwdCnt
	s.loops.Go(func() { d.dial(c) })
}

// responseLocked completes a connection from the host.
func (d *Device) responseLocked(c *conn) {
	if c.state != stateRequested {
		d.resetLocked(c)
		return
	}
	c.state = stateEstablished
	c.cond.Broadcast()
}

// goneLocked handles the guest's RST. Data that it sent before it shut down in good
// order is still delivered.
func (d *Device) goneLocked(c *conn) {
	c.forgotten = true
	if c.peerDown&shutdownSend == 0 || c.in.len() == 0 {
		d.removeLocked(c)
		return
	}
	c.peerDown = shutdownBoth
	c.out.drop(c.out.len())
	c.cond.Broadcast()
}

// shutdownLocked notes which directions the guest has given up. Data that came
// before is still delivered.
func (d *Device) shutdownLocked(c *conn, flags uint32) {
	if c.state != stateEstablished {
		d.resetLocked(c)
		return
	}
	c.peerDown |= flags & shutdownBoth
	c.cond.Broadcast()
	if c.peerDown&shutdownRecv != 0 {
		c.out.drop(c.out.len()) // nobody will read it
		c.sock.CloseRead()
	}
	d.finishLocked(c)
}

// dataLocked copies a packet's data into the connection's buffer. A guest that
// sends more than the credit it was given loses the connection.
func (d *Device) dataLocked(c *conn, h *header) {
	n := int(h.len)
	switch {
	case c.state != stateEstablished, c.peerDown&shutdownSend != 0:
		d.resetLocked(c)
		return
	case n > c.in.free():
		d.log.Warn("vsock: the guest sent more than its credit", "port", c.key.hostPort)
		d.resetLocked(c)
		return
	case c.sockDown:
		return // nobody reads it; finishLocked has told or will tell the guest
	}
	first, second := c.in.reserve(n)
	chain := &d.state.txChain
	if chain.ReadAt(first, headerSize) != nil || chain.ReadAt(second, headerSize+len(first)) != nil {
		d.resetLocked(c)
		return
	}
	c.in.commit(n)
	d.state.count.SentBytes += uint64(n)
	c.cond.Broadcast()
}
