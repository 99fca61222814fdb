// SPDX-License-Identifier: Apache-2.0

package virtio_test

import (
	"testing"
	"time"

	"virtbinder/virtio/virtiotest"
)

// polled is an echo device whose worker may poll as long as it likes.
type polled struct{ *virtiotest.Echo }

func (polled) Poll(int) time.Duration { return time.Hour }

// TestWorkerPolls shows that a driver that keeps a worker busy need not ring any more,
// and that nothing is lost over it: each chain is answered, and a reset ends the worker
// in the middle of its look.
func TestWorkerPolls(t *testing.T) {
	d, err := virtiotest.Start(polled{virtiotest.NewEcho(16)}, virtiotest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	q := d.Queue(0)
	in, out := q.Put([]byte("one")), q.Room(3)
	for unrung := 0; unrung < 100; {
		if _, err := q.Submit([]virtiotest.Span{in}, []virtiotest.Span{out}); err != nil {
			t.Fatal(err)
		}
		if !q.Kick() {
			unrung++
		}
		if _, err := q.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := string(q.Bytes(out)); got != "one" {
			t.Fatalf("answer %q", got)
		}
		clear(q.Bytes(out))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
