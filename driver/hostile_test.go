// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/alloc"
	"virtbinder/driver/uapi"
)

// den is a core with several hostile guests on it, driven by a program: a string of
// bytes, every one of which means something. Where the core has dropped its lock for
// a copy, the program goes on inside the copy, so that what several vCPUs could do at
// that moment is part of the program and not of chance.
type den struct {
	t     testing.TB
	code  program
	core  *Core
	vms   []*outlaw
	depth int // of programs within copies
	calls int // left

	trace []string // what was called, for the one who has to understand a failure

	known
}

func (d *den) note(format string, args ...any) {
	d.trace = append(d.trace, strings.Repeat("  ", d.depth)+fmt.Sprintf(format, args...))
}

// lately is the end of the trace.
func (d *den) lately() string {
	return strings.Join(d.trace[max(0, len(d.trace)-20):], "\n")
}

// program hands out its bytes one by one, and zeros after its end.
type program struct{ rest []byte }

// n returns a number below limit.
func (p *program) n(limit int) int {
	if len(p.rest) == 0 {
		return 0
	}
	v := int(p.rest[0]) % limit
	p.rest = p.rest[1:]
	return v
}

func (p *program) flag() bool { return p.n(2) == 1 }

// pick returns one of the choices.
func pick[T any](p *program, from ...T) T { return from[p.n(len(from))] }

// outlaw is one guest: its VM's environment, and what a guest driver would know.
type outlaw struct {
	*den
	vm      *VM
	domains []ContextID
	index   int
	mem     []byte
	ranges  alloc.Allocator
	pending map[*Request]bool
	tokens  map[uint32]bool // given to the host and not had back
	procs   []*suspect
	serial  uint32
}

// suspect is a process of a guest, as the guest remembers it: its id may be stale.
type suspect struct {
	id        ProcID
	pid       uint32
	addr      uint64
	seq       [4]uint32
	buffers   []uint64
	delivered []lastRead
}

type lastRead struct {
	tid uint32
	id  uint64
}

// Small caps, so that programs reach them.
var outlawLimits = Limits{Processes: 6, Threads: 6, Nodes: 6, Refs: 6, Contexts: 4, Buffers: 12, Transactions: 12, Completions: 4, Notices: 3, Share: 3, Depth: 4}

const (
	outlawMem    = 1 << 20
	outlawWindow = 16 << 10
	maxCalls     = 400
)

func newDen(t testing.TB, code []byte, guests int) *den {
	d := &den{t: t, code: program{code}, core: New(Config{Limits: outlawLimits}), calls: maxCalls, known: known{map[*Process]bool{}, map[*Process]tidList{}}}
	for i := range guests {
		o := &outlaw{den: d, index: i, mem: make([]byte, outlawMem), pending: map[*Request]bool{}, tokens: map[uint32]bool{}}
		o.ranges.Reset(outlawMem, 4096)
		o.vm = d.core.NewVM(fmt.Sprint("vm", i), o)
		o.device("binder")
		o.device("hwbinder")
		d.vms = append(d.vms, o)
	}
	return d
}

// run plays the program, looking at the whole core after each call, and then ends
// the guests one by one.
func (d *den) run() {
	for len(d.code.rest) > 0 && d.calls > 0 {
		d.call()
		d.audit()
	}
	d.calls = 0
	for _, o := range d.vms {
		o.vm.Close(&Exec{})
		d.audit()
		o.empty()
	}
}

func (d *den) audit() {
	d.t.Helper()
	var vms []*VM
	for _, o := range d.vms {
		vms = append(vms, o.vm)
	}
	a := auditCore(d.core, vms, d.known)
	kept := 0
	for i, o := range d.vms {
		for r := range o.pending {
			a.bad(a.requests[r] == 1, "%s: a request is kept %d times", o.vm.name, a.requests[r])
		}
		kept += len(o.pending)
		for token, n := range a.vms[i].tokens {
			a.bad(n == 1 && o.tokens[token], "%s: token %#x is on its way %d times, ours %v", o.vm.name, token, n, o.tokens[token])
		}
		a.bad(len(a.vms[i].tokens) == len(o.tokens), "%s: %d tokens given, %d on their way", o.vm.name, len(o.tokens), len(a.vms[i].tokens))
	}
	a.bad(len(a.requests) == kept, "%d requests are kept, %d pending", len(a.requests), kept)
	if len(a.problems) > 0 {
		d.t.Fatalf("the core is inconsistent:\n%s\nafter\n%s", strings.Join(a.problems, "\n"), d.lately())
	}
}

