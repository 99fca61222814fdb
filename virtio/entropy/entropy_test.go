// SPDX-License-Identifier: Apache-2.0

package entropy

import (
	"bytes"
	"context"
	"testing"
	"time"

	"virtbinder/virtio/virtiotest"
)

func start(t *testing.T) (*virtiotest.Queue, *virtiotest.Driver, context.Context) {
	t.Helper()
	d, err := virtiotest.Start(New(), virtiotest.Config{Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(func() {
		cancel()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d.Queue(0), d, ctx
}

func TestFill(t *testing.T) {
	q, d, ctx := start(t)
	first, err := q.Call(ctx, nil, 64)
	if err != nil || len(first) != 64 || bytes.Equal(first, make([]byte, 64)) {
		t.Fatalf("%x, %v", first, err)
	}
	first = bytes.Clone(first)
	second, err := q.Call(ctx, nil, 64)
	if err != nil || bytes.Equal(first, second) {
		t.Errorf("the same twice: %x, %v", second, err)
	}
	if large, err := q.Call(ctx, nil, 1<<20); err != nil || len(large) != maxRequest {
		t.Errorf("a large buffer has %d bytes, %v", len(large), err)
	}
	if none, err := q.Call(ctx, []byte("only readable"), 0); err != nil || len(none) != 0 {
		t.Errorf("a buffer that cannot be written has %d bytes, %v", len(none), err)
	}
	if err := d.Up(0); err != nil { // a reset
		t.Fatal(err)
	}
	if again, err := d.Queue(0).Call(ctx, nil, 8); err != nil || len(again) != 8 {
		t.Errorf("after a reset: %x, %v", again, err)
	}
}

// TestFullRing: one kick serves as many buffers as the ring holds.
func TestFullRing(t *testing.T) {
	q, _, ctx := start(t)
	for range queueSize {
		if _, err := q.Submit(nil, []virtiotest.Span{q.Room(16)}); err != nil {
			t.Fatal(err)
		}
	}
	q.Kick()
	for range queueSize {
		if u, err := q.Wait(ctx); err != nil || u.Written != 16 {
			t.Fatalf("%+v, %v", u, err)
		}
	}
}
