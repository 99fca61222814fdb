// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"time"
)

// parseSince is the time that s stands for; nothing stands for now.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return now, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		at := time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
		if at.After(now) { // yesterday's
			at = at.AddDate(0, 0, -1)
		}
		return at, nil
	}
	return now, fmt.Errorf("%q is neither a duration (10m, 2h) nor a time (14:30, 14:30:00, 2026-01-31T14:30:00Z)", s)
}
