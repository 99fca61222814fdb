// SPDX-License-Identifier: Apache-2.0

package virtio_test

import (
	"testing"

	"virtbinder/virtio"
	"virtbinder/virtio/virtiotest"
)

// TestQueueState: what is put up and not given back is a queue's depth, in the ring or
// with the device; a reset begins anew.
func TestQueueState(t *testing.T) {
	p := &parker{Echo: virtiotest.NewEcho(8, 4)}
	d := start(t, p, virtiotest.Config{Inline: true})
	q := d.Queue(0)
	submit := func(n int) {
		t.Helper()
		for range n {
			if _, err := q.Submit([]virtiotest.Span{q.Put([]byte{1})}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(when string, want virtio.QueueState) {
		t.Helper()
		if got := d.PCI.Queues(); len(got) != 2 || got[0] != want || got[1] != (virtio.QueueState{}) {
			t.Errorf("%s: %+v, want %+v", when, got, want)
		}
	}
	submit(3)
	q.Kick()
	submit(2) // without a doorbell
	expect("three are with the device, two are in the ring", virtio.QueueState{QueueCounts: virtio.QueueCounts{Taken: 3}, Depth: 5})
	q.WantInterrupt()
	dq := p.Activation().Queues[0]
	dq.Push(p.parked[1], 0)
	dq.Interrupt()
	dq.Interrupt() // for nothing
	expect("one came back", virtio.QueueState{QueueCounts: virtio.QueueCounts{Taken: 3, Returned: 1, Interrupts: 1}, Depth: 4})
	q.SetAvailIdx(1000)
	expect("the ring is broken", virtio.QueueState{QueueCounts: virtio.QueueCounts{Taken: 3, Returned: 1, Interrupts: 1}})
	if err := d.Up(0); err != nil {
		t.Fatal(err)
	}
	expect("after a reset", virtio.QueueState{})
}
