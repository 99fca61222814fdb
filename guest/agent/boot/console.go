// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"bytes"
	"fmt"
	"os"
	"sync"
)

// Console says things where the host sees them: on the console, and in the kernel's
// log. It may be used from any goroutine.
type Console struct {
	mu      sync.Mutex
	console *os.File // nil if there is none
	kmsg    *os.File // nil if there is none
}

// OpenConsole opens what there is; call it after Mount.
func OpenConsole() *Console {
	c := &Console{}
	if f, err := os.OpenFile("/dev/console", os.O_WRONLY, 0); err == nil {
		c.console = f
	}
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		c.kmsg = f
	}
	return c
}

// Say prints one line, whatever the kernel's log level.
func (c *Console) Say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	level := 6 // info: in the log, not again on the console
	if c.console != nil {
		fmt.Fprintf(c.console, "\n%s\n", line) // the kernel may have left half a line
	} else {
		level = 3 // error: the kernel prints it for us
	}
	c.log(level, line)
}

// Write is for a slog handler: each call is one line for the kernel's log.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range bytes.Split(bytes.TrimRight(p, "\n"), []byte("\n")) {
		c.log(6, "virtbinder-agent: "+string(line))
	}
	return len(p), nil
}

// log writes one record; the kernel takes at most about a thousand bytes.
func (c *Console) log(level int, line string) {
	if c.kmsg != nil {
		fmt.Fprintf(c.kmsg, "<%d>%.900s\n", level, line)
	}
}
