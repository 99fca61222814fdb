// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// T is a scenario on its way through a System, with the transcript so far. Its
// methods, and those of what it makes, end the scenario when the System breaks.
type T struct {
	sys   System
	out   strings.Builder
	procs []*proc
	names names
	seen  func(k *task, code uint32, payload []byte) // told of each BR command, if not nil

	// Threads of a process that return in the same step do so together: which of them
	// BR_SPAWN_LOOPER asks is not shown.
	together bool
}

// broken is what ends a scenario early.
type broken struct{ err error }

func (t *T) check(err error, what string) {
	if err != nil {
		panic(broken{fmt.Errorf("%s: %w", what, err)})
	}
}

func (t *T) printf(format string, args ...any) { fmt.Fprintf(&t.out, format+"\n", args...) }

// proc is a process: its leader is used where no thread is named.
type proc struct {
	*thread
	name    string
	sys     Process
	attr    Attr
	tasks   []*task
	nextMap int
	asked   bool // for another thread, in this step
}

// setup is how a process starts.
type setup struct {
	Attr
	context string
	size    uint64 // of its mapping; 0: none
	flags   uint32
	bare    bool
}

type option func(*setup)

func uid(n uint32) option       { return func(s *setup) { s.UID = n } }
func nice(n int) option         { return func(s *setup) { s.Nice = n } }
func context(n string) option   { return func(s *setup) { s.context = n } }
func mapped(size uint64) option { return func(s *setup) { s.size = size } }

// unmapped processes have the device open and no buffer; bare ones have nothing open.
func unmapped(s *setup) { s.size = 0 }
func bare(s *setup)     { s.bare = true }
func nonblock(s *setup) { s.flags = unix.O_NONBLOCK }
func pidNS(s *setup)    { s.NewPIDNS = true }
func userNS(s *setup)   { s.NewUser = true }

// defaultMap is the size of a mapping where a scenario names none.
const defaultMap = 128 << 10

// proc starts a process that has the device open, its buffer mapped, and its first
// ioctl behind it, so that its first read waits.
func (t *T) proc(name string, opts ...option) *proc {
	s := setup{context: "binder", size: defaultMap}
	for _, o := range opts {
		o(&s)
	}
	sys, err := t.sys.Spawn(s.Attr)
	t.check(err, "spawning "+name)
	p := &proc{name: name, sys: sys, attr: s.Attr}
	t.procs = append(t.procs, p)
	t.names.pids[sys.PID()] = name
	p.thread = p.fresh(t)
	if s.bare {
		return p
	}
	p.file = p.mustOpen(s.context, s.flags)
	if s.size != 0 {
		r := p.quiet(Call{Op: OpMmap, FD: p.file.n, Len: s.size, Prot: unix.PROT_READ, Index: p.nextMap})
		t.check(errnoError(r.Errno), name+": mmap")
		p.nextMap++
	}
	p.introduce()
	return p
}

func errnoError(n int) error {
	if n == 0 {
		return nil
	}
	return unix.Errno(n)
}

// fresh starts a thread that has not used the device yet.
func (p *proc) fresh(t *T) *thread {
	sys, err := p.sys.Thread()
	t.check(err, p.name+": starting a thread")
	k := &task{t: t, proc: p, sys: sys, name: fmt.Sprintf("%s.%d", p.name, len(p.tasks)+1)}
	p.tasks = append(p.tasks, k)
	t.names.tids[sys.TID()] = k.name
	th := &thread{task: k}
	if p.thread != nil {
		th.file = p.file
	}
	return th
}

// newThread starts a thread and takes the first ioctl, which is special, off it.
func (p *proc) newThread() *thread {
	th := p.fresh(p.t)
	th.introduce()
	return th
}

func (p *proc) pid() uint32 { return p.sys.PID() }

// kill ends the process as SIGKILL does.
func (p *proc) kill() {
	t := p.t
	t.printf("kill %s", p.name)
	for _, k := range p.tasks {
		k.show, k.gone = nil, true
	}
	t.check(p.sys.Kill(), "killing "+p.name)
	t.settle(nil)
}

// suspend freezes the process by a control group; it takes no calls until it resumes.
func (p *proc) suspend(by Freezer) {
	t := p.t
	t.printf("suspend %s, by %s", p.name, by)
	t.check(p.suspendable().Suspend(by), "suspending "+p.name)
	t.settle(nil)
}

// resume lets it go on.
func (p *proc) resume() {
	t := p.t
	t.printf("resume %s", p.name)
	t.check(p.suspendable().Resume(), "resuming "+p.name)
	t.settle(p.task)
	for _, k := range p.tasks {
		if k.show != nil {
			t.printf("%s still parked", k.name)
		}
	}
}

