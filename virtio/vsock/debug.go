// SPDX-License-Identifier: Apache-2.0

package vsock

import (
	"fmt"
	"io"
)

// Dump prints the device's state: its rings and each connection.
func (d *Device) Dump(w io.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.state
	fmt.Fprintf(w, "vsock cid %d active %v: %d connections, %d ready, %d resets\n", d.cfg.CID, s.active, len(s.conns), len(s.ready), len(s.resets))
	if !s.active {
		return
	}
	fmt.Fprintf(w, "  rx: %v\n  tx: %v\n", s.rx, s.tx)
	for key, c := range s.conns {
		fmt.Fprintf(w, "  host %d guest %d: state %d down %d/%d (guest/host) in %d taken %d told %d | out %d sent %d guest took %d of %d, to send %#x ready %v\n",
			key.hostPort, key.guestPort, c.state, c.peerDown, c.down, c.in.len(), c.taken, c.lastFwd,
			c.out.len(), c.sent, c.peerFwd, c.peerAlloc, c.send, c.ready)
	}
}
