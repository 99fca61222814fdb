// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/virtiotest"
)

var le = binary.LittleEndian

// guest is a guest driver made of plain calls: it drives the device inline, and
// so finds an answer that does not park as soon as the doorbell returns.
type guest struct {
	t       testing.TB
	dev     *Device
	drv     *virtiotest.Driver
	window  []byte
	reports []driver.Report
	binder  uint64 // its context
	seq     uint32
}

const testWindow = 64 << 20

func newGuest(t testing.TB, cfg Config, inline bool) *guest {
	t.Helper()
	g := &guest{t: t}
	if cfg.Core == nil {
		cfg.Core = driver.New(driver.Config{})
	}
	cfg.Name = "test"
	cfg.Inline = true
	cfg.WindowSize = testWindow
	cfg.Report = func(r driver.Report) { g.reports = append(g.reports, r) }
	dev, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.dev = dev
	if g.drv, err = virtiotest.Start(dev, virtiotest.Config{Inline: inline, Memory: 32 << 20}); err != nil {
		t.Fatal(err)
	}
	g.window = g.drv.Machine.Shared(g.drv.SharedMemory()[0].GPA)
	g.probe()
	t.Cleanup(func() {
		if err := g.drv.Close(); err != nil {
			t.Error(err)
		}
		for kind, n := range dev.VM().Counts() {
			if n.Active != 0 {
				t.Errorf("%d objects of kind %s are left after reset", n.Active, kind)
			}
		}
		if s := dev.Stats(); s.WindowReserved != 0 {
			t.Errorf("%d bytes of window are reserved after reset", s.WindowReserved)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// header builds a request with a body; ctl_len covers both.
func (g *guest) header(op uint32, proc driver.ProcID, tid uint32, body []byte) []byte {
	g.seq++
	b := make([]byte, wire.SizeofReq, wire.SizeofReq+len(body))
	le.PutUint32(b[wire.OffReqOp:], op)
	le.PutUint32(b[wire.OffReqCtlLen:], uint32(wire.SizeofReq+len(body)))
	le.PutUint64(b[wire.OffReqProc:], uint64(proc))
	le.PutUint32(b[wire.OffReqTid:], tid)
	le.PutUint32(b[wire.OffReqSeq:], g.seq)
	return append(b, body...)
}

// pending is a request on the ring and where its answer goes.
type pending struct {
	g      *guest
	queue  *virtiotest.Queue
	head   uint16
	room   virtiotest.Span
	fixCap uint32
	seq    uint32
}

func (g *guest) send(queue int, request []byte, fixCap uint32, br int) *pending {
	g.t.Helper()
	q := g.drv.Queue(queue)
	p := &pending{g: g, queue: q, fixCap: fixCap, seq: g.seq, room: q.Room(wire.SizeofResp + int(fixCap)*wire.SizeofFix + br)}
	var err error
	if p.head, err = q.Submit([]virtiotest.Span{q.Put(request)}, []virtiotest.Span{p.room}); err != nil {
		g.t.Fatal(err)
	}
	q.Kick()
	return p
}

type answer struct {
	status   int32
	flags    uint32
	val      uint64
	consumed uint64
	txn      uint32
	delivery uint64
	sender   driver.ProcID
	fix      []driver.Fix
	br       []byte
}

// take expects the answer to be on the ring.
func (p *pending) take() answer {
	p.g.t.Helper()
	u, ok := p.queue.Used()
	if !ok {
		p.g.t.Fatal("no answer on the ring")
	}
	if u.Head != p.head {
		p.g.t.Fatalf("chain %d came back, want %d; reports %+v", u.Head, p.head, p.g.reports)
	}
	return p.parse(u.Written)
}

func (p *pending) parse(written uint32) answer {
	p.g.t.Helper()
	b := p.queue.Bytes(p.room)[:written]
	if len(b) < wire.SizeofResp {
		p.g.t.Fatalf("an answer of %d bytes", len(b))
	}
	a := answer{
		status: int32(le.Uint32(b)), flags: le.Uint32(b[wire.OffRespFlags:]), val: le.Uint64(b[wire.OffRespVal:]),
		consumed: le.Uint64(b[wire.OffRespWriteConsumed:]), txn: le.Uint32(b[wire.OffRespTxnPos:]),
		delivery: le.Uint64(b[wire.OffRespDelivery:]), sender: driver.ProcID(le.Uint64(b[wire.OffRespSenderProc:])),
	}
	for i := range le.Uint32(b[wire.OffRespFixCount:]) {
		f := b[wire.SizeofResp+wire.SizeofFix*i:]
		a.fix = append(a.fix, driver.Fix{Off: le.Uint64(f), Token: le.Uint32(f[8:]), Kind: driver.FixKind(le.Uint32(f[12:]))})
	}
	if n := le.Uint32(b[wire.OffRespBrLen:]); n > 0 {
		at := wire.SizeofResp + wire.SizeofFix*p.fixCap
		a.br = b[at : at+n]
	}
	return a
}

func (g *guest) call(queue int, op uint32, proc driver.ProcID, tid uint32, body []byte, br int) answer {
	g.t.Helper()
	return g.send(queue, g.header(op, proc, tid, body), 0, br).take()
}

func contextBody(name string) []byte {
	b := make([]byte, wire.SizeofContext)
	copy(b[wire.OffContextName:], name)
	return b
}

// probe makes the context of the guest's one device node, inline or not.
func (g *guest) probe() {
	g.t.Helper()
	request := g.header(wire.OpContext, 0, 1, contextBody("binder"))
	b, err := g.drv.Queue(wire.QRequest).Call(g.t.Context(), request, wire.SizeofResp)
	if err != nil || len(b) != wire.SizeofResp || le.Uint32(b) != 0 {
		g.t.Fatal(b, err)
	}
	g.binder = le.Uint64(b[wire.OffRespVal:])
}

func openBody(context uint64, label string, pid uint32) []byte {
	b := make([]byte, wire.SizeofOpen)
	le.PutUint64(b[wire.OffOpenContext:], context)
	le.PutUint32(b[wire.OffOpenPid:], pid)
	le.PutUint32(b[wire.OffOpenLabelLen:], uint32(len(label)))
	return append(b, label...)
}

// process is one open file with a mapping.
type process struct {
	g    *guest
	id   driver.ProcID
	addr uint64
	off  uint64 // of its range in the window
}

func (g *guest) open(pid uint32) *process {
	g.t.Helper()
	a := g.call(wire.QRequest, wire.OpOpen, 0, pid, openBody(g.binder, "u:r:test:s0", pid), 0)
	if a.status != 0 || a.val == 0 {
		g.t.Fatalf("open: status %d, process %d", a.status, a.val)
	}
	p := &process{g: g, id: driver.ProcID(a.val), addr: 0x7000_0000_0000 + uint64(pid)<<24}
	body := le.AppendUint64(le.AppendUint64(nil, p.addr), 1<<20)
	a = g.call(wire.QRequest, wire.OpMmap, p.id, pid, body, 0)
	if a.status != 0 {
		g.t.Fatalf("mmap: status %d", a.status)
	}
	p.off = a.val
	p.thread(pid)
	return p
}

// thread introduces a thread: the binder driver lets a fresh one's first call return
// without waiting, whatever it is.
func (p *process) thread(tid uint32) {
	p.g.t.Helper()
	if a := p.ioctl(tid, uapi.BINDER_VERSION, nil); a.status != 0 || le.Uint32(a.br) != uapi.ProtocolVersion {
		p.g.t.Fatalf("BINDER_VERSION: %+v", a)
	}
}

func (p *process) ioctl(tid, cmd uint32, arg []byte) answer {
	body := make([]byte, wire.SizeofIoctl)
	le.PutUint32(body, cmd)
	copy(body[wire.OffIoctlArg:], arg)
	return p.g.call(wire.QRequest, wire.OpIoctl, p.id, tid, body, wire.LenIoctlArg)
}

func (p *process) release() {
	p.g.t.Helper()
	if a := p.g.call(wire.QControl, wire.OpRelease, p.id, 0, nil, 0); a.status != 0 {
		p.g.t.Fatalf("release: status %d", a.status)
	}
}

// call describes a WRITE_READ.
type writeRead struct {
	stream  []byte
	txns    [][wire.SizeofTxn]byte
	objs    [][wire.SizeofObj]byte
	fds     [][wire.SizeofFd]byte
	extents []virtiotest.Span
	payload []byte // after the control part
	read    uint32
	fixCap  uint32
	flags   uint32
}

func (w *writeRead) body() []byte {
	b := make([]byte, wire.SizeofWr)
	for off, v := range map[int]uint32{
		wire.OffWrWriteLen: uint32(len(w.stream)), wire.OffWrTxnCount: uint32(len(w.txns)),
		wire.OffWrObjCount: uint32(len(w.objs)), wire.OffWrFdCount: uint32(len(w.fds)),
		wire.OffWrExtentCount: uint32(len(w.extents)), wire.OffWrReadSize: w.read,
		wire.OffWrFixCap: w.fixCap, wire.OffWrFlags: w.flags,
	} {
		le.PutUint32(b[off:], v)
	}
	b = append(b, w.stream...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	for _, t := range w.txns {
		b = append(b, t[:]...)
	}
	for _, o := range w.objs {
		b = append(b, o[:]...)
	}
	for _, f := range w.fds {
		b = append(b, f[:]...)
	}
	for _, e := range w.extents {
		b = le.AppendUint64(le.AppendUint64(b, e.GPA), uint64(e.Len))
	}
	return b
}

func (w *writeRead) request(p *process, tid uint32) []byte {
	return append(p.g.header(wire.OpWriteRead, p.id, tid, w.body()), w.payload...)
}

func (p *process) send(tid uint32, w *writeRead) *pending {
	p.g.t.Helper()
	return p.g.send(wire.QRequest, w.request(p, tid), w.fixCap, int(w.read))
}

// transact adds a transaction command whose data is the next bytes of the payload.
func (w *writeRead) transact(cmd uint32, td uapi.TransactionData, dataPos uint64) {
	var t [wire.SizeofTxn]byte
	le.PutUint32(t[wire.OffTxnCmdPos:], uint32(len(w.stream)))
	le.PutUint64(t[wire.OffTxnDataPos:], dataPos)
	le.PutUint64(t[wire.OffTxnDataLen:], td.DataSize)
	le.PutUint32(t[wire.OffTxnObjCount:], uint32(td.OffsetsSize/8))
	w.txns = append(w.txns, t)
	w.stream = td.Append(le.AppendUint32(w.stream, cmd), false)
}

// command adds a command with its argument.
func (w *writeRead) command(cmd uint32, arg ...byte) {
	w.stream = append(le.AppendUint32(w.stream, cmd), arg...)
}

// returns splits BR commands; every one must be whole.
func returns(t testing.TB, br []byte) (codes []uint32, txn uapi.TransactionData) {
	t.Helper()
	for len(br) > 0 {
		code := le.Uint32(br)
		size := int(code >> 16 & 0x3fff) // _IOC_SIZE
		codes, br = append(codes, code), br[4:]
		if len(br) < size {
			t.Fatalf("BR code %#x is cut off", code)
		}
		if code == uapi.BR_TRANSACTION || code == uapi.BR_REPLY || code == uapi.BR_TRANSACTION_SEC_CTX {
			txn = uapi.DecodeTransactionData(br, false)
		}
		br = br[size:]
	}
	return codes, txn
}

// data is what a process finds where a transaction says its data is.
func (p *process) data(td uapi.TransactionData) []byte {
	at := p.off + td.Buffer - p.addr
	return p.g.window[at : at+td.DataSize]
}

// manager makes p the context manager and parks a looper in it.
func (p *process) manager(tid uint32) *pending {
	p.g.t.Helper()
	if a := p.ioctl(tid, uapi.BINDER_SET_CONTEXT_MGR, nil); a.status != 0 {
		p.g.t.Fatalf("SET_CONTEXT_MGR: %d", a.status)
	}
	w := &writeRead{read: 256, fixCap: 4}
	w.command(uapi.BC_ENTER_LOOPER)
	return p.send(tid, w)
}

func status(e unix.Errno) int32 { return -int32(e) }
