// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/bindertest"
	"virtbinder/driver/uapi"
)

// maxRead is the most that one request reads, bytes.
const maxRead = 64 << 10

// bwr is struct binder_write_read.
type bwr struct {
	writeSize, writeConsumed, writeBuffer uint64
	readSize, readConsumed, readBuffer    uint64
}

func decodeBWR(b []byte) bwr {
	return bwr{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:])}
}

func (w *bwr) bytes() []byte {
	var b []byte
	for _, v := range []uint64{w.writeSize, w.writeConsumed, w.writeBuffer, w.readSize, w.readConsumed, w.readBuffer} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// exchange is one BINDER_WRITE_READ on its way through as many requests as it
// takes, as guest/module/write_read.c.
type exchange struct {
	bwr
	th      *thread
	b       *binder
	file    *file
	writing bool
	faulted bool                   // the read buffer is no good: only write, then EFAULT
	out     []byte                 // where the BR commands go; nil: to readBuffer
	end     func(errno unix.Errno) // ends the thread's call
}

// writeRead is OpWriteRead: the reader's buffer is the System's own.
func (th *thread) writeRead(c bindertest.Call) {
	f := th.p.file(c.FD)
	if f == nil || f.binder == nil {
		th.fail(unix.EBADF)
		return
	}
	if errno := th.p.write(c.Addr, c.Data); errno != 0 {
		th.fail(errno)
		return
	}
	x := &exchange{th: th, b: f.binder, file: f, out: []byte{}, bwr: bwr{
		writeSize: uint64(len(c.Data)) - c.Len, writeConsumed: c.WriteConsumed, writeBuffer: c.Addr + c.Len,
		readSize: c.ReadSize, readConsumed: c.ReadConsumed,
	}}
	x.run(func(errno unix.Errno) {
		th.end(bindertest.Result{Errno: int(errno), Data: x.out, WriteConsumed: x.writeConsumed, ReadConsumed: x.readConsumed})
	})
}

// run starts the exchange; end is called once.
func (x *exchange) run(end func(unix.Errno)) {
	x.end = end
	if x.b.owner != x.th.p {
		end(unix.EINVAL)
		return
	}
	x.file.refs++
	x.th.call.file = x.file
	x.writing = x.writeConsumed < x.writeSize
	x.send()
}

// room for BR commands, 0 if there is no read; a full buffer is read into all the
// same.
func (x *exchange) room() uint64 {
	if x.readSize == 0 {
		return 0
	}
	room := uint64(0)
	if x.readSize > x.readConsumed {
		room = x.readSize - x.readConsumed
	}
	return min(max(room, 4), maxRead)
}

// readFaults says that the leading BR_NOOP cannot be written.
func (x *exchange) readFaults() bool {
	return x.out == nil && x.readSize != 0 && x.readConsumed == 0 &&
		x.th.p.write(x.readBuffer, le.AppendUint32(nil, uapi.BR_NOOP)) != 0
}

// send makes one request of what is left.
func (x *exchange) send() {
	th := x.th
	r := &request{Request: driver.Request{Proc: x.b.id, TID: th.tid, Seq: x.b.nextSeq(), Nice: int32(th.nice), EUID: th.p.euid,
		NonBlock: x.file.nonblock, Continued: x.readConsumed != 0}}
	if x.writing {
		(&gather{th.p, r}).piece(x.writeBuffer+x.writeConsumed, x.writeSize-x.writeConsumed)
	}
	x.faulted = !r.Partial && x.readFaults()
	if !r.Partial && !x.faulted {
		r.ReadSize = uint32(x.room())
	}
	sent := len(r.Stream)
	partial, fault := r.Partial, r.Fault
	call := th.call
	call.req, call.binder = r, x.b
	if r.ReadSize > 0 {
		call.interrupt = func() { th.p.k.transport.cancel(x.b.id, th.tid, r.Seq) }
	}
	r.done = func(resp *driver.Response) {
		call.req, call.interrupt = nil, nil
		if call.orphaned {
			th.p.k.undoOrphan(x.b, th.tid, resp)
			return
		}
		x.answer(resp, sent, partial, fault)
	}
	th.p.k.transport.writeRead(r)
}

// answer takes one answer in.
func (x *exchange) answer(resp *driver.Response, sent int, partial, fault bool) {
	if x.writing {
		done := min(resp.WriteConsumed, uint64(sent))
		x.writeConsumed += done
		if resp.Status != 0 && (done < uint64(sent) || fault) {
			x.readConsumed = 0
		}
	}
	d := &delivery{th: x.th, b: x.b, resp: resp}
	switch {
	case resp.Status != 0 || resp.Flags&(driver.RespCancelled|driver.RespGone|driver.RespWaiting) != 0:
		d.settle()
		x.unanswered(resp)
	case partial:
		d.settle()
		x.writing = resp.Flags&driver.RespStopped == 0
		if x.writing || x.room() > 0 {
			x.send()
			return
		}
		x.end(0)
	case x.faulted:
		d.settle()
		x.end(unix.EFAULT)
	default:
		x.writing = false
		again := resp.Flags&driver.RespStopped != 0 && len(resp.BR) == 0 && x.room() > 0
		x.read(d, again)
	}
}

// unanswered handles an answer without commands.
func (x *exchange) unanswered(resp *driver.Response) {
	switch {
	case resp.Status != 0:
		x.end(resp.Status)
	case resp.Flags&driver.RespGone != 0:
		x.end(unix.ENODEV)
	case resp.Flags&driver.RespCancelled != 0:
		x.end(unix.EINTR)
	default:
		x.writing = false
		th := x.th
		th.waits = &wait{event: driver.EventThread, binder: x.b, again: func() { th.waits = nil; x.send() }}
		th.call.interrupt = func() { x.end(unix.EINTR) }
	}
}

// read hands over what the answer carries.
func (x *exchange) read(d *delivery, again bool) {
	put := func(b []byte) unix.Errno {
		if x.out != nil {
			x.out = append(x.out, b...)
			return 0
		}
		return x.th.p.write(x.readBuffer+x.readConsumed, b)
	}
	n, nothing, errno := d.deliver(put)
	x.readConsumed += uint64(n)
	if errno == 0 && d.resp.Flags&driver.RespSpawn != 0 && x.out == nil {
		errno = x.th.p.write(x.readBuffer, binary.LittleEndian.AppendUint32(nil, uapi.BR_SPAWN_LOOPER))
	}
	if errno == 0 && (again || nothing) {
		x.send()
		return
	}
	x.end(errno)
}

// undoOrphan undoes what an answer delivers that nobody waits for.
func (k *Kernel) undoOrphan(b *binder, tid uint32, resp *driver.Response) {
	for _, f := range resp.Fix {
		if f.Kind != driver.FixFree {
			k.putToken(f.Token)
		}
	}
	if resp.Delivery != 0 {
		k.transport.undo(b.id, tid, resp.Delivery)
	}
}
