// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"io"
	"sync"
)

// logLimit bounds a log in the runtime directory, in bytes. The runtime directory is memory on
// most hosts, and the guest decides how much it prints.
const logLimit = 64 << 20

// cappedWriter passes the first left bytes on, then one line that says so, then
// nothing.
type cappedWriter struct {
	w io.Writer

	mu   sync.Mutex
	left int  // guarded by mu
	full bool // guarded by mu
}

// Write never reports that it dropped something.
func (c *cappedWriter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full {
		return len(p), nil
	}
	n := min(len(p), c.left)
	if _, err := c.w.Write(p[:n]); err != nil {
		return 0, err
	}
	c.left -= n
	if n < len(p) {
		c.full = true
		if _, err := fmt.Fprintf(c.w, "\r\n[virtbinder: this log is full, what follows is not kept]\r\n"); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