// empty checks that nothing of a closed guest is left.
func (o *outlaw) empty() {
	for kind, c := range o.vm.Counts() {
		if c.Active != 0 {
			o.t.Errorf("%s: %d %s left", o.vm.name, c.Active, kind)
		}
	}
	if len(o.pending) != 0 || len(o.tokens) != 0 || o.ranges.Len() != 0 {
		o.t.Errorf("%s: %d requests, %d tokens, %d windows left", o.vm.name, len(o.pending), len(o.tokens), o.ranges.Len())
	}
}

// The environment.

func (o *outlaw) Reserve(n uint64) (uint64, error) {
	_, off, err := o.ranges.Alloc(n, false)
	if err == nil && slices.ContainsFunc(o.mem[off:off+n], func(b byte) bool { return b != 0 }) {
		o.t.Errorf("%s: a range with old bytes in it", o.vm.name)
	}
	return off, err
}

func (o *outlaw) Release(off, n uint64) {
	rng, ok := o.ranges.Find(off)
	if _, size := o.ranges.Bounds(rng); !ok || size != n {
		o.t.Fatalf("%s: releases [%#x, +%#x), which it does not have", o.vm.name, off, n)
	}
	clear(o.mem[off : off+n])
	o.ranges.Free(rng)
}

func (o *outlaw) Bytes(off, n uint64) []byte {
	if rng, ok := o.ranges.Find(off &^ (outlawWindow - 1)); !ok {
		o.t.Fatalf("%s: touches [%#x, +%#x), range %d, which nobody has", o.vm.name, off, n, rng)
	}
	return o.mem[off : off+n : off+n]
}

// Copy lets others run first, where the lock was dropped for it (clearing a buffer,
// the other use, keeps it).
func (o *outlaw) Copy(f func() error) error {
	if o.depth < 3 && calledBy("copyOut") {
		o.depth++
		for range o.code.n(4) {
			o.call()
		}
		o.depth--
	}
	return f()
}

// calledBy says whether the caller's caller has this name.
func calledBy(name string) bool {
	var pcs [4]uintptr
	f, _ := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])]).Next()
	return strings.HasSuffix(f.Function, "."+name)
}

func (o *outlaw) Complete(_ *Exec, r *Request) {
	if !o.pending[r] {
		o.t.Fatalf("%s: a request of process %#x thread %d is answered twice, or is another guest's", o.vm.name, uint64(r.Proc), r.TID)
	}
	delete(o.pending, r)
	if len(r.Resp.BR) > int(max(r.ReadSize, 24)) || r.Resp.WriteConsumed > uint64(len(r.Stream)) {
		o.t.Fatalf("%s: %d bytes for a read of %d; %d of %d written", o.vm.name, len(r.Resp.BR), r.ReadSize, r.Resp.WriteConsumed, len(r.Stream))
	}
	for _, f := range r.Resp.Fix {
		if f.Kind != FixFree {
			o.back(f.Token)
		}
	}
	if r.Resp.TxnPos != NoPos {
		o.receive(r)
	}
}

// receive looks at a delivered transaction as the guest would.
func (o *outlaw) receive(r *Request) {
	tr := received(r)
	data := o.Bytes(r.Resp.Val, tr.DataSize)
	for _, other := range o.vms {
		if other != o && bytes.Contains(data, other.signature()) {
			o.t.Fatalf("%s: received bytes of %s", o.vm.name, other.vm.name)
		}
	}
	for _, p := range o.procs {
		if p.id != r.Proc {
			continue
		}
		p.buffers = append(p.buffers, tr.Buffer)
		p.delivered = append(p.delivered, lastRead{r.TID, r.Resp.Delivery})
		if tr.Extra != 0 {
			label := o.mem[r.Resp.Val+tr.Extra-tr.Buffer:]
			if want := o.vm.name + "\x00"; string(label[:len(want)]) != want {
				o.t.Fatalf("%s: security context %q", o.vm.name, label[:len(want)])
			}
		}
	}
}

