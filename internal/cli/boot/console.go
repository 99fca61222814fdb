// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"fmt"
	"io"
	"os"

	"virtbinder/internal/machine"
)

// useTerminal gives this process's terminal to the machine whose console leads there.
// What is returned restores it.
func useTerminal(host *machine.Host, in, out *os.File) (restore func() error, err error) {
	host.In, host.Out = in, out
	restore, raw, err := rawTerminal(in)
	if err == nil && raw {
		fmt.Fprintln(os.Stderr, escapeHelp)
		host.In = &escapeReader{r: in, stop: interruptSelf}
	}
	return restore, err
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
