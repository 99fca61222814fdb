// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/bindertest"
)

// Kernel is a System: the guest and its driver. It is used by one goroutine; only
// events and reports come from others too.
type Kernel struct {
	name      string
	transport transport

	procs   []*process
	nextPID uint32
	nodes   map[string]driver.ContextID // by the name of the device
	binders map[driver.ProcID]*binder   // open binder files
	tokens  map[uint32]*file            // files on their way
	token   uint32
	fileID  int

	mu      sync.Mutex // guards the rest
	events  []driver.Event
	reports []driver.Report
}

var _ bindertest.System = (*Kernel)(nil)

func newKernel(name string) *Kernel {
	return &Kernel{name: name, nextPID: 1000, nodes: map[string]driver.ContextID{}, binders: map[driver.ProcID]*binder{}, tokens: map[uint32]*file{}}
}

// Name is bindertest.System's.
func (k *Kernel) Name() string { return k.name }

// Kernel is bindertest.System's.
func (k *Kernel) Kernel() string { return "" }

// Has is bindertest.System's: it does not fork or suspend and has one ABI, and what it says of
// labels is not a kernel's word.
func (k *Kernel) Has(f bindertest.Feature) bool {
	switch f {
	case bindertest.LSM, bindertest.Fork, bindertest.Freezers, bindertest.Compat, bindertest.Exec, bindertest.Held, bindertest.DyingTarget:
		return false
	}
	return true
}

// Spawn is bindertest.System's.
func (k *Kernel) Spawn(a bindertest.Attr) (bindertest.Process, error) {
	p := &process{k: k, pid: k.newPID(), attr: a, euid: a.UID, fds: map[int]*descriptor{}, maxFDs: 1024}
	if a.NewPIDNS {
		p.ns = p.pid
	}
	k.procs = append(k.procs, p)
	return p, nil
}

func (k *Kernel) newPID() uint32 { k.nextPID++; return k.nextPID }

// Settle is bindertest.System's.
func (k *Kernel) Settle() error {
	for {
		busy := k.transport.settle()
		for _, e := range k.takeEvents() {
			k.handle(e)
			busy = true
		}
		if !busy {
			return nil
		}
	}
}

func (k *Kernel) event(e driver.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, e)
}

func (k *Kernel) takeEvents() []driver.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.events
	k.events = nil
	return e
}

// handle is the guest driver's event interrupt.
func (k *Kernel) handle(e driver.Event) {
	if e.Kind == driver.EventPut {
		k.putToken(e.Token)
		return
	}
	b := k.binders[e.Proc]
	if b == nil {
		return
	}
	for _, p := range k.procs {
		for _, th := range p.threads {
			if w := th.waits; w != nil && w.event == e.Kind && w.binder == b {
				w.again()
			}
		}
	}
}

func (k *Kernel) report(r driver.Report) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reports = append(k.reports, r)
}

// Reports is bindertest.System's.
func (k *Kernel) Reports() ([]bindertest.Report, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []bindertest.Report
	for _, r := range k.reports {
		b := bindertest.Report{Error: r.Error, Context: r.Context, FromPID: r.FromPID, FromTID: r.FromTID,
			Reply: r.IsReply, Flags: r.Flags, Code: r.Code, DataSize: r.DataSize}
		if r.HasTo {
			b.ToPID = r.ToPID
		}
		if r.HasToTID {
			b.ToTID = r.ToTID
		}
		out = append(out, b)
	}
	k.reports = nil
	return out, nil
}

// Close is bindertest.System's: it kills everything and looks for what was left.
func (k *Kernel) Close() error {
	var errs []error
	for _, p := range k.procs {
		errs = append(errs, p.Kill())
	}
	errs = append(errs, k.Settle())
	for kind, c := range k.transport.counts() {
		if c.Active != 0 {
			errs = append(errs, fmt.Errorf("%d of %d objects of kind %s are left", c.Active, c.Total, kind))
		}
	}
	if n := len(k.tokens); n != 0 {
		errs = append(errs, fmt.Errorf("%d files are left on their way", n))
	}
	return errors.Join(append(errs, k.transport.close())...)
}

// addToken holds a file for the host.
func (k *Kernel) addToken(f *file) uint32 {
	k.token++
	f.refs++
	k.tokens[k.token] = f
	return k.token
}

