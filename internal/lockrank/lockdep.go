// SPDX-License-Identifier: Apache-2.0

//go:build lockdep

package lockrank

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// Mutex is a sync.Mutex with a rank; see the package comment.
type Mutex struct {
	mu   sync.Mutex
	rank Rank
	name string
}

// held maps a goroutine's number to the locks it holds, in the order taken.
var (
	heldMu sync.Mutex
	held   = map[uint64][]*Mutex{}
)

// goid reads the goroutine's number off its stack header: slow, and only here.
func goid() uint64 {
	var b [64]byte
	f := strings.Fields(string(b[:runtime.Stack(b[:], false)]))
	n, _ := strconv.ParseUint(f[1], 10, 64)
	return n
}

// Init gives the mutex its rank; call it before first use.
func (m *Mutex) Init(r Rank, name string) { m.rank, m.name = r, name }

// Lock locks the mutex, after checking that its rank is above all that are held.
func (m *Mutex) Lock() {
	g := goid()
	heldMu.Lock()
	for _, h := range held[g] {
		if h.rank >= m.rank {
			heldMu.Unlock()
			panic(fmt.Sprintf("lockrank: taking %s (rank %d) while holding %s (rank %d)", m.name, m.rank, h.name, h.rank))
		}
	}
	heldMu.Unlock()
	m.mu.Lock()
	heldMu.Lock()
	held[g] = append(held[g], m)
	heldMu.Unlock()
}

// Unlock unlocks the mutex.
func (m *Mutex) Unlock() {
	m.AssertHeld()
	g := goid()
	heldMu.Lock()
	s := held[g]
	for i := range s {
		if s[i] == m {
			s = append(s[:i], s[i+1:]...)
			break
		}
	}
	if len(s) == 0 {
		delete(held, g)
	} else {
		held[g] = s
	}
	heldMu.Unlock()
	m.mu.Unlock()
}

// AssertHeld panics unless the caller holds the mutex.
func (m *Mutex) AssertHeld() {
	g := goid()
	heldMu.Lock()
	defer heldMu.Unlock()
	for _, h := range held[g] {
		if h == m {
			return
		}
	}
	panic("lockrank: " + m.name + " is not held")
}

// AssertNone panics if the caller holds any ranked lock: for places that copy
// guest memory, report, interrupt or block.
func AssertNone(what string) {
	g := goid()
	heldMu.Lock()
	defer heldMu.Unlock()
	if s := held[g]; len(s) > 0 {
		panic(fmt.Sprintf("lockrank: %s while holding %s", what, s[len(s)-1].name))
	}
}