func (o *outlaw) Event(_ *Exec, e Event) {
	switch p := o.vm.proc(e.Proc); {
	case e.Kind == EventPut:
		o.back(e.Token)
	case e.Kind == EventThread && p != nil:
		if o.summoned[p] == nil {
			o.summoned[p] = tidList{}
		}
		o.summoned[p][e.TID] = true
	}
}

func (o *outlaw) Report(r Report) {
	if r.VM != o.vm.name {
		o.t.Fatalf("%s: gets a report about %s", o.vm.name, r.VM)
	}
}

// back is a token that the host gives up, or hands to a receiver.
func (o *outlaw) back(token uint32) {
	if !o.tokens[token] {
		o.t.Fatalf("%s: token %#x came back twice, or is another guest's", o.vm.name, token)
	}
	delete(o.tokens, token)
}

func (o *outlaw) token() uint32 {
	o.serial++
	token := uint32(o.index)<<28 | o.serial
	o.tokens[token] = true
	return token
}

func (o *outlaw) signature() []byte {
	return []byte{'s', 'e', 'c', 'r', 'e', 't', byte('0' + o.index), 0xff}
}

// loot is a guest's memory: its signature over and over, unreadable from some byte on.
type loot struct {
	sig   []byte
	limit uint64
}

func (l loot) ReadAt(p []byte, pos uint64) error {
	if pos+uint64(len(p)) > l.limit {
		return unix.EFAULT
	}
	for i := range p {
		p[i] = l.sig[(pos+uint64(i))%8]
	}
	return nil
}

// The calls.

func (d *den) call() {
	if d.calls == 0 {
		return
	}
	d.calls--
	o := d.vms[d.code.n(len(d.vms))]
	n := d.code.n(32)
	switch {
	case n < 2:
		o.open()
	case n < 22:
		o.writeRead()
	case n < 25:
		o.ioctl()
	default:
		o.odd(n)
	}
}

func (o *outlaw) odd(n int) {
	x := &Exec{}
	p := o.suspect()
	o.note("%s %#x: odd %d", o.vm.name, p.id, n)
	switch n {
	case 25:
		o.mmap(p)
	case 26:
		o.vm.Poll(x, p.id, o.tid())
	case 27:
		tid := o.tid()
		o.heed(p, tid)
		o.vm.Cancel(x, p.id, tid, p.seq[tid]+uint32(o.code.n(3))-1)
	case 28:
		o.vm.Flush(x, p.id)
	case 29:
		o.rare(p, x)
	case 30:
		last := pick(&o.code, append(p.delivered, lastRead{1, 1})...)
		o.vm.Undo(x, p.id, last.tid, last.id)
	case 31:
		o.timeout(x)
	}
}

// rare are the calls after which little is left to do.
func (o *outlaw) rare(p *suspect, x *Exec) {
	switch o.code.n(10) {
	case 8:
		o.device("binder") // of the same name, and another
	case 9:
		o.vm.EndContext(pick(&o.code, o.domains...))
	case 0, 1, 2, 3:
		o.vm.Release(x, p.id)
	case 4, 5:
		o.vm.Unmap(x, p.id)
	case 6:
		o.vm.Reset(x)
		o.domains = nil
		o.device("binder")
		o.device("hwbinder")
	case 7:
		o.vm.Release(x, ProcID(o.code.n(256))<<32|ProcID(o.code.n(8)))
	}
}

// timeout lets the clock of some waiting freeze run out.
func (o *outlaw) timeout(x *Exec) {
	for _, s := range o.vm.procs {
		if s.proc != nil && len(s.proc.freezers) > 0 {
			o.vm.freezeTimeout(x, s.proc.freezers[0], s.proc)
			return
		}
	}
}

func (o *outlaw) tid() uint32 { return uint32(1 + o.code.n(3)) }

// suspect picks a process; one that was never opened if there is none.
func (o *outlaw) suspect() *suspect {
	if len(o.procs) == 0 {
		return &suspect{id: 7}
	}
	return pick(&o.code, o.procs...)
}

