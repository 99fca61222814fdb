// SPDX-License-Identifier: Apache-2.0

package vmm

import "time"

// The PC's small old devices, as far as kernels still touch them.

// keyboardController is an i8042 that is not there: it reads all ones, which
// kernels take for absence at once. Only its reset line is connected.
type keyboardController struct{ reset func() }

const (
	keyboardPort      = 0x60
	keyboardPorts     = 5 // 0x60 and 0x64, and what lies between but the kernel's 0x61
	keyboardCommand   = 4
	keyboardResetLine = 0xfe
)

func (k keyboardController) ReadIO(_ uint64, p []byte) { fillOnes(p) }

func (k keyboardController) WriteIO(off uint64, p []byte) {
	if off == keyboardCommand && p[0] == keyboardResetLine {
		k.reset()
	}
}

// panicDevice is pvpanic: a guest with its driver writes why it stops.
type panicPortDevice struct{ event func(bits uint8) }

// Events of the panic port. We know of panics; a crash kernel takes over on the
// other.
const (
	panicEventPanicked = 1 << 0
	panicEventCrash    = 1 << 1
)

func (d panicPortDevice) ReadIO(_ uint64, p []byte) {
	fillOnes(p)
	p[0] = panicEventPanicked | panicEventCrash // what we understand
}

func (d panicPortDevice) WriteIO(_ uint64, p []byte) { d.event(p[0]) }

// cmos is the real-time clock and its memory: an index port, a data port. It
// tells the host's time in UTC and takes no writes but the index.
type cmos struct {
	index atomicByte
	now   func() time.Time
}

const (
	cmosPort = 0x70

	cmosSeconds = 0x00
	cmosMinutes = 0x02
	cmosHours   = 0x04
	cmosWeekday = 0x06
	cmosDay     = 0x07
	cmosMonth   = 0x08
	cmosYear    = 0x09
	cmosStatusA = 0x0a
	cmosStatusB = 0x0b
	cmosStatusD = 0x0d
	cmosCentury = 0x32

	rtcDivider    = 0x26 // 32768 Hz; no update in progress
	rtc24Hour     = 0x02 // BCD
	rtcBatteryOK  = 0x80
	cmosIndexMask = 0x7f // bit 7 masks the NMI
)

func (c *cmos) ReadIO(off uint64, p []byte) {
	fillOnes(p)
	if off == 1 {
		p[0] = c.register(c.index.load())
	}
}

func (c *cmos) WriteIO(off uint64, p []byte) {
	if off == 0 {
		c.index.store(p[0] & cmosIndexMask)
	}
}

func (c *cmos) register(index uint8) uint8 {
	t := c.now().UTC()
	switch index {
	case cmosSeconds:
		return bcd(t.Second())
	case cmosMinutes:
		return bcd(t.Minute())
	case cmosHours:
		return bcd(t.Hour())
	case cmosWeekday:
		return bcd(int(t.Weekday()) + 1)
	case cmosDay:
		return bcd(t.Day())
	case cmosMonth:
		return bcd(int(t.Month()))
	case cmosYear:
		return bcd(t.Year() % 100)
	case cmosCentury:
		return bcd(t.Year() / 100)
	case cmosStatusA:
		return rtcDivider
	case cmosStatusB:
		return rtc24Hour
	case cmosStatusD:
		return rtcBatteryOK
	}
	return 0
}

func bcd(n int) uint8 { return uint8(n/10<<4 | n%10) }
