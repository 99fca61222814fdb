// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
)

// thread is a bindertest.Thread.
type thread struct {
	p       *process
	tid     int
	sock    socket
	state   procFile // /proc/PID/task/TID/stat
	pending *bindertest.Call
	done    bool // last is the result of the last call
	last    bindertest.Result
	gone    bool // it has ended, with the process or before it
}

func (t *thread) TID() uint32 { return uint32(t.tid) }

// Start sends the call. The thread executes it when the processor is its own.
func (t *thread) Start(c bindertest.Call) error {
	if t.pending != nil {
		return fmt.Errorf("puppet: thread %d is busy with %v", t.tid, t.pending.Op)
	}
	if t.gone {
		return fmt.Errorf("puppet: thread %d has ended", t.tid)
	}
	c, err := t.prepare(c)
	if err != nil {
		return err
	}
	if err := t.send(c); err != nil {
		return err
	}
	t.pending, t.done = &c, false
	t.collect() // most calls are over by now
	return nil
}

func (t *thread) send(c bindertest.Call) error {
	t.p.sys.buf = appendCall(t.p.sys.buf[:0], c)
	if _, err := t.sock.Write(t.p.sys.buf); err != nil {
		return fmt.Errorf("puppet: thread %d of process %d: %w", t.tid, t.p.pid, err)
	}
	return nil
}

// Result returns the result, if it was there when the call began or when the machine
// last settled. A call that the thread's end cut short has none.
func (t *thread) Result() (bindertest.Result, bool) { return t.last, t.done }

// collect takes the result of a call that has ended in.
func (t *thread) collect() {
	if t.pending == nil || t.gone {
		return
	}
	var header [resultSize]byte
	n, err := t.sock.recv(header[:], unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) {
		return
	}
	if err == nil && n < len(header) {
		_, err = io.ReadFull(t.sock, header[n:])
	}
	var r bindertest.Result
	if err == nil {
		r, err = readResult(header[:], t.sock)
	}
	if err != nil {
		t.end()
		return
	}
	c := t.pending
	t.pending, t.last, t.done = nil, r, true
	switch {
	case c.Op == bindertest.OpExit:
		t.end()
	case c.Op == bindertest.OpGive && r.Errno == 0:
		t.last.Val, err = t.p.sys.processes[c.To].fetch()
		if err != nil {
			t.last.Errno = int(unix.ESRCH)
		}
	}
}

// Signal interrupts what the thread is blocked in.
func (t *thread) Signal() error {
	return unix.Tgkill(t.p.pid, t.tid, unix.SIGUSR1)
}

func (t *thread) end() {
	t.gone, t.pending = true, nil
	t.sock.close()
	t.state.close()
}
