// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/bindertest"
)

// operations is the system call table. Each ends the thread's call, now or later.
var operations = map[bindertest.Op]func(*thread, bindertest.Call){
	bindertest.OpOpen: func(th *thread, c bindertest.Call) {
		n, errno := th.p.openBinder(c.Name, c.Flags&unix.O_NONBLOCK != 0)
		th.end(bindertest.Result{Errno: int(errno), Val: int64(n)})
	},
	bindertest.OpClose: func(th *thread, c bindertest.Call) { th.fail(th.p.closeFD(c.FD)) },
	bindertest.OpDup: withFile(func(th *thread, f *file, _ bindertest.Call) bindertest.Result {
		n, errno := th.p.add(f, false)
		return bindertest.Result{Errno: int(errno), Val: int64(n)}
	}),
	bindertest.OpMmap: withFile(func(th *thread, f *file, c bindertest.Call) bindertest.Result {
		addr, errno := th.p.mapBinder(f, c.Len, c.Prot, c.Index)
		return bindertest.Result{Errno: int(errno), Val: int64(addr)}
	}),
	bindertest.OpMunmap: func(th *thread, c bindertest.Call) {
		for _, m := range append([]*mapping(nil), th.p.memory.maps...) {
			if c.Addr < m.addr+m.size && m.addr < c.Addr+c.Len {
				m.unmap(th.p)
			}
		}
		th.fail(0)
	},
	bindertest.OpMprotect: func(th *thread, c bindertest.Call) {
		var errno unix.Errno
		if c.Prot&unix.PROT_WRITE != 0 {
			errno = unix.EACCES
		}
		th.fail(errno)
	},
	bindertest.OpIoctl:     (*thread).ioctl,
	bindertest.OpWriteRead: (*thread).writeRead,
	bindertest.OpPoll: withFile(func(th *thread, f *file, c bindertest.Call) bindertest.Result {
		return bindertest.Result{Val: int64(th.poll(f) & (c.Flags | unix.POLLERR))}
	}),
	bindertest.OpPollWait: (*thread).pollWait,
	bindertest.OpPeek: func(th *thread, c bindertest.Call) {
		b, errno := th.p.readAll(c.Addr, c.Len)
		th.end(bindertest.Result{Errno: int(errno), Data: b})
	},
	bindertest.OpPoke: func(th *thread, c bindertest.Call) { th.fail(th.p.write(c.Addr, c.Data)) },
	bindertest.OpPipe: func(th *thread, c bindertest.Call) { th.end(th.p.newPipe()) },
	bindertest.OpFile: func(th *thread, c bindertest.Call) {
		f := th.p.k.newFile("file")
		f.data = make([]byte, pageSize)
		copy(f.data, c.Data)
		n, errno := th.p.add(f, true)
		th.end(bindertest.Result{Errno: int(errno), Val: int64(n)})
	},
	bindertest.OpReadFD: withFile(func(_ *thread, f *file, c bindertest.Call) bindertest.Result { return f.read(c.Len) }),
	bindertest.OpWriteFD: withFile(func(_ *thread, f *file, c bindertest.Call) bindertest.Result {
		if f.pipe == nil || !f.writer {
			return bindertest.Result{Errno: int(unix.EBADF)}
		}
		f.pipe.buf = append(f.pipe.buf, c.Data...)
		return bindertest.Result{}
	}),
	bindertest.OpDescribe: func(th *thread, c bindertest.Call) {
		var r bindertest.Result
		if d := th.p.fds[c.FD]; d != nil {
			r = bindertest.Result{Val: 1, Data: []byte(d.file.id)}
			if d.cloexec {
				r.Val2 = 1
			}
		}
		th.end(r)
	},
	bindertest.OpGive: withFile(func(th *thread, f *file, c bindertest.Call) bindertest.Result {
		for _, p := range th.p.k.procs {
			if p.pid == c.To {
				n, errno := p.add(f, false)
				return bindertest.Result{Errno: int(errno), Val: int64(n)}
			}
		}
		return bindertest.Result{Errno: int(unix.ESRCH)}
	}),
	bindertest.OpNice: func(th *thread, c bindertest.Call) {
		if c.Flags&1 != 0 {
			th.nice = c.Index
		}
		th.end(bindertest.Result{Val: int64(th.nice)})
	},
	bindertest.OpNonblock: withFile(func(_ *thread, f *file, c bindertest.Call) bindertest.Result {
		f.nonblock = c.Flags != 0
		return bindertest.Result{}
	}),
	bindertest.OpEpoll: withFile(func(th *thread, f *file, _ bindertest.Call) bindertest.Result {
		e := th.p.k.newFile("epoll")
		e.members = []*file{f}
		n, errno := th.p.add(e, true)
		return bindertest.Result{Errno: int(errno), Val: int64(n)}
	}),
	bindertest.OpExit: func(th *thread, _ bindertest.Call) { th.fail(0) },
	bindertest.OpSetEUID: func(th *thread, c bindertest.Call) {
		uid := uint32(c.Index)
		if th.p.euid != 0 && uid != th.p.euid && uid != th.p.attr.UID {
			th.fail(unix.EPERM)
			return
		}
		th.p.euid = uid
		th.fail(0)
	},
	bindertest.OpRlimit: func(th *thread, c bindertest.Call) {
		switch c.Cmd {
		case unix.RLIMIT_NOFILE:
			th.p.maxFDs = int(c.Len)
		case unix.RLIMIT_NICE:
			th.p.rlimitNice = int(c.Len)
		}
		th.fail(0)
	},
}

