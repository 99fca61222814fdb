// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"sync"
	"testing"
)

func TestRingOrderAndDrops(t *testing.T) {
	q := newRing(4)
	for i := range uint32(6) {
		q.push(&Report{Code: i})
	}
	out := make([]Report, 3)
	var got []uint32
	for {
		n, _ := q.pop(out)
		if n == 0 {
			break
		}
		for _, r := range out[:n] {
			got = append(got, r.Code)
		}
	}
	if len(got) != 4 || got[0] != 0 || got[3] != 3 {
		t.Errorf("popped %v, want the first four in order", got)
	}
	if acc, drop := q.counts(); acc != 4 || drop != 2 {
		t.Errorf("accepted %d dropped %d, want 4 and 2", acc, drop)
	}
	q.push(&Report{Code: 9})
	select {
	case <-q.wake:
	default:
		t.Error("a push after an empty pop wakes nobody")
	}
	q.close()
	q.push(&Report{})
	if n, closed := q.pop(out); n != 1 || !closed || out[0].Code != 9 {
		t.Errorf("after close: %d, %v, %v", n, closed, out[0])
	}
	if _, drop := q.counts(); drop != 3 {
		t.Errorf("a push after close is not counted: %d", drop)
	}
}

// TestRingNothingVanishes: under contention each report is popped or counted.
func TestRingNothingVanishes(t *testing.T) {
	const producers, each = 8, 5000
	q := newRing(64)
	var wg sync.WaitGroup
	for range producers {
		wg.Go(func() {
			for i := range uint32(each) {
				q.push(&Report{Code: i})
			}
		})
	}
	go func() { wg.Wait(); q.close() }()
	popped := uint64(0)
	out := make([]Report, 16)
	for {
		n, closed := q.pop(out)
		popped += uint64(n)
		if n == 0 && closed {
			break
		}
		if n == 0 {
			<-q.wake
		}
	}
	accepted, dropped := q.counts()
	if popped != accepted || accepted+dropped != producers*each {
		t.Errorf("popped %d accepted %d dropped %d of %d", popped, accepted, dropped, producers*each)
	}
}
