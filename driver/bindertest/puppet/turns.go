// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Turns has threads run one after the other, each until it waits: those that a call
// wakes run in the order of its wakes, when it has ended. Else it would be a matter of
// time which of them finds what. The nice value, which no such thread is scheduled by,
// is kept all the same. With a nil one the kernel's scheduler decides.
//
// It is for a machine of one's own: it changes how all workers of the kernel run.
type Turns struct {
	seen map[int]bool // processes that are no workers, or have been told
}

// NewTurns takes a privileged process.
func NewTurns() *Turns { return &Turns{map[int]bool{}} }

// process tells a puppet, before it starts threads.
func (u *Turns) process(pid int) error {
	if u == nil {
		return nil
	}
	return unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
}

// workers tells the kernel's, before a file is closed: one of them does what the stock
// driver puts off then, and has to end it before those run that it wakes. The kernel
// starts new ones as it needs them.
func (u *Turns) workers() error {
	if u == nil {
		return nil
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || u.seen[pid] {
			continue
		}
		u.seen[pid] = true
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if !strings.HasPrefix(string(comm), "kworker/") {
			continue
		}
		if err := u.process(pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("puppet: schedule %s: %w", comm, err)
		}
	}
	return nil
}
