// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
)

// ErrUnsettled says that a machine goes on moving, or that a thread is blocked where
// it should not be.
var ErrUnsettled = errors.New("it does not come to rest")

// Settle returns when nothing moves; see the package's documentation.
func (s *System) Settle() error {
	end := time.Now().Add(patience)
	for n := 0; ; n++ {
		ok, err := s.settled()
		if ok || err != nil {
			return err
		}
		if n%64 == 63 && time.Now().After(end) {
			return fmt.Errorf("puppet: %s: %w:\n%s", s.name, ErrUnsettled, s.Where())
		}
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

// settled looks once.
func (s *System) settled() (bool, error) {
	if alone, err := s.alone(s.load.read()); !alone || err != nil {
		return false, err
	}
	for _, p := range s.processes {
		if !p.alive {
			continue
		}
		for _, t := range p.threads {
			if parked, err := t.parked(); !parked || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// parked reports whether the thread has nothing to do, or waits for others to do
// something.
func (t *thread) parked() (bool, error) {
	t.collect()
	if t.pending == nil {
		return true, nil
	}
	stat, err := t.state.read()
	if err != nil { // it has ended between
		return false, nil
	}
	state := taskState(stat)
	return state == 'S' || state == 'D' && (t.p.suspended != "" || t.p.holds), nil
}

// alone reports whether the reader of a loadavg was the only task that could run.
func alone(loadavg []byte, err error) (bool, error) {
	return runnable(loadavg) == 1, err
}

// jiffies is long enough for a timer of one jiffy that was set before: three of
// Debian's.
const jiffies = 12 * time.Millisecond

// prepare makes a call fit for the puppet, and the machine for the call.
func (t *thread) prepare(c bindertest.Call) (bindertest.Call, error) {
	p, s := t.p, t.p.sys
	switch c.Op {
	case bindertest.OpHold:
		p.spoilt, p.holds = true, true
	case bindertest.OpSetEUID, bindertest.OpRlimit, bindertest.OpMprotect:
		p.spoilt = true
	case bindertest.OpExit:
		p.spoilt = p.spoilt || t.tid == p.pid
	case bindertest.OpMunmap:
		p.spoilt = p.spoilt || c.Addr < bindertest.MapAddr
	case bindertest.OpOpen:
		c.Name = s.device(c.Name)
	case bindertest.OpClose:
		return c, s.turns.workers()
	case bindertest.OpPipe, bindertest.OpFile:
		s.files = true
	case bindertest.OpGive:
		to := s.processes[c.To]
		if to == nil || !to.alive {
			return c, fmt.Errorf("puppet: give a descriptor to process %d: %w", c.To, os.ErrProcessDone)
		}
		c.Data = to.mailbox
	case bindertest.OpReadFD, bindertest.OpWriteFD:
		if s.files {
			return c, s.closeFiles()
		}
	}
	return c, nil
}

// closeFiles returns when the files that the kernel has dropped are closed.
func (s *System) closeFiles() error {
	ts := unix.NsecToTimespec(int64(jiffies))
	if err := unix.Nanosleep(&ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	return s.Settle()
}

// Where says what each thread that has not finished sits in.
func (s *System) Where() string {
	var b strings.Builder
	for _, p := range s.processes {
		if p.alive {
			b.WriteString(p.where())
		}
	}
	load, _ := s.load.read()
	fmt.Fprintf(&b, "load %s", load)
	return b.String()
}

func (p *process) where() string {
	var b strings.Builder
	for _, t := range p.threads {
		dir := fmt.Sprintf("/proc/%d/task/%d/", p.pid, t.tid)
		stat, _ := os.ReadFile(dir + "stat")
		fmt.Fprintf(&b, "process %d thread %d, state %c", p.pid, t.tid, taskState(stat))
		if t.pending != nil {
			fmt.Fprintf(&b, ", in call %d", t.pending.Op)
		}
		stack, _ := os.ReadFile(dir + "stack")
		fmt.Fprintf(&b, "\n%s", stack)
	}
	return b.String()
}
