// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"fmt"

	"virtbinder/internal/guestmem"
)

// String shows where a ring stands, for dumps: what the driver has offered and the
// device has taken, what the device has given back, and at which index each side
// wants to be told.
func (q *Queue) String() (s string) {
	if q.cfg.Size == 0 {
		return "not enabled"
	}
	var err error
	defer func() {
		if err != nil {
			s = err.Error()
		}
	}()
	defer guestmem.Recover(guestmem.Enter(), &err)
	q.mu.Lock()
	defer q.mu.Unlock()
	st := &q.state
	return fmt.Sprintf("size %d stopped %v avail %d taken %d avail_event %d | used %d signalled %d fresh %v used_event %d flags %#x",
		q.cfg.Size, q.stopped.Load(), q.availIdx.load(), st.lastAvail, q.availEvent.load(),
		st.lastUsed, st.signalled, st.fresh, q.usedEvent.load(), q.availFlags.load())
}
