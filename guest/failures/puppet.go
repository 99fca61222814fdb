// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// A puppet is a process of its own that does what it is told, one step at a time.
// Steps and their outcomes travel as gobs over its standard input and output.

// step is one thing to do. Do says which fields count.
type step struct {
	Do   string // open, ioctl, send, read, glance, limit
	Path string // open
	Map  int    // open: bytes to map; 0: none

	Ioctl uint32 // ioctl
	Arg   []byte // ioctl: in and out

	Raw  []byte    // send: this stream as it is, or
	Send *transact // send: this transaction

	Want   int  // read: how many BR codes to wait for, BR_NOOP not counted
	BadEnd bool // glance: read into memory that ends after the first code
}

// transact is a BC_TRANSACTION or BC_REPLY.
type transact struct {
	Reply, SG   bool
	Handle      uint32
	Code, Flags uint32
	Size        uint64 // data_size as stated; Data may be shorter
	Data        []byte
	BadData     bool // the data pointer leads nowhere
	Offsets     []uint64
	OffsetsSize uint64 // as stated; 0: that of Offsets
	Extra       uint64 // SG: buffers_size
}

// outcome is what a step led to.
type outcome struct {
	Errno unix.Errno
	Arg   []byte // ioctl
	BR    []back // read
}

// back is one BR code with what the cases need of its payload.
type back struct {
	Code   uint32
	Handle uint32 // of the first object in the data, if it is a handle
}

// puppet is the parent's end.
type puppet struct {
	cmd *exec.Cmd
	in  *gob.Encoder
	out *gob.Decoder
	fds []io.Closer
}

func startPuppet(flags uintptr, role string) (*puppet, error) {
	cmd := exec.Command("/proc/self/exe", "-puppet", role)
	cmd.Args[0] = role // as monitors name it
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &puppet{cmd, gob.NewEncoder(in), gob.NewDecoder(out), []io.Closer{in, out}}, nil
}

func (p *puppet) do(s step) (outcome, error) {
	var o outcome
	if err := p.in.Encode(s); err != nil {
		return o, err
	}
	return o, p.out.Decode(&o)
}

// kill ends the process and gives the kernel time to let go of its files: the
// stock driver does that later, in a worker.
func (p *puppet) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says that it was killed
	for _, c := range p.fds {
		_ = c.Close()
	}
	time.Sleep(100 * time.Millisecond)
}

// servePuppet is the process. It is called by its role.
func servePuppet(role string) {
	if name, err := unix.BytePtrFromString(role); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
	}
	in, out := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	mem, err := newArena()
	if err != nil {
		fmt.Fprintln(os.Stderr, "puppet:", err)
		os.Exit(1)
	}
	h := &hand{fd: -1, arena: mem}
	for {
		var s step
		if err := in.Decode(&s); err != nil {
			return // the parent has gone
		}
		if err := out.Encode(h.do(s)); err != nil {
			return
		}
	}
}

// do takes one step; a failed system call's errno is part of the outcome.
func (h *hand) do(s step) (o outcome) {
	var err error
	switch s.Do {
	case "open":
		err = h.open(s.Path, s.Map)
	case "ioctl":
		o.Arg = s.Arg
		err = h.ioctl(s.Ioctl, o.Arg)
	case "send":
		stream := s.Raw
		if s.Send != nil {
			stream = h.stream(s.Send)
		}
		_, err = h.writeRead(stream, 0, 0)
	case "read":
		o.BR, err = h.read(s.Want)
	case "glance":
		if s.BadEnd {
			err = h.glance(h.addr(arenaSize-4), 256)
		} else {
			err = h.glance(h.addr(readAt), dataAt-readAt)
		}
	case "limit":
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{})
	}
	if err != nil && !errors.As(err, &o.Errno) {
		fmt.Fprintln(os.Stderr, "puppet:", err)
		o.Errno = unix.EIO
	}
	return o
}

// names are the BR codes, as the capture of the kernel has them.
func names(all []back) []string {
	var out []string
	for _, b := range all {
		out = append(out, uapi.ReturnName(b.Code))
	}
	return out
}
