// SPDX-License-Identifier: Apache-2.0

package console

import "sync"

// pipe is a bounded buffer between two goroutines.
type pipe struct {
	room int // bytes it may hold

	mu     sync.Mutex
	cond   sync.Cond // on mu: something was put or taken, or the end
	buf    []byte
	closed bool
}

func newPipe(room int) *pipe {
	p := &pipe{room: room}
	p.cond.L = &p.mu
	return p
}

// put appends b when there is room for some of it, and waits until then; part of
// it may go over the bound. It reports false if that did not happen because stop
// said so or the pipe was closed. Who changes what stop says must call wake.
func (p *pipe) put(b []byte, stop func() bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buf) >= p.room && !p.closed && !stop() {
		p.cond.Wait()
	}
	if p.closed || stop() {
		return false
	}
	p.buf = append(p.buf, b...)
	p.cond.Broadcast()
	return true
}

// swap waits for something to be put, and takes all of it in exchange for spare.
// It returns nothing when the pipe is closed and empty.
func (p *pipe) swap(spare []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buf) == 0 && !p.closed {
		p.cond.Wait()
	}
	b := p.buf
	p.buf = spare[:0]
	p.cond.Broadcast()
	return b
}

// take moves up to len(b) bytes into b, without waiting.
func (p *pipe) take(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(b, p.buf)
	p.buf = append(p.buf[:0], p.buf[n:]...)
	if n > 0 {
		p.cond.Broadcast()
	}
	return n
}

// empty reports whether there is nothing to take.
func (p *pipe) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.buf) == 0
}

func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cond.Broadcast()
}

// close ends all waiting; what is in it can still be taken.
func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cond.Broadcast()
}
