// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"bytes"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Console is where the guest's serial port leads.
type Console struct {
	// In is read for input to the guest; nil gives none. A Read in progress when
	// the machine ends is not interrupted; its bytes are lost.
	In io.Reader
	// Out gets what the guest prints. A writer that fails is left out from then on.
	Out []io.Writer
}

// consoleRoom is how much output may wait for slow writers before the guest is
// made to wait, in bytes.
const consoleRoom = 1 << 20

// flushDelay is how long output may gather before it is written. Without it every
// byte of a slow printing kernel would wake a thread and cost system calls.
const flushDelay = 5 * time.Millisecond

// panicGrace is the default of Config.PanicGrace.
const panicGrace = 10 * time.Second

// output carries what the guest prints to the writers, in a goroutine of its
// own: a vCPU only appends to a buffer. It watches for the kernel's panic line.
type output struct {
	writers []io.Writer
	log     *slog.Logger
	onPanic func() // called once, from the goroutine

	mu     sync.Mutex
	wake   sync.Cond // on mu: there is something to write, or room, or the end
	buf    []byte
	closed bool
	done   chan struct{}

	scan     lineScanner
	panicked string // the panic's text; the goroutine's until done
}

func newOutput(c Console, log *slog.Logger, onPanic func()) *output {
	o := &output{writers: slices.Clone(c.Out), log: log, onPanic: onPanic, done: make(chan struct{})}
	o.wake.L = &o.mu
	o.scan.line = o.line
	return o
}

// put takes one byte from the guest. It blocks while the buffer is full, so that
// nothing is lost on a slow terminal.
func (o *output) put(b byte) {
	o.mu.Lock()
	for len(o.buf) >= consoleRoom && !o.closed {
		o.wake.Wait()
	}
	first := len(o.buf) == 0
	if !o.closed {
		o.buf = append(o.buf, b)
	}
	o.mu.Unlock()
	if first {
		o.wake.Broadcast()
	}
}

// run writes until close has been called and all is written.
func (o *output) run() {
	defer close(o.done)
	var spare []byte
	for {
		o.mu.Lock()
		for len(o.buf) == 0 && !o.closed {
			o.wake.Wait()
		}
		if !o.closed {
			o.mu.Unlock()
			time.Sleep(flushDelay)
			o.mu.Lock()
		}
		batch := o.buf
		o.buf = spare[:0]
		o.mu.Unlock()
		o.wake.Broadcast()
		if len(batch) == 0 {
			return
		}
		o.write(batch)
		o.scan.write(batch)
		spare = batch
	}
}

func (o *output) write(p []byte) {
	live := o.writers[:0]
	for _, w := range o.writers {
		if _, err := w.Write(p); err != nil {
			o.log.Warn("console: writer failed, going on without it", "err", err)
			continue
		}
		live = append(live, w)
	}
	o.writers = live
}

// release lets no vCPU wait for room any more; what is printed from now on is
// dropped.
func (o *output) release() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.wake.Broadcast()
}

// close writes out what is left and returns the text of the guest's panic, empty
// if it printed none. run must have been started.
func (o *output) close() string {
	o.release()
	<-o.done
	return o.panicked
}

// panicMark begins what Linux prints when it gives up.
const panicMark = "Kernel panic - not syncing: "

// line looks at a complete line of the guest's.
func (o *output) line(line []byte) {
	rest, found := bytes.CutPrefix(skipTimestamp(line), []byte(panicMark))
	if !found || o.panicked != "" {
		return
	}
	o.panicked = string(rest)
	if o.panicked == "" {
		o.panicked = "no reason given"
	}
	o.onPanic()
}

// skipTimestamp drops printk's "[   12.345678] " and "[    T1] ", so that only a
// line that begins with the mark counts and not one that quotes it.
func skipTimestamp(line []byte) []byte {
	for len(line) > 0 && line[0] == '[' {
		end := bytes.IndexByte(line, ']')
		if end < 0 || len(bytes.Trim(line[1:end], " .0123456789TC")) > 0 {
			return line
		}
		line = bytes.TrimPrefix(line[end+1:], []byte(" "))
	}
	return line
}

// lineScanner cuts a stream into lines; of very long ones it keeps the start.
type lineScanner struct {
	line func([]byte)
	buf  [512]byte
	n    int
}

func (s *lineScanner) write(p []byte) {
	for _, c := range p {
		switch {
		case c == '\n':
			s.line(bytes.TrimRight(s.buf[:s.n], "\r"))
			s.n = 0
		case s.n < len(s.buf):
			s.buf[s.n] = c
			s.n++
		}
	}
}