// idle picks a thread that may make a call, nearly always.
func (o *outlaw) idle(p *suspect) uint32 {
	tid := o.tid()
	proc := o.vm.proc(p.id)
	for i := uint32(0); i < 3 && proc != nil && o.code.n(16) != 15; i++ {
		if th := proc.threads[tid]; th == nil || th.reading == nil {
			return tid
		}
		tid = tid%3 + 1
	}
	return tid
}

// handle picks one that the process holds, nearly always.
func (o *outlaw) handle(p *suspect) uint32 {
	var held []uint32
	if proc := o.vm.proc(p.id); proc != nil {
		for h, ref := range proc.handles.refs {
			if ref != nil {
				held = append(held, uint32(h))
			}
		}
	}
	if o.code.n(8) == 7 {
		return uint32(o.code.n(6))
	}
	return pick(&o.code, append(held, 0)...)
}

// serves says whether the thread has a call to answer.
func (o *outlaw) serves(p *suspect, tid uint32) bool {
	proc := o.vm.proc(p.id)
	if proc == nil {
		return false
	}
	th := proc.threads[tid]
	return th != nil && th.stack != nil && th.stack.toThread == th
}

// announced picks an object that the owner was told about and did not acknowledge.
func (o *outlaw) announced(p *suspect) uint64 {
	if proc := o.vm.proc(p.id); proc != nil {
		for _, ptr := range sortedKeys(proc.nodes) {
			if n := proc.nodes[ptr]; n.pendingStrong || n.pendingWeak {
				return ptr
			}
		}
	}
	return uint64(o.code.n(4))
}

// device makes a context.
func (o *outlaw) device(name string) {
	if id, err := o.vm.NewContext(name); err == nil {
		o.domains = append(o.domains, id)
	}
}

// open opens a process, nearly always maps its window, and brings it to where
// interesting things begin.
func (o *outlaw) open() {
	how := o.code.n(8)
	p := &suspect{pid: uint32(100 + o.code.n(6)), addr: 0x7000_0000_0000 + uint64(len(o.procs))<<24}
	id, err := o.vm.Open(&Exec{}, OpenArgs{Context: pick(&o.code, append(o.domains, o.domains[0])...), PID: p.pid, Label: o.vm.name})
	if err != nil {
		return
	}
	p.id = id
	o.note("%s %#x: opened by %d", o.vm.name, p.id, p.pid)
	if o.procs = append(o.procs, p); len(o.procs) > 5 {
		o.procs = o.procs[1:]
	}
	if how > 0 {
		o.mmap(p)
	}
	if how > 1 {
		arg := o.object(uapi.BINDER_TYPE_BINDER, 0, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS|uint32(o.code.n(2))*uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX)
		o.doIoctl(p, 1, uapi.BINDER_SET_CONTEXT_MGR_EXT, [24]byte(arg.Raw[:24]))
	}
	if how > 2 {
		o.doIoctl(p, 2, uapi.BINDER_SET_MAX_THREADS, [24]byte{1})
		o.do(p, &Request{TID: 1, Stream: bc(uapi.BC_ENTER_LOOPER), ReadSize: 256})
	}
}

func (o *outlaw) mmap(p *suspect) {
	addr := p.addr
	if o.code.n(16) == 15 {
		addr = pick(&o.code, 0, ^uint64(0), 4)
	}
	if _, errno := o.vm.Mmap(&Exec{}, p.id, addr, pick[uint64](&o.code, outlawWindow, outlawWindow, outlawWindow, outlawWindow)); errno == 0 {
		p.addr = addr
	}
}

