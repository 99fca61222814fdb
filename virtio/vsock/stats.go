// SPDX-License-Identifier: Apache-2.0

package vsock

// Stats is what went over a device since New, and how many connections there are now.
type Stats struct {
	Open                     int // those being made among them
	Begun                    uint64
	ReceivedBytes, SentBytes uint64 // by the guest
}

// Stats returns a snapshot.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state.count
	s.Open = len(d.state.conns)
	return s
}
