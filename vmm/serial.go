// SPDX-License-Identifier: Apache-2.0

package vmm

import "sync"

// serial is a 16550A, as the PC's COM1.
//
// Sending takes no time: a byte written is out, and the transmitter is empty
// again at once. What makes drivers work is the interrupt state machine:
//
//	received data   while the FIFO holds any          cleared by reading it out
//	transmitter     when it becomes empty, and when   cleared by reading IIR, if
//	empty (THRE)    its interrupt is switched on       that is what IIR reports
//
// and the line is high exactly while one of them is pending and enabled.
//
// serial.mu is a leaf but for irq and tx, which take no locks of the machine.
type serial struct {
	tx  func(b byte)    // where sent bytes go; may block
	irq func(high bool) // drives the interrupt line

	mu     sync.Mutex
	room   sync.Cond // on mu: the receive FIFO has room, or closed
	st     serialState
	closed bool
}

// serialState is guarded by serial.mu.
type serialState struct {
	ier, fcr, lcr, mcr, scr uint8
	divisor                 uint16
	txEmpty                 bool // the THRE interrupt is pending
	rx                      [serialFIFO]byte
	rxHead, rxLen           int
	line                    bool
}

const serialFIFO = 16

// Registers, by offset.
const (
	regData = iota // DLL with DLAB
	regIER         // DLM with DLAB
	regIIR         // FCR when written
	regLCR
	regMCR
	regLSR
	regMSR
	regSCR
	serialRegs
)

const (
	ierReceive  = 1 << 0
	ierTransmit = 1 << 1
	ierMask     = 0x0f

	iirNone     = 0x01
	iirTransmit = 0x02
	iirReceive  = 0x04
	iirFIFO     = 0xc0

	fcrEnable  = 1 << 0
	fcrClearRx = 1 << 1

	lcrDLAB = 1 << 7

	mcrDTR  = 1 << 0
	mcrRTS  = 1 << 1
	mcrOut1 = 1 << 2
	mcrOut2 = 1 << 3
	mcrLoop = 1 << 4
	mcrMask = 0x1f

	lsrData  = 1 << 0
	lsrEmpty = 1<<5 | 1<<6 // transmitter holding register and shifter

	msrCTS = 1 << 4
	msrDSR = 1 << 5
	msrRI  = 1 << 6
	msrDCD = 1 << 7
)

func newSerial(tx func(byte), irq func(bool)) *serial {
	s := &serial{tx: tx, irq: irq}
	s.room.L = &s.mu
	s.st.divisor = 12 // 9600 baud
	return s
}

// Input feeds p to the guest and blocks while the FIFO is full. It returns false
// once the port is closed.
func (s *serial) Input(p []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range p {
		for s.st.rxLen == serialFIFO && !s.closed {
			s.room.Wait()
		}
		if s.closed {
			return false
		}
		s.st.push(b)
		s.updateLocked()
	}
	return !s.closed
}

// Close ends Input; the guest's accesses still work.
func (s *serial) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.room.Broadcast()
}

// ReadIO answers the guest; registers are a byte wide.
func (s *serial) ReadIO(off uint64, p []byte) {
	fillOnes(p)
	s.mu.Lock()
	p[0] = s.readLocked(off)
	s.updateLocked()
	s.mu.Unlock()
}

// WriteIO takes the guest's write; of a wider one the first byte counts.
func (s *serial) WriteIO(off uint64, p []byte) {
	s.mu.Lock()
	send := s.writeLocked(off, p[0])
	s.updateLocked()
	s.mu.Unlock()
	if send {
		s.tx(p[0]) // may block on a slow console: not under the lock
	}
}

func (s *serial) readLocked(off uint64) uint8 {
	st := &s.st
	switch off {
	case regData:
		if st.lcr&lcrDLAB != 0 {
			return uint8(st.divisor)
		}
		b := st.pop()
		s.room.Signal()
		return b
	case regIER:
		if st.lcr&lcrDLAB != 0 {
			return uint8(st.divisor >> 8)
		}
		return st.ier
	case regIIR:
		return st.readIIR()
	case regLCR:
		return st.lcr
	case regMCR:
		return st.mcr
	case regLSR:
		if st.rxLen > 0 {
			return lsrEmpty | lsrData
		}
		return lsrEmpty
	case regMSR:
		return st.modemStatus()
	case regSCR:
		return st.scr
	}
	return 0xff
}

// writeLocked reports whether the byte is to be sent.
func (s *serial) writeLocked(off uint64, b uint8) (send bool) {
	st := &s.st
	switch off {
	case regData:
		return st.writeData(b)
	case regIER:
		st.writeIER(b)
	case regIIR: // FCR
		st.fcr = b
		if b&fcrClearRx != 0 {
			st.rxLen = 0
			s.room.Signal()
		}
	case regLCR:
		st.lcr = b
	case regMCR:
		st.mcr = b & mcrMask
	case regSCR:
		st.scr = b
	}
	return false
}

func (st *serialState) writeData(b uint8) (send bool) {
	if st.lcr&lcrDLAB != 0 {
		st.divisor = st.divisor&0xff00 | uint16(b)
		return false
	}
	st.txEmpty = true
	if st.mcr&mcrLoop != 0 {
		st.push(b)
		return false
	}
	return true
}

func (st *serialState) writeIER(b uint8) {
	if st.lcr&lcrDLAB != 0 {
		st.divisor = st.divisor&0x00ff | uint16(b)<<8
		return
	}
	if b&ierTransmit != 0 && st.ier&ierTransmit == 0 {
		st.txEmpty = true // it is empty now, and always was
	}
	st.ier = b & ierMask
}

// pending returns the interrupt that IIR reports, the most urgent first.
func (st *serialState) pending() uint8 {
	switch {
	case st.ier&ierReceive != 0 && st.rxLen > 0:
		return iirReceive
	case st.ier&ierTransmit != 0 && st.txEmpty:
		return iirTransmit
	}
	return iirNone
}

func (st *serialState) readIIR() uint8 {
	id := st.pending()
	if id == iirTransmit {
		st.txEmpty = false
	}
	if st.fcr&fcrEnable != 0 {
		id |= iirFIFO
	}
	return id
}

// modemStatus says that a peer is there; in loopback it shows the outputs.
func (st *serialState) modemStatus() uint8 {
	if st.mcr&mcrLoop == 0 {
		return msrDCD | msrDSR | msrCTS
	}
	var m uint8
	for _, wire := range [...][2]uint8{{mcrRTS, msrCTS}, {mcrDTR, msrDSR}, {mcrOut1, msrRI}, {mcrOut2, msrDCD}} {
		if st.mcr&wire[0] != 0 {
			m |= wire[1]
		}
	}
	return m
}

// push appends a received byte; a full FIFO loses it, as hardware would.
func (st *serialState) push(b byte) {
	if st.rxLen < serialFIFO {
		st.rx[(st.rxHead+st.rxLen)%serialFIFO] = b
		st.rxLen++
	}
}

// pop takes the oldest received byte; 0 when there is none.
func (st *serialState) pop() byte {
	if st.rxLen == 0 {
		return 0
	}
	b := st.rx[st.rxHead]
	st.rxHead = (st.rxHead + 1) % serialFIFO
	st.rxLen--
	return b
}

// updateLocked drives the line to what the state asks for. Only changes go out:
// each is an ioctl.
func (s *serial) updateLocked() {
	high := s.st.pending() != iirNone
	if high != s.st.line {
		s.st.line = high
		s.irq(high)
	}
}
