// SPDX-License-Identifier: Apache-2.0

package device

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/virtiotest"
)

// The fake guest: two threads, each with a request queue of its own, as on two
// processors. One serves, the other calls, with three requests a call as libbinder's
// threads make them.

var le = binary.LittleEndian

// machine is what the guest is told of itself. Its descriptors are guest memory, and
// for each thread the doorbell and the interrupt.
type machine struct {
	Taken int // of guest memory
	Rings [2]virtiotest.Ring
}

const ramFD = 3

func doorbellFD(thread int) int  { return ramFD + 1 + 2*thread }
func interruptFD(thread int) int { return ramFD + 2 + 2*thread }

// order is what the benchmark asks the guest for.
type order struct {
	Machine *machine // first of all
	Calls   int      // or calls
	Size    int      // of so many bytes
	Pings   int      // or round trips of a ring
}

func guestRole() error {
	debug.SetGCPercent(-1) // a guest kernel has none
	runtime.GOMAXPROCS(threads)
	var g *guest
	return obey(func(o order) (err error) {
		switch {
		case o.Machine != nil:
			g, err = newGuest(*o.Machine)
		case o.Pings > 0:
			g.client.pings(o.Pings)
		default:
			g.client.calls(o.Calls, o.Size)
		}
		return err
	})
}

type guest struct {
	mem    *virtiotest.Machine
	binder uint64 // the context
	client *caller
}

func newGuest(m machine) (*guest, error) {
	var st unix.Stat_t
	if err := unix.Fstat(ramFD, &st); err != nil {
		return nil, err
	}
	ram, err := unix.Mmap(ramFD, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	g := &guest{}
	if g.mem, err = virtiotest.NewMachineOn(ram, m.Taken); err != nil {
		return nil, err
	}
	client, server := g.thread(0, m), g.thread(1, m)
	name := make([]byte, wire.SizeofContext)
	copy(name, "binder")
	g.binder = client.must(wire.OpContext, name, 0).val()
	server.open(g.binder)
	server.must(wire.OpIoctl, ioctlBody(uapi.BINDER_SET_CONTEXT_MGR), wire.LenIoctlArg)
	client.open(g.binder)
	ready := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		server.serve(ready)
	}()
	<-ready
	g.client = newCaller(client)
	return g, nil
}

// thread is a guest's thread and its queue.
type thread struct {
	mem   *virtiotest.Machine
	queue *virtiotest.Queue
	irq   bell
	proc  uint64
	tid   uint32
	seq   uint32
}

func (g *guest) thread(n int, m machine) *thread {
	doorbell := bell{doorbellFD(n)}
	return &thread{mem: g.mem, queue: virtiotest.OpenQueue(g.mem, m.Rings[n], doorbell.ring), irq: bell{interruptFD(n)}, tid: uint32(100 + n)}
}

// request is one that is sent over and over.
type request struct {
	t        *thread
	readable []virtiotest.Span // control part, payload
	writable []virtiotest.Span
	ctl      []byte
	resp     []byte
}

func (t *thread) request(op uint32, body []byte, payload, br int) *request {
	ctl := make([]byte, wire.SizeofReq, wire.SizeofReq+len(body))
	le.PutUint32(ctl[wire.OffReqOp:], op)
	le.PutUint32(ctl[wire.OffReqCtlLen:], uint32(wire.SizeofReq+len(body)))
	le.PutUint64(ctl[wire.OffReqProc:], t.proc)
	le.PutUint32(ctl[wire.OffReqTid:], t.tid)
	head, room := t.queue.Put(append(ctl, body...)), t.queue.Room(wire.SizeofResp+br)
	r := &request{t: t, readable: []virtiotest.Span{head}, writable: []virtiotest.Span{room}, ctl: t.queue.Bytes(head), resp: t.queue.Bytes(room)}
	if payload > 0 {
		r.readable = append(r.readable, t.queue.Room(payload))
	}
	return r
}

// run sends it and waits for the answer, as the guest driver does: awake at first, then
// asleep.
func (r *request) run() *request {
	t := r.t
	t.seq++
	le.PutUint32(r.ctl[wire.OffReqSeq:], t.seq)
	if _, err := t.queue.Submit(r.readable, r.writable); err != nil {
		panic(err)
	}
	t.queue.Kick()
	if t.spin() {
		return r
	}
	for {
		if _, ok := t.queue.Used(); ok {
			return r
		}
		if t.queue.WantInterrupt() {
			t.irq.wait()
		}
	}
}

// maxSpin is how long a thread looks for an answer before it sleeps.
const maxSpin = vbinder.DefaultPoll

