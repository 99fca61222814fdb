// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// TestGate: processors are all held when await returns, go on when the gate is set
// open, and leave for good when it is released.
func TestGate(t *testing.T) {
	const n = 3
	g := newGate()
	var turns [n]atomic.Uint64
	var end atomic.Bool
	var threads sync.WaitGroup
	for i := range n {
		threads.Go(func() {
			for !end.Load() {
				g.pass()
				turns[i].Add(1)
			}
		})
	}
	for range 100 {
		g.set(true)
		if err := g.await(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		var before [n]uint64
		for i := range turns {
			before[i] = turns[i].Load()
		}
		if err := g.await(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		for i := range turns {
			if turns[i].Load() != before[i] {
				t.Fatal("a processor went on while it was held")
			}
		}
		g.set(false)
	}
	g.set(true)
	end.Store(true)
	g.release()
	threads.Wait()
	if err := g.await(t.Context(), n); !errors.Is(err, ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
}

func TestGateGivesUp(t *testing.T) {
	g := newGate()
	g.set(true)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() { got <- g.await(ctx, 1) }() // there is no processor
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go func() { got <- g.await(t.Context(), 1) }()
	g.set(false)
	if err := <-got; err == nil {
		t.Error("resumed, and yet paused")
	}
}
