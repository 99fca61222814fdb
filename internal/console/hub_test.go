// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// attach returns the client's end of a connection and what Attach will return.
func attach(t *testing.T, h *Hub) (net.Conn, <-chan error) {
	t.Helper()
	mine, its := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- h.Attach(its, its) }()
	t.Cleanup(func() { mine.Close() })
	return mine, ended
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

func TestHub(t *testing.T) {
	h := NewHub()
	io.WriteString(h, "early ")
	a, _ := attach(t, h)
	expect(t, a, "early ")
	b, bEnded := attach(t, h)
	expect(t, b, "early ")
	io.WriteString(h, "later")
	expect(t, a, "later")
	expect(t, b, "later")
	go io.WriteString(a, "typed")
	expect(t, h, "typed")
	if got, want := h.Traffic(), (Traffic{Printed: uint64(len("early later")), Typed: uint64(len("typed"))}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	b.Close()
	if err := <-bEnded; err != nil {
		t.Errorf("a client that left: %v", err)
	}
	io.WriteString(h, "last")
	ended := make(chan []byte)
	go func() {
		rest, _ := io.ReadAll(a)
		ended <- rest
	}()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if rest := <-ended; string(rest) != "last" {
		t.Errorf("at the end: %q", rest)
	}
	if _, err := h.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a read after the end: %v", err)
	}
	_, late := attach(t, h)
	if err := <-late; !errors.Is(err, net.ErrClosed) {
		t.Errorf("attached after the end: %v", err)
	}
}

// TestSlowClient: what it does not read is dropped, and it is told; the guest does
// not wait.
func TestSlowClient(t *testing.T) {
	h := NewHub()
	c, _ := attach(t, h)
	io.WriteString(h, "a")
	expect(t, c, "a") // it is attached
	for range 3 {
		h.Write(bytes.Repeat([]byte("x"), maxBehind))
	}
	io.WriteString(h, "end")
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(c)
		got <- all
	}()
	h.Close()
	text := string(<-got)
	if !strings.Contains(text, "bytes are missing here") || !strings.HasSuffix(text, "end") || len(text) > 2*maxBehind+100 {
		t.Errorf("%d bytes, ending in %q", len(text), text[max(0, len(text)-10):])
	}
}

func TestRemembered(t *testing.T) {
	h := NewHub()
	io.WriteString(h, "forgotten")
	h.Write(bytes.Repeat([]byte("x"), remembered-3))
	io.WriteString(h, "new")
	c, _ := attach(t, h)
	expect(t, c, strings.Repeat("x", remembered-3)+"new")
	go h.Close()
	if rest, _ := io.ReadAll(c); len(rest) > 0 {
		t.Errorf("%q", rest)
	}
}

func TestTooMany(t *testing.T) {
	h := NewHub()
	io.WriteString(h, "x")
	for range maxClients {
		c, _ := attach(t, h)
		expect(t, c, "x")
	}
	_, last := attach(t, h)
	if err := <-last; !errors.Is(err, ErrTooMany) || !h.Full() {
		t.Errorf("%v", err)
	}
	h.Close()
}
