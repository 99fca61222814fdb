// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
)

// newSystem is this machine, which need not have binder. Its other tasks are not
// ours to wait for.
func newSystem(t *testing.T) *System {
	t.Helper()
	program := filepath.Join(t.TempDir(), "puppet")
	cc := exec.Command("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", program, "guest/puppet.c")
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v; `make setup` installs what is missing\n%s", cc, err, out)
	}
	s, err := New(Config{Name: "none", Program: program, Device: func(c string) string { return "/dev/" + c }})
	if err != nil {
		t.Fatal(err)
	}
	s.alone = func([]byte, error) (bool, error) { return true, nil }
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func spawn(t *testing.T, s *System) (bindertest.Process, bindertest.Thread) {
	t.Helper()
	p, err := s.Spawn(bindertest.Attr{Nice: 3})
	if err != nil {
		t.Fatal(err)
	}
	return p, newThread(t, p)
}

func newThread(t *testing.T, p bindertest.Process) bindertest.Thread {
	t.Helper()
	th, err := p.Thread()
	if err != nil {
		t.Fatal(err)
	}
	return th
}

// do runs a call that does not block.
func do(t *testing.T, s *System, th bindertest.Thread, c bindertest.Call) bindertest.Result {
	t.Helper()
	if r, ok := try(t, s, th, c); ok {
		return r
	}
	return await(t, s, th)
}

// await waits for a call that ends: here the puppet runs beside us.
func await(t *testing.T, s *System, th bindertest.Thread) bindertest.Result {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := s.Settle(); err != nil {
			t.Fatal(err)
		}
		if r, ok := th.Result(); ok {
			return r
		}
	}
	t.Fatal("the call does not end")
	panic("unreachable")
}

func try(t *testing.T, s *System, th bindertest.Thread, c bindertest.Call) (bindertest.Result, bool) {
	t.Helper()
	if err := th.Start(c); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	return th.Result()
}

func TestMemory(t *testing.T) {
	s := newSystem(t)
	_, th := spawn(t, s)
	data := bytes.Repeat([]byte("binder"), 100_000)
	if r := do(t, s, th, bindertest.Call{Op: bindertest.OpPoke, Addr: bindertest.Arena + 5, Data: data}); r.Errno != 0 {
		t.Fatalf("poke: %+v", r)
	}
	if r := do(t, s, th, bindertest.Call{Op: bindertest.OpPeek, Addr: bindertest.Arena + 5, Len: uint64(len(data))}); !bytes.Equal(r.Data, data) {
		t.Errorf("%d bytes came back, errno %d", len(r.Data), r.Errno)
	}
	for _, addr := range []uint64{bindertest.Unmapped, bindertest.Arena + bindertest.ArenaSize - 4, bindertest.MapAddr} {
		if r := do(t, s, th, bindertest.Call{Op: bindertest.OpPeek, Addr: addr, Len: 8}); r.Errno != int(unix.EFAULT) {
			t.Errorf("%#x: %+v", addr, r)
		}
		if r := do(t, s, th, bindertest.Call{Op: bindertest.OpPoke, Addr: addr, Data: make([]byte, 8)}); r.Errno != int(unix.EFAULT) {
			t.Errorf("%#x: %+v", addr, r)
		}
	}
	if r := do(t, s, th, bindertest.Call{Op: bindertest.OpNice}); r.Val != 3 {
		t.Errorf("nice: %+v", r)
	}
}

func TestFiles(t *testing.T) {
	s := newSystem(t)
	_, a := spawn(t, s)
	pb, b := spawn(t, s)
	file := do(t, s, a, bindertest.Call{Op: bindertest.OpFile, Data: []byte("hello")})
	if file.Val != 3 {
		t.Errorf("the first descriptor is %+v", file)
	}
	// The receiver's only free thread need not be free.
	if r, ok := try(t, s, b, bindertest.Call{Op: bindertest.OpPollWait, FD: 900, Flags: unix.POLLIN}); ok {
		t.Fatalf("poll: %+v", r)
	}
	given := do(t, s, a, bindertest.Call{Op: bindertest.OpGive, FD: int(file.Val), To: pb.PID()})
	if given.Errno != 0 || given.Val != 3 {
		t.Fatalf("give: %+v", given)
	}
	b2 := newThread(t, pb)
	if r := do(t, s, b2, bindertest.Call{Op: bindertest.OpReadFD, FD: 3, Len: 5}); string(r.Data) != "hello" {
		t.Errorf("read: %+v", r)
	}
	here := do(t, s, a, bindertest.Call{Op: bindertest.OpDescribe, FD: 3})
	there := do(t, s, b2, bindertest.Call{Op: bindertest.OpDescribe, FD: 3})
	if here.Val != 1 || there.Val != 1 || there.Val2 != 1 || !bytes.Equal(here.Data, there.Data) {
		t.Errorf("one file: %+v, %+v", here, there)
	}
	if r := do(t, s, a, bindertest.Call{Op: bindertest.OpDescribe, FD: 77}); r.Errno != 0 || r.Val != 0 {
		t.Errorf("no file: %+v", r)
	}
	pipe := do(t, s, a, bindertest.Call{Op: bindertest.OpPipe})
	read := bindertest.Call{Op: bindertest.OpReadFD, FD: int(pipe.Val), Len: 8}
	if r := do(t, s, a, read); r.Errno != int(unix.EAGAIN) {
		t.Errorf("empty pipe: %+v", r)
	}
	do(t, s, a, bindertest.Call{Op: bindertest.OpWriteFD, FD: int(pipe.Val2), Data: []byte("x")})
	do(t, s, a, bindertest.Call{Op: bindertest.OpClose, FD: int(pipe.Val2)})
	if r := do(t, s, a, read); string(r.Data) != "x" {
		t.Errorf("pipe: %+v", r)
	}
	if r := do(t, s, a, read); r.Errno != 0 || r.Val != 0 {
		t.Errorf("end of pipe: %+v", r)
	}
}

