// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"virtbinder/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// screen is a terminal that can be waited for.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
	fail error
}

func newScreen() *screen { return &screen{more: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	s.text.Write(p)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *screen) await(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	for {
		s.mu.Lock()
		got := s.text.String()
		s.mu.Unlock()
		if strings.Contains(got, text) {
			return
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			t.Fatalf("%q is not in %q", text, got)
		}
	}
}

func start(t *testing.T, cfg Config) (*virtiotest.Driver, *Device, context.Context) {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	dev := New(cfg)
	d, err := virtiotest.Start(dev, virtiotest.Config{Inline: true, Log: cfg.Log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(d.Close(), dev.Close()); err != nil {
			t.Error(err)
		}
	})
	return d, dev, ctx
}

func TestOutput(t *testing.T) {
	out := newScreen()
	d, dev, ctx := start(t, Config{Out: out})
	long := strings.Repeat("0123456789", 1000) + "end\n" // more than one piece
	for _, text := range []string{"hello\n", long} {
		if _, err := d.Queue(queueTransmit).Call(ctx, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
		out.await(ctx, t, text)
	}
	if _, err := d.Queue(queueTransmit).Call(ctx, []byte("last words"), 0); err != nil {
		t.Fatal(err)
	}
	d.SetStatus(0)
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.text.String(); got != "hello\n"+long+"last words" {
		t.Errorf("%d bytes were printed", len(got))
	}
}

func TestInput(t *testing.T) {
	in, typed := io.Pipe()
	d, _, ctx := start(t, Config{In: in})
	defer typed.Close()
	q := d.Queue(queueReceive)
	text := strings.Repeat("typed ", 20)
	if _, err := io.WriteString(typed, text); err != nil { // before there is a buffer
		t.Fatal(err)
	}
	var got []byte
	for len(got) < len(text) {
		b, err := q.Call(ctx, nil, 50)
		if err != nil || len(b) == 0 || len(b) > 50 {
			t.Fatalf("%q, %v", b, err)
		}
		got = append(got, b...)
	}
	if string(got) != text {
		t.Errorf("%q arrived", got)
	}
	room := q.Room(16)
	if _, err := q.Submit(nil, []virtiotest.Span{room}); err != nil { // before it is typed
		t.Fatal(err)
	}
	q.Kick()
	if _, err := io.WriteString(typed, "more"); err != nil {
		t.Fatal(err)
	}
	if u, err := q.Wait(ctx); err != nil || string(q.Bytes(room)[:u.Written]) != "more" {
		t.Errorf("%q, %v", q.Bytes(room)[:u.Written], err)
	}
}

// stuck is a terminal that takes nothing until it is let go.
type stuck struct{ let chan struct{} }

func (s *stuck) Write(p []byte) (int, error) {
	<-s.let
	return len(p), nil
}

// TestStuckTerminal: the guest fills the buffer and waits; a reset does not.
func TestStuckTerminal(t *testing.T) {
	out := &stuck{let: make(chan struct{})}
	d, _, ctx := start(t, Config{Out: out})
	q := d.Queue(queueTransmit)
	page := q.Put(make([]byte, 64<<10))
	for range 3 * outRoom / int(page.Len) {
		if _, err := q.Submit([]virtiotest.Span{page}, nil); err != nil {
			t.Fatal(err)
		}
	}
	q.Kick()
	for range outRoom / int(page.Len) {
		if _, err := q.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	d.SetStatus(0)
	close(out.let)
	if err := d.Up(0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Queue(queueTransmit).Call(ctx, []byte("after"), 0); err != nil {
		t.Fatal(err)
	}
}

// TestBrokenTerminal: a terminal that is gone costs the guest nothing.
func TestBrokenTerminal(t *testing.T) {
	out := newScreen()
	out.fail = errors.New("gone")
	d, _, ctx := start(t, Config{Out: out})
	for range 10 {
		if _, err := d.Queue(queueTransmit).Call(ctx, make([]byte, 1<<18), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOddBuffers: chains of the wrong kind are given back unused.
func TestOddBuffers(t *testing.T) {
	in, typed := io.Pipe()
	out := newScreen()
	d, _, ctx := start(t, Config{In: in, Out: out})
	defer typed.Close()
	if b, err := d.Queue(queueTransmit).Call(ctx, nil, 16); err != nil || len(b) != 0 {
		t.Errorf("nothing to print: %q, %v", b, err)
	}
	if _, err := io.WriteString(typed, "x"); err != nil {
		t.Fatal(err)
	}
	if b, err := d.Queue(queueReceive).Call(ctx, []byte("readable"), 0); err != nil || len(b) != 0 {
		t.Errorf("nothing to write to: %q, %v", b, err)
	}
	if b, err := d.Queue(queueReceive).Call(ctx, nil, 4); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}
