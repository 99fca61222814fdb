// SPDX-License-Identifier: Apache-2.0

// Package console is the host's side of a guest's console: what the guest prints goes
// to everybody who is attached, and what any of them types goes to the guest. What
// was printed last is remembered for whoever comes later.
package console

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	remembered = 64 << 10 // bytes of output that a new client gets first
	maxBehind  = 1 << 20  // bytes that may wait for a slow client
	maxClients = 16

	// lastWords is how long a client that does not read holds up the end.
	lastWords = 200 * time.Millisecond
)

// ErrTooMany is the error of one attachment too many.
var ErrTooMany = fmt.Errorf("%d clients are attached to this console, the limit", maxClients)

// Hub is one console. It is an io.Writer for the guest's output, which never waits
// for a client, and an io.Reader for the guest's input.
type Hub struct {
	typed *io.PipeReader
	input *io.PipeWriter

	mu     sync.Mutex
	state  hubState // guarded by mu
	served sync.WaitGroup
}

type hubState struct {
	recent  []byte
	clients map[*client]struct{}
	closed  bool
	traffic Traffic
}

// Traffic is what a console's guest has printed and been given, in bytes.
type Traffic struct{ Printed, Typed uint64 }

// client is one that is attached; mu is the hub's.
type client struct {
	conn net.Conn
	more sync.Cond // on Hub.mu: waiting or lost changed, or gone did
	waiting
	gone bool
}

// waiting is output that a client has not got yet.
type waiting struct {
	bytes []byte
	lost  int // before bytes
}

// NewHub makes a console that nobody is attached to.
func NewHub() *Hub {
	h := &Hub{state: hubState{clients: map[*client]struct{}{}}}
	h.typed, h.input = io.Pipe()
	return h
}

// Write takes what the guest prints.
func (h *Hub) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.state
	s.traffic.Printed += uint64(len(p))
	s.recent = append(s.recent, p...)
	if over := len(s.recent) - remembered; over > 0 {
		s.recent = append(s.recent[:0], s.recent[over:]...)
	}
	for c := range s.clients {
		c.add(p)
	}
	return len(p), nil
}

// add makes p wait for the client. The hub's mu is held.
func (c *client) add(p []byte) {
	if len(c.bytes)+len(p) > maxBehind {
		c.lost += len(c.bytes)
		c.bytes = c.bytes[:0]
	}
	c.bytes = append(c.bytes, p...)
	c.more.Signal()
}

// Read waits for what is typed.
func (h *Hub) Read(p []byte) (int, error) {
	n, err := h.typed.Read(p)
	h.mu.Lock()
	h.state.traffic.Typed += uint64(n)
	h.mu.Unlock()
	return n, err
}

// Traffic returns what went over the console so far.
func (h *Hub) Traffic() Traffic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state.traffic
}

// Type passes on what comes from r until it ends or the console does.
func (h *Hub) Type(r io.Reader) error {
	_, err := io.Copy(h.input, r)
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// Full says whether Attach would fail.
func (h *Hub) Full() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.state.clients) >= maxClients
}

// Attach joins conn to the console until either ends, and closes it. What is typed is
// read from in: conn, or what has read ahead of it.
func (h *Hub) Attach(conn net.Conn, in io.Reader) error {
	defer conn.Close()
	c := &client{conn: conn}
	c.more.L = &h.mu
	if err := h.add(c); err != nil {
		return err
	}
	defer h.served.Done()
	go func() {
		_ = h.Type(in)
		h.remove(c)
	}()
	defer h.remove(c)
	for {
		w, ok := h.next(c)
		if !ok {
			return nil
		}
		if err := c.send(w); err != nil {
			return err
		}
	}
}

func (h *Hub) add(c *client) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.state
	if s.closed {
		return net.ErrClosed
	}
	if len(s.clients) >= maxClients {
		return ErrTooMany
	}
	c.bytes = append(c.bytes, s.recent...)
	s.clients[c] = struct{}{}
	h.served.Add(1)
	return nil
}

func (h *Hub) remove(c *client) {
	h.mu.Lock()
	delete(h.state.clients, c)
	c.gone = true
	h.mu.Unlock()
	c.more.Signal()
}

// next waits for output for c; ok is false when there will be none.
func (h *Hub) next(c *client) (w waiting, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(c.bytes) == 0 && !c.gone && !h.state.closed {
		c.more.Wait()
	}
	w, c.waiting = c.waiting, waiting{}
	return w, len(w.bytes) > 0 && !c.gone
}

func (c *client) send(w waiting) error {
	if w.lost > 0 {
		if _, err := fmt.Fprintf(c.conn, "\r\n[virtbinder: %d bytes are missing here: this client read too slowly]\r\n", w.lost); err != nil {
			return err
		}
	}
	_, err := c.conn.Write(w.bytes)
	return err
}

// Close ends the console: clients get what is left and are cut off, reads end.
func (h *Hub) Close() error {
	h.mu.Lock()
	h.state.closed = true
	for c := range h.state.clients {
		_ = c.conn.SetWriteDeadline(time.Now().Add(lastWords))
		c.more.Signal()
	}
	h.mu.Unlock()
	h.served.Wait()
	return h.input.Close()
}
