// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"fmt"
	"io"
	"os"

	"virtbinder/vmm"
)

// openConsole connects the guest's console: the log always, and what the flag
// says. The returned function undoes it and restores the terminal.
func openConsole(vm VM, log, in, out *os.File) (vmm.Console, func() error, error) {
	c := vmm.Console{Log: &cappedWriter{w: log, left: logLimit}}
	switch vm.where {
	case consoleFile:
		f, err := os.OpenFile(vm.consPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
		if err != nil {
			return c, nil, fmt.Errorf("--console: %w", err)
		}
		c.Out = f
		return c, f.Close, nil
	case consoleStdio:
		c.Out, c.In = out, in
		restore, raw, err := rawTerminal(in)
		if err != nil {
			return c, nil, err
		}
		if raw {
			fmt.Fprintln(os.Stderr, escapeHelp)
			c.In = &escapeReader{r: in, stop: interruptSelf}
		}
		return c, restore, nil
	}
	return c, func() error { return nil }, nil
}

const escapeHelp = "ctrl-c or ctrl-a x stops the machine; ctrl-a c sends ctrl-c to the guest, ctrl-a ctrl-a sends ctrl-a"

// Keys of the console.
const (
	keyInterrupt = 0x03
	keyEscape    = 0x01 // ctrl-a
)

// escapeReader takes the escape sequences out of what is typed.
type escapeReader struct {
	r    io.Reader
	stop func()

	escaped bool // the last byte was the escape
}

// Read fills p with what goes to the guest. It may return nothing without an
// error.
func (e *escapeReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	kept := 0
	for _, b := range p[:n] {
		if c, send := e.key(b); send {
			p[kept] = c // never ahead of the byte being looked at
			kept++
		}
	}
	return kept, err
}

// key looks at one typed byte and returns what to send for it, if anything.
func (e *escapeReader) key(b byte) (c byte, send bool) {
	if !e.escaped {
		e.escaped = b == keyEscape
		return b, !e.escaped
	}
	e.escaped = false
	switch b {
	case 'x', 'X':
		e.stop()
		return 0, false
	case 'c', 'C':
		return keyInterrupt, true
	}
	return b, true // the escape itself, or a key that means nothing special
}