// exec has the thread execute the program anew. From then on it is the process's leader.
func (k *task) exec() {
	t, p := k.t, k.proc
	t.printf("%s: exec", k.name)
	sys, ok := p.sys.(Executable)
	if !ok {
		t.check(errors.ErrUnsupported, "exec of "+p.name)
	}
	for i, other := range p.tasks {
		other.show, other.gone = nil, i > 0
	}
	t.check(sys.Exec(k.sys), "exec of "+p.name)
	t.settle(nil)
}

func (p *proc) suspendable() Suspendable {
	s, ok := p.sys.(Suspendable)
	if !ok {
		p.t.check(errors.ErrUnsupported, "suspending "+p.name)
	}
	return s
}

// file is an open binder file.
type file struct {
	n    int
	name string
}

// thread is a task using one open file.
type thread struct {
	*task
	file *file
}

// on is the thread using another file.
func (th *thread) on(f *file) *thread { return &thread{task: th.task, file: f} }

// task is a thread of a process, and what it does.
type task struct {
	t    *T
	proc *proc
	sys  Thread
	name string
	show func(Result) // of the pending call
	gone bool
	got  received // the transaction or reply that its last read brought
}

// quiet makes a call that leaves no trace in the transcript, and waits for it.
func (k *task) quiet(c Call) Result {
	k.t.check(k.sys.Start(c), k.name)
	return k.await()
}

// await waits for the pending call, however long it takes.
func (k *task) await() Result {
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if r, ok := k.sys.Result(); ok {
			return r
		}
		k.t.check(k.t.sys.Settle(), "settling")
		if time.Now().After(end) {
			k.t.check(errors.New("the call does not end"), k.name)
		}
	}
}

// do makes a call and lets everything come to rest. show prints the result, now or
// when the call ends.
func (k *task) do(c Call, show func(Result), text string, args ...any) {
	k.t.printf("%s: %s", k.name, fmt.Sprintf(text, args...))
	k.t.check(k.sys.Start(c), k.name)
	k.show = show
	k.t.settle(k)
	if k.show != nil {
		k.t.printf("%s parked", k.name)
	}
}

// doAwait is do for a call that ends by itself after a while.
func (k *task) doAwait(c Call, show func(Result), text string, args ...any) {
	k.t.printf("%s: %s", k.name, fmt.Sprintf(text, args...))
	k.t.check(k.sys.Start(c), k.name)
	show(k.await())
	k.t.settle(nil)
}

// settle lets everything come to rest and prints what ended: first's call first,
// then the others' in the order of their threads.
func (t *T) settle(first *task) {
	t.check(t.sys.Settle(), "settling")
	for again := true; again; {
		again = first.finish()
		for _, p := range t.procs {
			for _, k := range p.tasks {
				again = k.finish() || again
			}
		}
	}
	for _, p := range t.procs {
		if p.asked {
			p.asked = false
			t.printf("%s is asked for a thread", p.name)
		}
	}
}

func (k *task) finish() bool {
	if k == nil || k.show == nil {
		return false
	}
	r, ok := k.sys.Result()
	if !ok {
		return false
	}
	show := k.show
	k.show = nil
	show(r)
	return true
}

// signal interrupts the thread's call.
func (k *task) signal() {
	k.t.printf("signal %s", k.name)
	k.t.check(k.sys.Signal(), k.name+": signal")
	k.t.settle(k)
	if k.show != nil {
		k.t.printf("%s still parked", k.name)
	}
}

// exit ends the thread without BINDER_THREAD_EXIT.
func (k *task) exit() {
	k.gone = true
	k.t.printf("%s: exit", k.name)
	k.t.check(k.sys.Start(Call{Op: OpExit}), k.name)
	k.t.settle(nil)
}

// reports prints the failure reports since the last time.
func (t *T) reports() {
	list, err := t.sys.Reports()
	t.check(err, "reports")
	for _, r := range list {
		to := ""
		if r.ToPID != 0 {
			to = " to " + t.names.pid(r.ToPID)
		}
		if r.ToTID != 0 {
			to += " " + t.names.tid(r.ToTID)
		}
		what := "call"
		if r.Reply {
			what = "reply"
		}
		t.printf("report %s on %s: %s from %s %s%s, code %d flags %#x, %d bytes", uapi.ReturnName(r.Error), r.Context, what,
			t.names.pid(r.FromPID), t.names.tid(r.FromTID), to, r.Code, r.Flags, r.DataSize)
	}
}