func (o *outlaw) ioctl() {
	cmd := pick[uint32](&o.code, uapi.BINDER_FREEZE, uapi.BINDER_FREEZE, uapi.BINDER_FREEZE, uapi.BINDER_THREAD_EXIT, uapi.BINDER_THREAD_EXIT,
		uapi.BINDER_SET_CONTEXT_MGR, uapi.BINDER_GET_NODE_INFO_FOR_REF, uapi.BINDER_GET_NODE_DEBUG_INFO,
		uapi.BINDER_GET_FROZEN_INFO, uapi.BINDER_GET_EXTENDED_ERROR, uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION,
		uapi.BINDER_SET_MAX_THREADS, uapi.BINDER_VERSION, 0x12345678)
	var arg [24]byte
	arg[0] = byte(o.code.n(3))
	if cmd == uapi.BINDER_FREEZE {
		binary.LittleEndian.PutUint32(arg[0:], uint32(100+o.code.n(3)))
		binary.LittleEndian.PutUint32(arg[4:], uint32(o.code.n(3)))
		binary.LittleEndian.PutUint32(arg[8:], pick[uint32](&o.code, 0, 1<<30))
	}
	if cmd == uapi.BINDER_GET_FROZEN_INFO {
		binary.LittleEndian.PutUint32(arg[0:], uint32(100+o.code.n(3)))
	}
	o.doIoctl(o.suspect(), o.tid(), cmd, arg)
}

func (o *outlaw) doIoctl(p *suspect, tid, cmd uint32, arg [24]byte) {
	p.seq[tid]++
	r := &Request{Proc: p.id, TID: tid, Seq: p.seq[tid], NoPark: cmd == uapi.BINDER_FREEZE && o.code.n(4) == 3}
	o.pending[r] = true
	if proc := o.vm.proc(p.id); cmd == uapi.BINDER_THREAD_EXIT && proc != nil {
		o.exited[proc] = true
	}
	o.note("%s %#x: thread %d ioctl %#x %x", o.vm.name, p.id, tid, cmd, arg[:12])
	o.vm.Ioctl(&Exec{}, r, cmd, &arg)
}

// do sends one WRITE_READ.
func (o *outlaw) do(p *suspect, r *Request) {
	p.seq[r.TID]++
	r.Proc, r.Seq = p.id, p.seq[r.TID]
	if r.Payload == nil {
		r.Payload = loot{o.signature(), 1 << 20}
	}
	o.pending[r] = true
	o.note("%s %#x: thread %d writes %s, reads %d, without parking %v", o.vm.name, p.id, r.TID, commandNames(r.Stream), r.ReadSize, r.NoPark)
	if r.ReadSize > 0 {
		o.heed(p, r.TID)
	}
	o.vm.WriteRead(&Exec{}, r)
}

// heed is a thread that comes back, or gives up, after an event.
func (o *outlaw) heed(p *suspect, tid uint32) {
	if proc := o.vm.proc(p.id); proc != nil {
		delete(o.summoned[proc], tid)
	}
}

func commandNames(s []byte) (names []string) {
	for len(s) >= 4 {
		code := binary.LittleEndian.Uint32(s)
		names = append(names, uapi.CommandName(code))
		s = s[min(len(s), 4+uapi.PayloadSize(code)):]
	}
	return names
}

func (o *outlaw) writeRead() {
	p := o.suspect()
	r := &Request{TID: o.idle(p), ReadSize: pick[uint32](&o.code, 256, 256, 256, 256, 80, 4, 0, 0)}
	how := o.code.n(32)
	r.NonBlock, r.NoPark, r.Partial = how&3 == 3, how&12 == 12, how == 16
	r.Continued, r.Fault = how == 17, how == 18
	if how == 19 {
		r.Payload = loot{o.signature(), uint64(o.code.n(200))}
	}
	for range o.code.n(4) {
		o.command(p, r)
	}
	o.do(p, r)
}

