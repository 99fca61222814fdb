// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/bindertest"
	"virtbinder/driver/uapi"
)

// hostIoctl is an ioctl that the host answers, by value.
type hostIoctl struct {
	in, out    int
	fault      unix.Errno // for an unreadable argument
	anyProcess bool
	waits      bool
}

var hostIoctls = map[uint32]hostIoctl{
	uapi.BINDER_SET_MAX_THREADS:              {in: 4, fault: unix.EINVAL},
	uapi.BINDER_SET_CONTEXT_MGR:              {},
	uapi.BINDER_SET_CONTEXT_MGR_EXT:          {in: 24, fault: unix.EINVAL},
	uapi.BINDER_THREAD_EXIT:                  {},
	uapi.BINDER_GET_NODE_DEBUG_INFO:          {in: 24, out: 24, fault: unix.EFAULT, anyProcess: true},
	uapi.BINDER_GET_NODE_INFO_FOR_REF:        {in: 24, out: 24, fault: unix.EFAULT, anyProcess: true},
	uapi.BINDER_FREEZE:                       {in: 12, fault: unix.EFAULT, anyProcess: true, waits: true},
	uapi.BINDER_GET_FROZEN_INFO:              {in: 12, out: 12, fault: unix.EFAULT, anyProcess: true},
	uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION: {in: 4, fault: unix.EFAULT},
	uapi.BINDER_GET_EXTENDED_ERROR:           {out: 12},
}

// argument is the memory that an ioctl's argument points to: the call's own bytes,
// or an address.
type argument struct {
	p    *process
	data []byte
	addr uint64
}

func (a *argument) read(n int) ([]byte, unix.Errno) {
	if a.addr != 0 {
		return a.p.readAll(a.addr, uint64(n))
	}
	b := make([]byte, n)
	copy(b, a.data)
	return b, 0
}

func (a *argument) write(b []byte) unix.Errno {
	if a.addr != 0 {
		return a.p.write(a.addr, b)
	}
	copy(a.data, b)
	return 0
}

// ioctl is OpIoctl.
func (th *thread) ioctl(c bindertest.Call) {
	f := th.p.file(c.FD)
	if f == nil {
		th.fail(unix.EBADF)
		return
	}
	if f.binder == nil {
		th.fail(unix.ENOTTY)
		return
	}
	a := &argument{p: th.p, data: append([]byte(nil), c.Data...), addr: c.Addr}
	end := func(errno unix.Errno) { th.end(bindertest.Result{Errno: int(errno), Data: a.data}) }
	io, found := hostIoctls[c.Cmd]
	switch {
	case c.Cmd == uapi.BINDER_VERSION:
		th.version(f, a, end)
	case c.Cmd == uapi.BINDER_WRITE_READ:
		th.writeReadAt(f, a, end)
	case !io.anyProcess && f.binder.owner != th.p:
		end(unix.EINVAL)
	case !found:
		th.seen(f, unix.EINVAL, end)
	default:
		in, errno := a.read(io.in)
		if errno != 0 {
			th.seen(f, io.fault, end)
			return
		}
		th.hostIoctl(f, c.Cmd, io, in, func(errno unix.Errno, out []byte) {
			if errno == 0 && io.out > 0 && a.write(out[:io.out]) != 0 {
				errno = unix.EFAULT
			}
			end(errno)
		})
	}
}

// seen lets the host see a call that the guest answers: a thread's first ioctl,
// whichever it is, changes what its first read does.
func (th *thread) seen(f *file, errno unix.Errno, end func(unix.Errno)) {
	th.hostIoctl(f, uapi.BINDER_VERSION, hostIoctl{}, nil, func(unix.Errno, []byte) { end(errno) })
}

// version is the guest's to say.
func (th *thread) version(f *file, a *argument, end func(unix.Errno)) {
	var errno unix.Errno
	if a.write(le.AppendUint32(nil, uapi.ProtocolVersion)) != 0 {
		errno = unix.EINVAL
	}
	th.seen(f, errno, end)
}

func (th *thread) writeReadAt(f *file, a *argument, end func(unix.Errno)) {
	if f.binder.owner != th.p {
		end(unix.EINVAL)
		return
	}
	const size = 48 // of binder_write_read
	b, errno := a.read(size)
	if errno != 0 {
		th.seen(f, errno, end)
		return
	}
	x := &exchange{th: th, b: f.binder, file: f, bwr: decodeBWR(b)}
	x.run(func(errno unix.Errno) {
		if a.write(x.bytes()) != 0 {
			errno = unix.EFAULT
		}
		end(errno)
	})
}

// hostIoctl has the host execute io; one that a signal interrupts is restarted.
func (th *thread) hostIoctl(f *file, cmd uint32, io hostIoctl, in []byte, end func(unix.Errno, []byte)) {
	b, call := f.binder, th.call
	if call.file == nil {
		f.refs++
		call.file = f
	}
	r := &request{Request: driver.Request{Proc: b.id, TID: th.tid, Seq: b.nextSeq(), EUID: th.p.euid}}
	call.req = r
	if io.waits {
		call.interrupt = func() { th.p.k.transport.cancel(b.id, th.tid, r.Seq) }
	}
	r.done = func(resp *driver.Response) {
		call.req, call.interrupt = nil, nil
		switch {
		case call.orphaned:
		case resp.Flags&driver.RespCancelled != 0:
			th.hostIoctl(f, cmd, io, in, end)
		case resp.Flags&driver.RespGone != 0:
			end(unix.ENODEV, nil)
		default:
			end(resp.Status, resp.BR)
		}
	}
	var arg [24]byte
	copy(arg[:], in)
	th.p.k.transport.ioctl(r, cmd, &arg)
}
