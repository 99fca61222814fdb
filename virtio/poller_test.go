// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"testing"
	"time"
)

// TestPollerLearns goes through what a worker learns from how long it had nothing to do.
func TestPollerLearns(t *testing.T) {
	const us = time.Microsecond
	p := poller{limit: 40 * us}
	for i, step := range []struct{ idle, window time.Duration }{
		{41 * us, 0},      // no look would have spared this sleep
		{30 * us, 5 * us}, // one would
		{30 * us, 10 * us},
		{30 * us, 20 * us},
		{20 * us, 20 * us}, // the look was long enough
		{30 * us, 40 * us},
		{40 * us, 40 * us}, // and never becomes longer than it may
		{time.Second, 20 * us},
		{time.Second, 10 * us},
		{time.Second, 5 * us},
		{time.Second, 0},
	} {
		if p.learn(step.idle); p.window != step.window {
			t.Errorf("step %d, idle for %v: looks for %v, want %v", i, step.idle, p.window, step.window)
		}
	}
	p.pause = 2 // the processor was wanted
	for i, want := range []time.Duration{0, 0, 5 * us} {
		if p.learn(30 * us); p.window != want {
			t.Errorf("sleep %d after the processor was wanted: looks for %v, want %v", i, p.window, want)
		}
	}
	p = poller{}
	if p.learn(0); p.window != 0 {
		t.Error("learns to poll though it must not")
	}
}