func (o *outlaw) command(p *suspect, r *Request) {
	c := &o.code
	add := func(cmd uint32, args ...any) { r.Stream = append(r.Stream, bc(cmd, args...)...) }
	if o.serves(p, r.TID) && len(r.Stream) == 0 && c.n(4) > 0 {
		o.reply(p, r)
		return
	}
	switch n := c.n(32); {
	case n < 12:
		o.transact(p, r)
	case n < 13:
		o.reply(p, r)
	case n < 18:
		addr := pick(c, append(p.buffers, p.addr)...)
		add(uapi.BC_FREE_BUFFER, addr)
	case n < 21:
		add(pick[uint32](c, uapi.BC_INCREFS, uapi.BC_ACQUIRE, uapi.BC_ACQUIRE, uapi.BC_RELEASE, uapi.BC_DECREFS), o.handle(p))
	case n < 23:
		ptr := o.announced(p)
		add(pick[uint32](c, uapi.BC_INCREFS_DONE, uapi.BC_ACQUIRE_DONE), ptr, cookieOf(ptr))
	case n < 24:
		add(pick[uint32](c, uapi.BC_REGISTER_LOOPER, uapi.BC_ENTER_LOOPER, uapi.BC_EXIT_LOOPER))
	case n < 27:
		h := o.handle(p)
		add(pick[uint32](c, uapi.BC_REQUEST_DEATH_NOTIFICATION, uapi.BC_REQUEST_DEATH_NOTIFICATION, uapi.BC_CLEAR_DEATH_NOTIFICATION), h, uint64(h+10))
	case n < 28:
		add(pick[uint32](c, uapi.BC_DEAD_BINDER_DONE, uapi.BC_FREEZE_NOTIFICATION_DONE), uint64(10+c.n(4)))
	case n < 31:
		h := o.handle(p)
		add(pick[uint32](c, uapi.BC_REQUEST_FREEZE_NOTIFICATION, uapi.BC_REQUEST_FREEZE_NOTIFICATION, uapi.BC_CLEAR_FREEZE_NOTIFICATION), h, uint64(h+10))
	default:
		add(pick[uint32](c, 0, uapi.BC_ATTEMPT_ACQUIRE, uapi.BC_ACQUIRE_RESULT, 0xffffffff, uapi.BC_TRANSACTION), uint64(0))
	}
}

func cookieOf(ptr uint64) uint64 { return ptr + uint64(flagged(ptr != 0)) }

func (o *outlaw) reply(p *suspect, r *Request) {
	o.transaction(p, r, uapi.BC_REPLY_SG, uapi.TransactionData{})
}

func (o *outlaw) transact(p *suspect, r *Request) {
	flags := pick[uint32](&o.code, 0, 0, 0, uapi.TF_ONE_WAY, uapi.TF_ONE_WAY, uapi.TF_ACCEPT_FDS, uapi.TF_ACCEPT_FDS, uapi.TF_CLEAR_BUF,
		uapi.TF_ONE_WAY|uapi.TF_UPDATE_TXN, uapi.TF_ONE_WAY|uapi.TF_UPDATE_TXN, uapi.TF_ONE_WAY|uapi.TF_CLEAR_BUF)
	o.transaction(p, r, uapi.BC_TRANSACTION_SG, uapi.TransactionData{Target: uint64(o.handle(p)), Code: uint32(o.code.n(2)), Flags: flags})
}

// transaction adds a transaction with objects, nearly right or plainly wrong.
func (o *outlaw) transaction(p *suspect, r *Request, cmd uint32, tr uapi.TransactionData) {
	c := &o.code
	g := Gather{CmdPos: uint32(len(r.Stream)), ObjFirst: uint32(len(r.Objects))}
	off := uint64(8 * c.n(3))
	for range pick(c, 0, 0, 1, 1, 2, 3, 4) {
		obj := o.anyObject(p, r, &tr, int(g.ObjCount))
		obj.Offset = off
		off += uint64(uapi.ObjectSize(uapi.Object(obj.Raw[:]).Type())) + 8*uint64(c.n(3)/2)
		r.Objects = append(r.Objects, obj)
		g.ObjCount++
	}
	tr.DataSize, tr.OffsetsSize = off+uint64(c.n(10)), 8*uint64(g.ObjCount)
	g.DataLen = tr.DataSize
	o.lie(&g, &tr)
	if c.n(64) == 63 {
		return // a gather that is not there
	}
	r.Gather = append(r.Gather, g)
	r.Stream = tr.Append(binary.LittleEndian.AppendUint32(r.Stream, cmd), true)
}

// lie makes one statement about a transaction wrong, sometimes.
func (o *outlaw) lie(g *Gather, tr *uapi.TransactionData) {
	c := &o.code
	switch c.n(48) {
	case 40:
		tr.DataSize = pick[uint64](c, ^uint64(0), 1<<63, outlawWindow, ^uint64(7))
	case 41:
		tr.OffsetsSize = pick[uint64](c, ^uint64(0), 4, 8, 1<<20)
	case 42:
		tr.Extra = pick[uint64](c, ^uint64(0), 4, outlawWindow, ^uint64(7))
	case 43:
		g.OffsetsFault = true
	case 44:
		g.DataLen = uint64(c.n(64))
	case 45:
		g.LSMError, g.LSMProc, g.Judged = int32(13*c.n(2)), pick(c, o.suspect().id, 0), c.flag()
	case 46:
		g.DataPos = uint64(c.n(64))
	}
}

