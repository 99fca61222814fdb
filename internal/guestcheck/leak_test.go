// SPDX-License-Identifier: Apache-2.0

package guestcheck

import "testing"

func TestGuestLeaks(t *testing.T) {
	const idle, pins = "queue 0: requests 7\nprocesses 0 files 0\n", "nr_foll_pin_acquired 12\nnr_foll_pin_released 12\n"
	if err := GuestLeaks(idle, pins); err != nil {
		t.Error(err)
	}
	for what, text := range map[string][2]string{
		"a process":        {"processes 1 files 0\n", pins},
		"a file":           {"processes 0 files 2\n", pins},
		"a pinned page":    {idle, "nr_foll_pin_acquired 12\nnr_foll_pin_released 11\n"},
		"no count of pins": {idle, "nr_free_pages 1\n"},
	} {
		if GuestLeaks(text[0], text[1]) == nil {
			t.Errorf("%s is not seen", what)
		}
	}
}
