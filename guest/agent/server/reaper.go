// SPDX-License-Identifier: Apache-2.0

package server

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// Reaper starts processes and collects exit statuses: as PID 1 of all children,
// orphans included, otherwise only of those it started.
type Reaper struct {
	all bool

	mu   sync.Mutex
	wait map[int]chan unix.WaitStatus // by pid; each gets one status
}

// NewReaper makes a Reaper. With all set, it waits for every child of this process,
// and nothing else in it may.
func NewReaper(all bool) *Reaper {
	r := &Reaper{all: all, wait: map[int]chan unix.WaitStatus{}}
	if all {
		c := make(chan os.Signal, 1)
		signal.Notify(c, unix.SIGCHLD)
		go func() {
			r.collect() // children from before
			for range c {
				r.collect()
			}
		}()
	}
	return r
}

// Start starts a process. Its status arrives on the channel.
func (r *Reaper) Start(path string, argv []string, attr *os.ProcAttr) (pid int, status <-chan unix.WaitStatus, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := os.StartProcess(path, argv, attr)
	if err != nil {
		return 0, nil, err
	}
	pid = p.Pid
	if err := p.Release(); err != nil {
		return 0, nil, err
	}
	c := make(chan unix.WaitStatus, 1)
	r.wait[pid] = c
	if !r.all {
		go r.collectOne(pid)
	}
	return pid, c, nil
}

// Signal sends a signal to the process group of a process that has not been waited
// for yet.
func (r *Reaper) Signal(pid int, sig unix.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wait[pid] == nil {
		return unix.ESRCH
	}
	return unix.Kill(-pid, sig)
}

// collect takes the statuses of all children that have ended.
func (r *Reaper) collect() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || pid <= 0:
			return
		}
		r.deliver(pid, status)
	}
}

func (r *Reaper) collectOne(pid int) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err != unix.EINTR {
			break
		}
	}
	r.deliver(pid, status)
}

// deliver hands a status to whoever started the process; an orphan's is dropped.
func (r *Reaper) deliver(pid int, status unix.WaitStatus) {
	r.mu.Lock()
	c := r.wait[pid]
	delete(r.wait, pid)
	r.mu.Unlock()
	if c != nil {
		c <- status
	}
}
