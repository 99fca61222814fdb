// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"sync"
	"testing"
)

// uart is a serial port under test, with what it sent and the line's edges.
type uart struct {
	*serial
	sent  []byte
	line  bool
	edges int
}

func newUART() *uart {
	u := &uart{}
	u.serial = newSerial(func(b byte) { u.sent = append(u.sent, b) }, func(high bool) {
		if high && !u.line {
			u.edges++
		}
		u.line = high
	})
	return u
}

func (u *uart) in(reg uint64) uint8 {
	var p [1]byte
	u.ReadIO(reg, p[:])
	return p[0]
}

func (u *uart) out(reg uint64, b uint8) { u.WriteIO(reg, []byte{b}) }

// TestTransmitInterrupt follows a driver that sends by interrupt.
func TestTransmitInterrupt(t *testing.T) {
	u := newUART()
	u.out(regIIR, fcrEnable)
	if got := u.in(regIIR); got != iirFIFO|iirNone {
		t.Fatalf("idle IIR is %#x", got)
	}
	u.out(regIER, ierTransmit)
	if !u.line {
		t.Fatal("switching the interrupt on with the transmitter empty must raise it")
	}
	if got := u.in(regIIR); got != iirFIFO|iirTransmit {
		t.Fatalf("IIR is %#x, want THRE", got)
	}
	if u.line {
		t.Fatal("reading IIR must clear THRE")
	}
	u.out(regData, 'a')
	if !u.line || string(u.sent) != "a" {
		t.Fatalf("line %v, sent %q after a byte", u.line, u.sent)
	}
	if got := u.in(regLSR); got != lsrEmpty {
		t.Fatalf("LSR is %#x", got)
	}
	u.in(regIIR)
	u.out(regIER, 0)
	u.out(regIER, ierTransmit) // Linux tests for chips that miss this one
	if got := u.in(regIIR); got != iirFIFO|iirTransmit {
		t.Fatalf("IIR is %#x after switching THRE on again", got)
	}
	u.out(regIER, ierTransmit) // no change, no new interrupt
	if u.line {
		t.Fatal("writing the same IER again raised the line")
	}
}

// TestReceiveInterrupt: the line stays high until the last byte is read.
func TestReceiveInterrupt(t *testing.T) {
	u := newUART()
	u.out(regIER, ierReceive|ierTransmit)
	u.in(regIIR) // the transmitter's
	u.Input([]byte("hi"))
	if !u.line || u.in(regLSR)&lsrData == 0 {
		t.Fatal("no interrupt or no data for a received byte")
	}
	u.out(regData, 'x') // now both are pending; receive comes first
	if got := u.in(regIIR); got != iirReceive {
		t.Fatalf("IIR is %#x, want receive", got)
	}
	if got := string([]byte{u.in(regData), u.in(regData)}); got != "hi" {
		t.Fatalf("received %q", got)
	}
	if got := u.in(regIIR); got != iirTransmit {
		t.Fatalf("IIR is %#x, want the transmitter's after the data", got)
	}
	if u.line || u.in(regLSR)&lsrData != 0 {
		t.Fatal("line or LSR still tells of data")
	}
}

// TestLoopback is the presence test of Linux's driver.
func TestLoopback(t *testing.T) {
	u := newUART()
	u.out(regMCR, mcrLoop|mcrOut2|mcrRTS)
	if got := u.in(regMSR) & 0xf0; got != msrDCD|msrCTS {
		t.Errorf("MSR in loopback is %#x", got)
	}
	u.out(regData, 'z')
	if got := u.in(regData); got != 'z' || len(u.sent) != 0 {
		t.Errorf("loopback returned %q, sent %q", got, u.sent)
	}
	u.out(regMCR, 0)
	if got := u.in(regMSR); got != msrDCD|msrDSR|msrCTS {
		t.Errorf("MSR is %#x", got)
	}
}

// TestSerialRegisters: DLAB shadows two registers, IER keeps four bits.
func TestSerialRegisters(t *testing.T) {
	u := newUART()
	u.out(regIER, 0xff)
	if got := u.in(regIER); got != ierMask {
		t.Errorf("IER is %#x", got)
	}
	u.out(regLCR, lcrDLAB|3)
	u.out(regData, 1)
	u.out(regIER, 2)
	if a, b := u.in(regData), u.in(regIER); a != 1 || b != 2 {
		t.Errorf("divisor reads %d, %d", a, b)
	}
	u.out(regLCR, 3)
	if got := u.in(regIER); got != ierMask {
		t.Errorf("IER is %#x after DLAB", got)
	}
	if len(u.sent) != 0 {
		t.Errorf("the divisor was sent: %q", u.sent)
	}
}

// TestInputWaitsForRoom: more than the FIFO holds arrives whole and in order, and
// Close ends a waiting Input.
func TestInputWaitsForRoom(t *testing.T) {
	u := newUART()
	text := "a text that is longer than the receive FIFO of the port"
	var wg sync.WaitGroup
	wg.Go(func() { u.Input([]byte(text)) })
	var got []byte
	for len(got) < len(text) {
		if u.in(regLSR)&lsrData != 0 {
			got = append(got, u.in(regData))
		}
	}
	wg.Wait()
	if string(got) != text {
		t.Errorf("received %q", got)
	}
	done := make(chan bool)
	go func() { done <- u.Input(make([]byte, serialFIFO+1)) }()
	for {
		u.mu.Lock()
		full := u.st.rxLen == serialFIFO
		u.mu.Unlock()
		if full {
			break
		}
	}
	u.Close()
	if <-done {
		t.Error("Input on a closed port says it went well")
	}
}
