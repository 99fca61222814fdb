// SPDX-License-Identifier: Apache-2.0

package guestcheck

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"virtbinder/virtio/vbinder"
)

// HostLeaks says what a device still keeps for its guest: nothing, if the guest has no
// binder file open.
func HostLeaks(d *vbinder.Device) error {
	var left []string
	for kind, n := range d.VM().Counts() {
		if n.Active != 0 {
			left = append(left, fmt.Sprintf("%d of kind %s", n.Active, kind))
		}
	}
	slices.Sort(left)
	s := d.Stats()
	if s.Outstanding != 0 {
		left = append(left, fmt.Sprintf("%d requests", s.Outstanding))
	}
	if s.WindowReserved != 0 {
		left = append(left, fmt.Sprintf("%d bytes of window", s.WindowReserved))
	}
	if len(left) > 0 {
		return fmt.Errorf("the host still has %s", strings.Join(left, ", "))
	}
	return nil
}

// guestIdle is the line in the driver's debugfs that says the same of the guest.
const guestIdle = "processes 0 files 0\n"

// GuestLeaks says what the guest driver still keeps, given its debugfs statistics and
// the kernel's /proc/vmstat, which counts pinned pages.
func GuestLeaks(stats, vmstat string) error {
	var idle, pins error
	if !strings.Contains(stats, guestIdle) {
		idle = fmt.Errorf("the guest driver is not idle:\n%s", stats)
	}
	acquired, released := counter(vmstat, "nr_foll_pin_acquired"), counter(vmstat, "nr_foll_pin_released")
	if acquired == "" || acquired != released {
		pins = fmt.Errorf("%q pages were pinned, %q released", acquired, released)
	}
	return errors.Join(idle, pins)
}

// counter finds a "NAME VALUE" line.
func counter(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