// withFile is an operation on a descriptor that ends at once.
func withFile(op func(*thread, *file, bindertest.Call) bindertest.Result) func(*thread, bindertest.Call) {
	return func(th *thread, c bindertest.Call) {
		f := th.p.file(c.FD)
		if f == nil {
			th.fail(unix.EBADF)
			return
		}
		th.end(op(th, f, c))
	}
}

// newPipe makes both ends.
func (p *process) newPipe() bindertest.Result {
	shared := &pipe{writers: 1}
	r, w := p.k.newFile("pipe.r"), p.k.newFile("pipe.w")
	r.pipe, w.pipe, w.writer = shared, shared, true
	w.release = func() { shared.writers = 0 }
	n, _ := p.add(r, true)
	m, errno := p.add(w, true)
	return bindertest.Result{Errno: int(errno), Val: int64(n), Val2: int64(m)}
}

func (f *file) read(n uint64) bindertest.Result {
	switch {
	case f.data != nil:
		return bindertest.Result{Data: f.data[:min(n, uint64(len(f.data)))]}
	case f.pipe == nil || f.writer:
		return bindertest.Result{Errno: int(unix.EBADF)}
	case len(f.pipe.buf) == 0 && f.pipe.writers > 0:
		return bindertest.Result{Errno: int(unix.EAGAIN)}
	}
	n = min(n, uint64(len(f.pipe.buf)))
	b := f.pipe.buf[:n]
	f.pipe.buf = f.pipe.buf[n:]
	return bindertest.Result{Data: b}
}

// poll is the poll method of a file, for this thread.
func (th *thread) poll(f *file) uint32 {
	for _, m := range f.members {
		if th.poll(m)&unix.POLLIN != 0 {
			return unix.POLLIN
		}
	}
	if f.binder == nil {
		return 0
	}
	if f.binder.owner != th.p {
		return unix.POLLERR
	}
	readable, errno := th.p.k.transport.poll(f.binder.id, th.tid)
	switch {
	case errno != 0:
		return unix.POLLERR
	case readable:
		return unix.POLLIN
	}
	return 0
}

// pollWait polls again after each event, until there is something.
func (th *thread) pollWait(c bindertest.Call) {
	f := th.p.file(c.FD)
	if f == nil {
		th.fail(unix.EBADF)
		return
	}
	f.refs++
	th.call.file = f
	th.call.interrupt = func() { th.fail(unix.EINTR) }
	b := f.binder
	if b == nil && len(f.members) > 0 {
		b = f.members[0].binder
	}
	try := func() {
		if got := th.poll(f) & (c.Flags | unix.POLLERR); got != 0 {
			th.end(bindertest.Result{Val: int64(got)})
		}
	}
	th.waits = &wait{event: driver.EventPoll, binder: b, again: try}
	try()
}
