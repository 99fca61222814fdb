// SPDX-License-Identifier: Apache-2.0

package device

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/virtiotest"
)

// The fake guest: two threads, each with a request queue of its own, as on two
// processors. One serves, the other calls (calls_test.go).

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
	Kind    string   // then of what: a key of kinds
	N       int      // how many
	Size    int      // bytes of a call
}

func guestRole() error {
	debug.SetGCPercent(-1) // a guest kernel has none
	runtime.GOMAXPROCS(threads)
	var g *guest
	return obey(func(o order) (err error) {
		if o.Machine != nil {
			g, err = newGuest(*o.Machine)
			return err
		}
		kinds[o.Kind](g.client, o.N, o.Size)
		return nil
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
	client, server := g.thread(0, m), &server{thread: g.thread(1, m)}
	name := make([]byte, wire.SizeofContext)
	copy(name, "binder")
	g.binder = client.must(wire.OpContext, name, 0).val()
	server.open(g.binder)
	manager := ioctlBody(uapi.BINDER_SET_CONTEXT_MGR_EXT)
	copy(manager[wire.OffIoctlArg:], object(uapi.BINDER_TYPE_BINDER, 0))
	server.must(wire.OpIoctl, manager, wire.LenIoctlArg)
	client.open(g.binder)
	ready := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		server.serve(ready)
	}()
	<-ready
	g.client = &caller{thread: client, server: server}
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
	br       int // where BR commands begin in resp
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

// received is the transaction or reply in the answer, if there is one.
func (r *request) received() (t uapi.TransactionData, ok bool) {
	pos := le.Uint32(r.check().resp[wire.OffRespTxnPos:])
	if pos == driver.NoPos {
		return t, false
	}
	return uapi.DecodeTransactionData(r.resp[r.br+int(pos)+4:], false), true
}

// transaction is the transaction or reply that must be in the answer.
func (r *request) transaction() uapi.TransactionData {
	t, ok := r.received()
	if !ok {
		panic("an answer without a transaction")
	}
	return t
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
