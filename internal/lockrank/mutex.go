// SPDX-License-Identifier: Apache-2.0

//go:build !lockdep

package lockrank

import "sync"

// Mutex is a sync.Mutex with a rank; see the package comment.
type Mutex struct{ mu sync.Mutex }

// Init gives the mutex its rank; call it before first use.
func (m *Mutex) Init(Rank, string) {}

// Lock locks the mutex.
func (m *Mutex) Lock() { m.mu.Lock() }

// Unlock unlocks the mutex.
func (m *Mutex) Unlock() { m.mu.Unlock() }

// AssertHeld panics in lockdep builds unless the caller holds the mutex.
func (m *Mutex) AssertHeld() {}

// AssertNone panics in lockdep builds if the caller holds any ranked lock: for
// places that copy guest memory, report, interrupt or block.
func AssertNone(string) {}
