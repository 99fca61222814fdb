// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestPowerOff(t *testing.T) {
	var off bool
	b := &powerBlock{off: func() { off = true }, sci: func(bool) {}}
	write16 := func(reg uint64, v uint16) { b.WriteIO(reg, binary.LittleEndian.AppendUint16(nil, v)) }
	write16(pm1Control, sleepTypeOff<<pm1SleepTypeAt) // ACPI writes the type first,
	if off {
		t.Fatal("off without the enable bit")
	}
	write16(pm1Control, 3<<pm1SleepTypeAt|pm1SleepEnable)
	if off {
		t.Fatal("off on another sleep type")
	}
	write16(pm1Control, sleepTypeOff<<pm1SleepTypeAt|pm1SleepEnable) // then again with enable
	if !off {
		t.Fatal("not off")
	}
	p := make([]byte, 2)
	b.ReadIO(pm1Control, p)
	if v := binary.LittleEndian.Uint16(p); v&pm1SCIEnabled == 0 || v&pm1SleepEnable != 0 {
		t.Errorf("control reads %#x", v)
	}
}

func TestPowerButton(t *testing.T) {
	var line bool
	b := &powerBlock{off: func() {}, sci: func(high bool) { line = high }}
	b.pressButton()
	if line {
		t.Error("the button interrupts before the guest enabled it")
	}
	b.WriteIO(pm1Enable, []byte{0, pm1PowerButton >> 8})
	if !line {
		t.Error("no interrupt for a pressed, enabled button")
	}
	p := make([]byte, 4) // status and enable at once
	b.ReadIO(pm1Status, p)
	if !bytes.Equal(p, []byte{0, 1, 0, 1}) {
		t.Errorf("event block reads % x", p)
	}
	b.WriteIO(pm1Status, []byte{0, pm1PowerButton >> 8})
	if line {
		t.Error("writing the status bit did not clear it")
	}
}

func TestCMOS(t *testing.T) {
	c := &cmos{now: func() time.Time { return time.Date(2031, 12, 25, 23, 59, 8, 0, time.UTC) }}
	for index, want := range map[uint8]uint8{0: 0x08, 2: 0x59, 4: 0x23, 6: 5, 7: 0x25, 8: 0x12, 9: 0x31, 0x32: 0x20, 0x0a: 0x26, 0x0b: 2, 0x0d: 0x80, 0x7e: 0} {
		c.WriteIO(0, []byte{0x80 | index})
		p := []byte{0}
		c.ReadIO(1, p)
		if p[0] != want {
			t.Errorf("register %#x reads %#x, want %#x", index, p[0], want)
		}
	}
}

func TestKeyboardController(t *testing.T) {
	resets := 0
	k := keyboardController{func() { resets++ }}
	p := []byte{0}
	if k.ReadIO(4, p); p[0] != 0xff {
		t.Errorf("an absent controller's status reads %#x", p[0])
	}
	k.WriteIO(0, []byte{0xfe})
	k.WriteIO(4, []byte{0xd1})
	if resets != 0 {
		t.Error("reset without the command")
	}
	k.WriteIO(4, []byte{0xfe})
	if resets != 1 {
		t.Error("no reset on command 0xfe")
	}
}

// TestPanicLine: only the kernel's own line counts, wherever the stream is cut.
func TestPanicLine(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[    3.299860] Kernel panic - not syncing: sysrq triggered crash\r\n", "sysrq triggered crash"},
		{"[    3.299860][    T1] Kernel panic - not syncing: with caller ids\n", "with caller ids"},
		{"Kernel panic - not syncing: no timestamps\n", "no timestamps"},
		{"Kernel panic - not syncing: \n", "no reason given"},
		{"grep: Kernel panic - not syncing: in a log\n", ""},
		{"[ note ] Kernel panic - not syncing: quoted\n", ""},
		{"Kernel panic - not syncing: unfinished", ""},
		{strings.Repeat("long ", 500) + "\nKernel panic - not syncing: after a long line\n", "after a long line"},
	} {
		for _, step := range []int{1, 7, len(c.text)} {
			calls := 0
			o := newOutput(Console{}, slog.Default(), func() { calls++ })
			for p := []byte(c.text); len(p) > 0; p = p[min(step, len(p)):] {
				o.scan.write(p[:min(step, len(p))])
			}
			if o.panicked != c.want || (calls == 1) != (c.want != "") {
				t.Errorf("%.60q by %d: %q, %d calls", c.text, step, o.panicked, calls)
			}
		}
	}
}

// brokenWriter fails after a while, as a full disk does.
type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// TestOutput: everything printed arrives, in order, before close returns, and one
// failing writer does not harm the other.
func TestOutput(t *testing.T) {
	var kept bytes.Buffer
	o := newOutput(Console{Out: []io.Writer{&kept, &brokenWriter{left: 100}}}, slog.New(slog.DiscardHandler), func() {})
	go o.run()
	var want []byte
	for i := range 2 * consoleRoom {
		b := byte('a' + i%26)
		want = append(want, b)
		o.put(b)
	}
	o.close()
	o.put('!') // after the end: dropped, not waited for
	if !bytes.Equal(kept.Bytes(), want) {
		t.Errorf("%d of %d bytes arrived", kept.Len(), len(want))
	}
}

// stuckWriter never returns from Write until let go.
type stuckWriter struct{ release chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) { <-w.release; return len(p), nil }

// TestOutputReleases: a vCPU that waits for a stuck terminal is let go at the end.
func TestOutputReleases(t *testing.T) {
	w := stuckWriter{make(chan struct{})}
	o := newOutput(Console{Out: []io.Writer{w}}, slog.Default(), func() {})
	go o.run()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 * consoleRoom {
			o.put('x')
		}
	}()
	o.release()
	<-done
	close(w.release)
	o.close()
}

func TestSlotTable(t *testing.T) {
	s := slotTable{next: slotShared}
	a, b := s.take(), s.take()
	if a == b || a < slotShared {
		t.Errorf("slots %d and %d", a, b)
	}
	s.give(a)
	if c := s.take(); c != a {
		t.Errorf("slot %d is taken, %d was free", c, a)
	}
}
