// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
)

// process is a bindertest.Process.
type process struct {
	sys     *System
	pid     int
	os      *os.Process
	clerk   socket
	mailbox []byte // address of it
	attr    bindertest.Attr
	tids    map[int]bool
	threads []*thread // handed out
	spare   []*thread // not handed out, the leader first
	alive   bool
	spoilt  bool // it cannot be made as new

	suspended bindertest.Freezer // "": it is not
	holds     bool               // memory that a thread may wait for
}

// sockets are a new process's: our ends and its.
type sockets struct {
	clerk, leader socket
	theirs        []int // clerk, leader, mailbox
	address       []byte
}

func newSockets() (s sockets, err error) {
	s.clerk, s.leader = -1, -1
	for _, ours := range []*socket{&s.clerk, &s.leader} {
		var theirs int
		if *ours, theirs, err = socketPair(); err != nil {
			return s, err
		}
		s.theirs = append(s.theirs, theirs)
	}
	mailbox, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return s, err
	}
	s.theirs = append(s.theirs, mailbox)
	if err := unix.Bind(mailbox, &unix.SockaddrUnix{}); err != nil { // the kernel chooses the address
		return s, err
	}
	sa, err := unix.Getsockname(mailbox)
	if err != nil {
		return s, err
	}
	s.address = []byte(sa.(*unix.SockaddrUnix).Name)
	s.address[0] = 0 // @ is how it is printed
	return s, nil
}

func (s *sockets) closeTheirs() {
	for _, fd := range s.theirs {
		_ = unix.Close(fd)
	}
}

// spawn starts a puppet. Its threads begin when it is set how they are scheduled.
func (s *System) spawn(a bindertest.Attr) (*process, error) {
	sk, err := newSockets()
	defer sk.closeTheirs()
	p := &process{sys: s, clerk: sk.clerk, mailbox: sk.address, attr: a, tids: map[int]bool{}, alive: true}
	if err == nil {
		p.os, err = s.exec(a, sk.theirs)
	}
	if err != nil {
		sk.clerk.close()
		sk.leader.close()
		return nil, err
	}
	p.pid = p.os.Pid
	p.spare = []*thread{p.newThread(p.pid, sk.leader)}
	if err = errors.Join(unix.Setpriority(unix.PRIO_PROCESS, p.pid, a.Nice), s.turns.process(p.pid)); err == nil {
		_, err = p.order('!', -1)
	}
	if err == nil {
		_, err = p.newThreads() // the leader and the clerk
	}
	if err != nil {
		_ = p.end()
		return nil, err
	}
	return p, nil
}

// exec runs the program with its descriptors: three of /dev/null, then the sockets.
func (s *System) exec(a bindertest.Attr, fds []int) (*os.Process, error) {
	attr := &os.ProcAttr{Files: []*os.File{s.null, s.null, s.null}, Sys: &syscall.SysProcAttr{}}
	argv := []string{"puppet"}
	for i, fd := range fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(dup), "socket")
		defer f.Close()
		attr.Files = append(attr.Files, f)
		argv = append(argv, strconv.Itoa(3+i))
	}
	if a.NewPIDNS {
		attr.Sys.Cloneflags |= syscall.CLONE_NEWPID
	}
	if a.UID != 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: a.UID, Gid: a.UID, NoSetGroups: true}
	}
	if a.NewUser {
		id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(a.UID), Size: 1}}
		attr.Sys.Cloneflags |= syscall.CLONE_NEWUSER
		attr.Sys.UidMappings, attr.Sys.GidMappings = id, id
		attr.Sys.Credential = &syscall.Credential{NoSetGroups: true}
	}
	if a.Domain != "" {
		return startIn(a.Domain, s.program, argv, attr)
	}
	return os.StartProcess(s.program, argv, attr)
}

// startIn starts a program in an SELinux domain: what the thread says that forks.
func startIn(domain, program string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	const next = "/proc/thread-self/attr/exec"
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := os.WriteFile(next, []byte("u:r:"+domain), 0); err != nil {
		return nil, err
	}
	p, err := os.StartProcess(program, argv, attr)
	return p, errors.Join(err, os.WriteFile(next, []byte("\n"), 0))
}

func (p *process) PID() uint32 { return uint32(p.pid) }

// Thread hands the leader out, then other threads.
func (p *process) Thread() (bindertest.Thread, error) {
	if len(p.spare) == 0 {
		if err := p.start(); err != nil {
			return nil, err
		}
	}
	t := p.spare[0]
	p.spare, p.threads = p.spare[1:], append(p.threads, t)
	return t, nil
}

// start makes a spare thread.
func (p *process) start() error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer unix.Close(theirs)
	if errno, err := p.order('T', theirs); err != nil || errno != 0 {
		return fmt.Errorf("puppet: start a thread: %w (error %d)", err, errno)
	}
	tids, err := p.newThreads()
	if err != nil || len(tids) != 1 {
		return fmt.Errorf("puppet: a new thread of process %d: %w (%d found)", p.pid, err, len(tids))
	}
	p.spare = append(p.spare, p.newThread(tids[0], ours))
	return nil
}

func (p *process) newThread(tid int, sock socket) *thread {
	return &thread{p: p, tid: tid, sock: sock, state: procFile{path: fmt.Sprintf("/proc/%d/task/%d/stat", p.pid, tid), fd: -1}}
}

// newThreads returns the threads that were not there when it was last called, by
// their numbers in our pid namespace.
func (p *process) newThreads() (tids []int, err error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
	for _, e := range entries {
		tid, _ := strconv.Atoi(e.Name())
		if !p.tids[tid] {
			p.tids[tid] = true
			tids = append(tids, tid)
		}
	}
	return tids, err
}

// order has the clerk do something. The first order is that it begins.
func (p *process) order(what byte, fd int) (int64, error) {
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	if err := unix.Sendmsg(int(p.clerk), []byte{what}, rights, nil, unix.MSG_NOSIGNAL); err != nil {
		return 0, err
	}
	return p.answer()
}

// answer is what the clerk says to an order.
func (p *process) answer() (int64, error) {
	var answer [8]byte
	if _, err := io.ReadFull(p.clerk, answer[:]); err != nil {
		return 0, fmt.Errorf("puppet: process %d: %w", p.pid, err)
	}
	return int64(binary.LittleEndian.Uint64(answer[:])), nil
}

// fetch has the process take the descriptor that lies in its mailbox.
func (p *process) fetch() (int64, error) {
	if p == nil || !p.alive {
		return 0, unix.ESRCH
	}
	return p.order('F', -1)
}

// Kill ends the process, and returns when the kernel has nothing of it left to do.
func (p *process) Kill() error {
	if err := p.end(); err != nil {
		return err
	}
	return p.sys.Settle()
}

// patience bounds the wait for what should take no time at all.
const patience = time.Minute

// end kills and reaps it.
func (p *process) end() error {
	if !p.alive {
		return nil
	}
	p.alive = false
	if err := p.sys.turns.workers(); err != nil {
		return err
	}
	_ = p.os.Kill()
	if p.suspended == bindertest.CgroupV1 { // there it dies when it is resumed
		if err := p.thaw(); err != nil {
			return err
		}
	}
	dead := make(chan error, 1)
	go func() {
		_, err := p.os.Wait()
		dead <- err
	}()
	select {
	case err := <-dead:
		p.clerk.close()
		for _, t := range slices.Concat(p.threads, p.spare) {
			t.collect()
			t.end()
		}
		return err
	case <-time.After(patience):
		return fmt.Errorf("puppet: process %d does not die:\n%s", p.pid, p.where())
	}
}