// spin looks for an answer for a while, and lets others have the processor meanwhile.
func (t *thread) spin() bool {
	for end := time.Now().Add(maxSpin); time.Now().Before(end); {
		for range 64 {
			if _, ok := t.queue.Used(); ok {
				return true
			}
		}
		_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	return false
}

func (r *request) val() uint64 { return le.Uint64(r.resp[wire.OffRespVal:]) }

func (r *request) check() *request {
	if status := int32(le.Uint32(r.resp)); status != 0 {
		panic(fmt.Sprintf("operation %d: status %d", le.Uint32(r.ctl), status))
	}
	return r
}

// buffer is that of the transaction or reply in the answer.
func (r *request) buffer() uint64 {
	pos := le.Uint32(r.check().resp[wire.OffRespTxnPos:])
	if pos == driver.NoPos {
		panic("an answer without a transaction")
	}
	return uapi.DecodeTransactionData(r.resp[wire.SizeofResp+pos+4:], false).Buffer
}

// must makes a request that is made once.
func (t *thread) must(op uint32, body []byte, br int) *request {
	return t.request(op, body, 0, br).run().check()
}

func ioctlBody(cmd uint32) []byte {
	body := make([]byte, wire.SizeofIoctl)
	le.PutUint32(body, cmd)
	return body
}

const guestWindow = 1 << 20

func (t *thread) open(context uint64) {
	body := make([]byte, wire.SizeofOpen)
	le.PutUint64(body[wire.OffOpenContext:], context)
	le.PutUint32(body[wire.OffOpenPid:], t.tid)
	t.proc = t.must(wire.OpOpen, body, 0).val()
	t.must(wire.OpMmap, le.AppendUint64(le.AppendUint64(nil, uint64(t.tid)<<32), guestWindow), 0)
	t.must(wire.OpIoctl, ioctlBody(uapi.BINDER_VERSION), wire.LenIoctlArg)
}

const readSize = 256

// writeRead is the body of a WRITE_READ whose stream has a transaction of size bytes
// at pos, if pos is not negative.
func writeRead(stream []byte, pos, size int) []byte {
	body := make([]byte, wire.SizeofWr)
	le.PutUint32(body[wire.OffWrWriteLen:], uint32(len(stream)))
	le.PutUint32(body[wire.OffWrReadSize:], readSize)
	for len(stream)%8 != 0 {
		stream = append(stream, 0)
	}
	body = append(body, stream...)
	if pos >= 0 {
		le.PutUint32(body[wire.OffWrTxnCount:], 1)
		txn := make([]byte, wire.SizeofTxn)
		le.PutUint32(txn[wire.OffTxnCmdPos:], uint32(pos))
		le.PutUint64(txn[wire.OffTxnDataLen:], uint64(size))
		body = append(body, txn...)
	}
	return body
}

const freeAt = wire.SizeofReq + wire.SizeofWr + 4 // where a stream that begins with BC_FREE_BUFFER names it

var freeBuffer = le.AppendUint64(le.AppendUint32(nil, uapi.BC_FREE_BUFFER), 0)

func transaction(cmd uint32, size int) []byte {
	t := uapi.TransactionData{DataSize: uint64(size)}
	return t.Append(le.AppendUint32(nil, cmd), false)
}

// serve answers calls for ever.
func (t *thread) serve(ready chan<- struct{}) {
	enter := t.request(wire.OpWriteRead, enterLooper(), 0, 0)
	wait := t.request(wire.OpWriteRead, writeRead(nil, -1, 0), 0, readSize)
	reply := t.request(wire.OpWriteRead, writeRead(transaction(uapi.BC_REPLY, 0), 0, 0), 0, readSize)
	next := t.request(wire.OpWriteRead, writeRead(slices.Clone(freeBuffer), -1, 0), 0, readSize)
	enter.run().check()
	close(ready)
	for got := wait.run(); ; got = next.run() {
		le.PutUint64(next.ctl[freeAt:], got.buffer())
		reply.run().check()
	}
}

// enterLooper is a request that only writes.
func enterLooper() []byte {
	body := writeRead(le.AppendUint32(nil, uapi.BC_ENTER_LOOPER), -1, 0)
	le.PutUint32(body[wire.OffWrReadSize:], 0)
	return body
}

// caller makes calls.
type caller struct {
	t    *thread
	last uint64           // buffer of the last reply
	call map[int]*request // by size
	ping *request
}

func newCaller(t *thread) *caller {
	return &caller{t: t, call: map[int]*request{}, ping: t.request(wire.OpPing, nil, 0, 0)}
}

func (c *caller) pings(n int) {
	for range n {
		c.ping.run().check()
	}
}

func (c *caller) calls(n, size int) {
	r := c.call[size]
	if r == nil {
		stream := slices.Concat(freeBuffer, transaction(uapi.BC_TRANSACTION, size))
		r = c.t.request(wire.OpWriteRead, writeRead(stream, len(freeBuffer), size), size, readSize)
		c.call[size] = r
	}
	for range n {
		le.PutUint64(r.ctl[freeAt:], c.last)
		c.last = r.run().buffer()
	}
}
