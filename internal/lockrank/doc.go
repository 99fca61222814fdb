// SPDX-License-Identifier: Apache-2.0

// Package lockrank is a mutex that knows its place. Plain builds get sync.Mutex
// and nothing else; built with -tags lockdep every goroutine's locks are
// remembered, and taking one out of order, or doing what must not be done under
// a lock (AssertNone), panics with both places named.
//
// A lock of a higher rank may be taken while one of a lower rank is held, never
// the other way, and two of one rank are never held together.
package lockrank

// Rank orders the project's locks, outermost first. driver/doc.go and
// virtio/doc.go say what each guards.
type Rank int

const (
	// Core is driver.Core's lock: every object of the binder core.
	Core Rank = 10
	// Device is vbinder.Device's lock: requests in flight, queued events.
	Device Rank = 20
	// Queue is the virtio queue's leaf lock: the used ring.
	Queue Rank = 30
)