// takeToken gives the file with its reference.
func (k *Kernel) takeToken(t uint32) *file {
	f := k.tokens[t]
	delete(k.tokens, t)
	return f
}

func (k *Kernel) putToken(t uint32) {
	if f := k.takeToken(t); f != nil {
		f.put()
	}
}

// process is a thread group.
type process struct {
	k          *Kernel
	pid        uint32
	ns         uint32 // pid of the init of its pid namespace, 0: the initial one
	attr       bindertest.Attr
	euid       uint32
	rlimitNice int // soft limit, as setrlimit counts: 20 is nice 0, 40 is nice -20
	threads    []*thread
	memory     memory
	fds        map[int]*descriptor
	maxFDs     int
	dead       bool
}

// PID is bindertest.Process's.
func (p *process) PID() uint32 { return p.pid }

// Thread is bindertest.Process's.
func (p *process) Thread() (bindertest.Thread, error) {
	tid := p.pid
	if len(p.threads) > 0 {
		tid = p.k.newPID()
	}
	th := &thread{p: p, tid: tid, nice: p.attr.Nice}
	p.threads = append(p.threads, th)
	return th, nil
}

// sees is a process's number in p's pid namespace.
func (p *process) sees(q *process) uint32 {
	switch {
	case p.ns == 0:
		return q.pid
	case p.ns == q.ns:
		return 1 // a namespace has no other process than its init
	default:
		return 0
	}
}

// seesUID is a uid in p's user namespace.
func (p *process) seesUID(uid uint32) uint32 {
	switch {
	case !p.attr.NewUser:
		return uid
	case uid == p.attr.UID:
		return 0
	default:
		return ^uint32(0)
	}
}

// Kill is bindertest.Process's: the threads leave their calls behind, then memory
// and files go, in the kernel's order.
func (p *process) Kill() error {
	if p.dead {
		return nil
	}
	p.dead = true
	for _, th := range p.threads {
		th.orphan()
	}
	for len(p.memory.maps) > 0 {
		p.memory.maps[0].unmap(p)
	}
	for _, n := range p.sortedFDs() {
		p.closeFD(n)
	}
	return p.k.Settle()
}

// thread takes calls.
type thread struct {
	p      *process
	tid    uint32
	nice   int
	call   *pending
	waits  *wait // for an event, as part of its call
	result *bindertest.Result
}

// pending is a call that has not ended. It holds the file it is about.
type pending struct {
	file      *file
	interrupt func() // what a signal does
	req       *request
	binder    *binder
	orphaned  bool
}

// wait is for an event of the device.
type wait struct {
	event  driver.EventKind
	binder *binder
	again  func()
}

// TID is bindertest.Thread's.
func (th *thread) TID() uint32 { return th.tid }

// Start is bindertest.Thread's.
func (th *thread) Start(c bindertest.Call) error {
	if th.call != nil || th.p.dead {
		return fmt.Errorf("thread %d cannot take a call", th.tid)
	}
	th.result = nil
	th.call = &pending{}
	op := operations[c.Op]
	if op == nil {
		return fmt.Errorf("no operation %d", c.Op)
	}
	op(th, c)
	return nil
}

// end finishes the thread's call.
func (th *thread) end(r bindertest.Result) {
	call := th.call
	th.call, th.waits, th.result = nil, nil, &r
	if call.file != nil {
		call.file.put()
	}
}

func (th *thread) fail(errno unix.Errno) { th.end(bindertest.Result{Errno: int(errno)}) }

// Result is bindertest.Thread's.
func (th *thread) Result() (bindertest.Result, bool) {
	if th.result == nil {
		return bindertest.Result{}, false
	}
	return *th.result, true
}

// Signal is bindertest.Thread's.
func (th *thread) Signal() error {
	if th.call != nil && th.call.interrupt != nil {
		th.call.interrupt()
	}
	return nil
}

// orphan leaves the thread's call to the host: what it still delivers is undone.
func (th *thread) orphan() {
	call := th.call
	if call == nil {
		return
	}
	call.orphaned = true
	if call.req != nil {
		th.p.k.transport.cancel(call.req.Proc, th.tid, call.req.Seq)
	}
	th.call, th.waits = nil, nil
	if call.file != nil {
		call.file.put()
	}
}
