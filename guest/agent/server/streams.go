// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/guest/agentproto"
)

// pipes are a command's standard streams: the child's ends and ours, in the order
// in, out, err.
type pipes struct {
	child, ours [3]*os.File
}

func (p *pipes) open() error {
	for i := range p.child {
		r, w, err := os.Pipe()
		if err != nil {
			p.closeChild()
			p.closeOurs()
			return err
		}
		if p.child[i], p.ours[i] = r, w; i > 0 {
			p.child[i], p.ours[i] = w, r
		}
	}
	return nil
}

func (p *pipes) closeChild() { closeAll(p.child[:]) }
func (p *pipes) closeOurs()  { closeAll(p.ours[:]) }

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// endOutput tells the copiers that the command has ended: what is in the pipes now
// is the last of its output, though a process that it left behind may hold them
// open for ever.
func (p *pipes) endOutput() {
	for _, f := range p.ours[1:] {
		_ = f.SetReadDeadline(time.Unix(1, 0))
	}
}

// copyOutput sends a stream to the client until its end, or until endOutput and
// what was in the pipe then. When the client is gone it goes on reading, so that
// the command does not block.
func copyOutput(pc *agentproto.Conn, t agentproto.Type, f *os.File) {
	buf := make([]byte, agentproto.MaxData)
	left := -1 // bytes still to send, once the command has ended
	for left != 0 {
		b := buf
		if left > 0 {
			b = buf[:min(left, len(buf))]
		}
		n, err := f.Read(b)
		if n > 0 {
			_ = pc.Write(t, b[:n])
		}
		if left > 0 {
			left -= n
		}
		switch {
		case left < 0 && errors.Is(err, os.ErrDeadlineExceeded):
			left = inPipe(f)
			_ = f.SetReadDeadline(time.Time{})
		case err != nil:
			return
		}
	}
}

// inPipe returns how many bytes wait in a pipe.
func inPipe(f *os.File) (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	})
	if err != nil {
		return 0
	}
	return n
}

// stdin feeds a command's standard input from a queue of at most
// agentproto.StdinWindow bytes, so that reading frames never waits for the command.
type stdin struct {
	w  io.WriteCloser
	pc *agentproto.Conn

	mu    sync.Mutex
	cond  sync.Cond // on mu
	queue []byte
	sent  int // bytes being written: they count against the window
	ended bool
	done  chan struct{}
}

func newStdin(w io.WriteCloser, pc *agentproto.Conn) *stdin {
	in := &stdin{w: w, pc: pc, done: make(chan struct{})}
	in.cond.L = &in.mu
	go in.run()
	return in
}

// add queues input; it reports false if the client overran the window.
func (in *stdin) add(p []byte) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.queue)+in.sent+len(p) > agentproto.StdinWindow {
		return false
	}
	if !in.ended {
		in.queue = append(in.queue, p...)
		in.cond.Signal()
	}
	return true
}

// end says that no more input comes.
func (in *stdin) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	in.cond.Signal()
}

// close ends the input when the command has ended, whatever is queued.
func (in *stdin) close() {
	in.mu.Lock()
	in.ended, in.queue = true, nil
	in.cond.Signal()
	in.mu.Unlock()
	in.w.Close()
	<-in.done
}

func (in *stdin) run() {
	defer close(in.done)
	defer in.w.Close()
	for {
		p := in.next()
		if p == nil {
			return
		}
		_, err := in.w.Write(p) // on an error, such as EPIPE, input is discarded
		in.mu.Lock()
		in.sent = 0
		ended := in.ended && err != nil
		in.mu.Unlock()
		if ended {
			return
		}
		_ = in.pc.WriteUint32(agentproto.TypeStdinAck, uint32(len(p)))
	}
}

// next waits for input and takes it; nil at the end.
func (in *stdin) next() []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.queue) == 0 && !in.ended {
		in.cond.Wait()
	}
	if len(in.queue) == 0 {
		return nil
	}
	p := in.queue
	in.queue = nil
	in.sent = len(p)
	return p
}