func TestThreads(t *testing.T) {
	s := newSystem(t)
	p, leader := spawn(t, s)
	other := newThread(t, p)
	if leader.TID() != p.PID() || other.TID() == p.PID() {
		t.Errorf("process %d, leader %d, other %d", p.PID(), leader.TID(), other.TID())
	}
	pipe := do(t, s, leader, bindertest.Call{Op: bindertest.OpPipe})
	wait := bindertest.Call{Op: bindertest.OpPollWait, FD: int(pipe.Val), Flags: unix.POLLIN}
	if r, ok := try(t, s, other, wait); ok {
		t.Fatalf("an empty pipe is ready: %+v", r)
	}
	if err := other.Start(wait); err == nil {
		t.Error("two calls at once")
	}
	if err := other.Signal(); err != nil {
		t.Fatal(err)
	}
	if r := await(t, s, other); r.Errno != int(unix.EINTR) {
		t.Errorf("interrupted: %+v", r)
	}
	do(t, s, leader, bindertest.Call{Op: bindertest.OpExit})
	if err := leader.Start(wait); err == nil {
		t.Error("a thread that has ended takes calls")
	}
	if r, ok := try(t, s, other, wait); ok {
		t.Fatalf("%+v", r)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if r, ok := other.Result(); ok {
		t.Errorf("a killed call has a result: %+v", r)
	}
	if _, err := p.Thread(); err == nil {
		t.Error("a thread of a dead process")
	}
}

// TestPool makes a process as new.
func TestPool(t *testing.T) {
	s := newSystem(t)
	s.pool = &Pool{}
	p, leader := spawn(t, s)
	other := newThread(t, p)
	pipe := do(t, s, leader, bindertest.Call{Op: bindertest.OpPipe})
	do(t, s, leader, bindertest.Call{Op: bindertest.OpPoke, Addr: bindertest.Arena, Data: []byte("x")})
	do(t, s, leader, bindertest.Call{Op: bindertest.OpNice, Flags: 1, Index: 7})
	if r, ok := try(t, s, other, bindertest.Call{Op: bindertest.OpPollWait, FD: int(pipe.Val), Flags: unix.POLLIN}); ok {
		t.Fatalf("poll: %+v", r)
	}
	if !s.pool.put(s.processes[p.PID()]) {
		t.Fatal("it cannot be kept")
	}
	q, leader := spawn(t, s)
	if q.PID() != p.PID() || newThread(t, q).TID() != other.TID() {
		t.Errorf("not the process that was kept")
	}
	if r := do(t, s, leader, bindertest.Call{Op: bindertest.OpPeek, Addr: bindertest.Arena, Len: 1}); r.Errno != 0 || r.Data[0] != 0 {
		t.Errorf("memory: %+v", r)
	}
	if r := do(t, s, leader, bindertest.Call{Op: bindertest.OpNice}); r.Val != 3 {
		t.Errorf("nice: %+v", r)
	}
	if r := do(t, s, leader, bindertest.Call{Op: bindertest.OpFile}); r.Val != 3 {
		t.Errorf("descriptor: %+v", r)
	}
	do(t, s, leader, bindertest.Call{Op: bindertest.OpRlimit, Cmd: unix.RLIMIT_NICE, Len: 0})
	if s.pool.put(s.processes[q.PID()]) {
		t.Error("kept in spite of its limits")
	}
}

func TestProcFiles(t *testing.T) {
	for text, want := range map[string]int{"0.00 0.01 0.05 1/79 1234\n": 1, "0.5 0.5 0.5 12/79 1\n": 12, "": -1, "a b c d": -1} {
		if got := runnable([]byte(text)); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
	for text, want := range map[string]byte{"12 (a) b) S 1 2": 'S', "": '?', "12 (x)": '?'} {
		if got := taskState([]byte(text)); got != want {
			t.Errorf("%q: %c", text, got)
		}
	}
}