func (o *outlaw) object(typ uint32, ptr uint64, flags uint32) Object {
	obj := binderObject(ptr)
	raw := uapi.Object(obj.Raw[:])
	raw.SetType(typ)
	raw.SetCookie(cookieOf(ptr))
	binary.LittleEndian.PutUint32(obj.Raw[4:], flags)
	return obj
}

func (o *outlaw) anyObject(p *suspect, r *Request, tr *uapi.TransactionData, index int) Object {
	c := &o.code
	flags := pick[uint32](c, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS, 0, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS|uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX)
	var obj Object
	switch kind := c.n(40) * 16 / 39; {
	case kind < 5:
		obj = o.object(pick[uint32](c, uapi.BINDER_TYPE_BINDER, uapi.BINDER_TYPE_BINDER, uapi.BINDER_TYPE_WEAK_BINDER), uint64(c.n(4)), flags)
	case kind < 8:
		obj = o.object(pick[uint32](c, uapi.BINDER_TYPE_HANDLE, uapi.BINDER_TYPE_HANDLE, uapi.BINDER_TYPE_WEAK_HANDLE), uint64(o.handle(p)), flags)
	case kind < 11:
		obj = o.object(uapi.BINDER_TYPE_FD, 5, 0)
		o.addFDs(r, &obj, 1)
	case kind < 13:
		obj = o.ptrObject(tr, index)
	case kind < 15:
		obj = o.fdaObject(r, index)
	default:
		obj = o.object(pick[uint32](c, 0, 0xffffffff, uapi.BINDER_TYPE_PTR, uapi.BINDER_TYPE_FDA), ^uint64(0), 0)
	}
	switch c.n(32) {
	case 30:
		obj.RawLen = uint32(c.n(41))
	case 31:
		obj.LSMError = 1
	}
	return obj
}

// addFDs gives an object n files, or reasons why there is none.
func (o *outlaw) addFDs(r *Request, obj *Object, n int) {
	obj.FDFirst, obj.FDCount = uint32(len(r.FDs)), uint32(n)
	for range n {
		switch o.code.n(12) {
		case 0:
			r.FDs = append(r.FDs, FD{Err: unix.EBADF})
		case 1:
			r.FDs = append(r.FDs, FD{Token: o.token(), Err: unix.EPERM})
		default:
			r.FDs = append(r.FDs, FD{Token: o.token()})
		}
	}
	if o.code.n(32) == 31 {
		obj.FDFirst, obj.FDCount = 0, uint32(len(r.FDs))
	}
}

// parent picks the object before, nearly always.
func (o *outlaw) parent(index int) uint64 {
	if index == 0 || o.code.n(4) == 3 {
		return uint64(o.code.n(4))
	}
	return uint64(index - 1)
}

func (o *outlaw) ptrObject(tr *uapi.TransactionData, index int) Object {
	c := &o.code
	size := pick[uint64](c, 32, 16, 24, 13, 0)
	tr.Extra += align8(size)
	obj := Object{RawLen: 40, SegLen: size}
	for i, v := range []uint64{uapi.BINDER_TYPE_PTR | uint64(c.n(2))<<32, 0x1000, size, o.parent(index), uint64(4 * c.n(5))} {
		binary.LittleEndian.PutUint64(obj.Raw[8*i:], v)
	}
	if c.n(16) == 15 {
		obj.SegLen = uint64(c.n(16))
	}
	return obj
}

func (o *outlaw) fdaObject(r *Request, index int) Object {
	c := &o.code
	count := pick[uint64](c, 1, 2, 3, 0, 1<<62)
	obj := Object{RawLen: 32}
	for i, v := range []uint64{uapi.BINDER_TYPE_FDA, count, o.parent(index), uint64(4 * c.n(3))} {
		binary.LittleEndian.PutUint64(obj.Raw[8*i:], v)
	}
	o.addFDs(r, &obj, int(min(count, 4)))
	return obj
}
