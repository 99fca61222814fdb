// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"virtbinder/driver/uapi"
)

// runner is a program on its way through a System.
type runner struct {
	t      *T
	rng    *rand.Rand
	step   Step
	procs  []*actor
	source strings.Builder
}

// actor is a process and what it knows.
type actor struct {
	*proc
	threads []*role
	gone    bool
	size    uint64
	handles []uint32 // seen, most of them held by a buffer or acquired
	buffers []uint64 // not freed
	acks    []ack    // owed
	deaths  []cookie // requested
	dead    []uint64 // cookies of BR_DEAD_BINDER, not acknowledged
	freezes []cookie
	frozen  []uint64
	fds     []fd
}

// role is a thread and what it is in the middle of.
type role struct {
	*thread
	ref     string // its name in the source
	serving int    // calls not replied to
	calling int    // calls without a reply, as far as can be told
	owed    int    // at most so many replies are to come
	gone    bool
}

// calls notes a call that it makes.
func (th *role) calls() {
	th.calling++
	th.owed++
}

type ack struct {
	code        uint32 // BR_INCREFS or BR_ACQUIRE
	ptr, cookie uint64
}

type cookie struct {
	handle uint32
	value  uint64
}

// runProgram runs it and returns its source.
func runProgram(t *T, p Program) string {
	r := &runner{t: t, rng: rand.New(rand.NewPCG(p.Seed, 1))}
	t.seen, t.together = r.seen, true
	r.start()
	for _, s := range p.Steps {
		r.step, r.rng = s, rand.New(rand.NewPCG(s.Seed, 2))
		r.act()
	}
	return r.source.String()
}

func (r *runner) say(format string, args ...any) { fmt.Fprintf(&r.source, format+"\n", args...) }

// start makes the processes: a manager with several threads, and two others.
func (r *runner) start() {
	r.spawn("a", 3)
	m := r.procs[0].threads[0]
	if r.chance(30) {
		flags := uint32(uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)
		if r.t.sys.Has(SecurityContext) && r.chance(50) {
			flags |= uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX
		}
		r.say("a.manageExt(binder(0, 0, %#x))", flags)
		m.manageExt(binder(0, 0, flags))
	} else {
		r.say("a.manage()")
		m.manage()
	}
	r.spawn("b", 3)
	r.spawn("c", 2)
	for _, a := range r.procs[:2] {
		if r.chance(50) {
			r.say("%s.maxThreads(2)", a.name)
			a.maxThreads(2)
		}
	}
	r.introduce(r.procs[1], r.procs[2])
	for _, a := range r.procs {
		for _, th := range a.threads[1:] {
			if r.chance(60) {
				r.say("%s.read(enter)", th.ref)
				th.read(enter)
			}
		}
	}
}

// introduce has the manager give two processes each other's first node.
func (r *runner) introduce(a, b *actor) {
	m := r.procs[0]
	for i, from := range []*actor{a, b} {
		r.say("%s.write(oneway(0, 1, binder(0x1000, 0x1008, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)))", from.name)
		from.write(oneway(0, 1, binder(0x1000, 0x1008, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)))
		r.say("%s.read(acquire(%d))", m.name, i+1)
		m.read()
		m.write(acquire(uint32(i+1)), free(m.got.Buffer))
	}
	for i, to := range []*actor{b, a} {
		r.say("%s.read(call(0, 2))", to.name)
		to.read(call(0, 2))
		to.threads[0].calls()
		r.say("%s.read(); %s.write(free(%s.got.Buffer), reply(handle(%d)))", m.name, m.name, m.name, i+1)
		m.read()
		m.write(free(m.got.Buffer), reply(handle(uint32(i+1))))
		r.say("%s.write(acquire(1))", to.name)
		to.write(acquire(1))
	}
	m.threads[0].serving, m.buffers = 0, nil
}

// spawn makes a process with threads, a pipe and a file.
func (r *runner) spawn(name string, threads int) {
	size := uint64(defaultMap)
	if r.chance(30) {
		size = 8 << 10
	}
	a := &actor{size: size}
	opts := []option{mapped(size)}
	text := fmt.Sprintf("mapped(%d)", size)
	if len(r.procs) > 0 && r.chance(20) { // the manager's uid stays for the life of the context
		opts, text = append(opts, uid(1000)), text+", uid(1000)"
	}
	if r.chance(20) {
		opts, text = append(opts, nice(5)), text+", nice(5)"
	}
	r.say("%s := t.proc(%q, %s)", name, name, text)
	a.proc = r.t.proc(name, opts...)
	a.threads = append(a.threads, &role{thread: a.thread, ref: name})
	for i := 1; i < threads; i++ {
		r.thread(a)
	}
	if r.chance(50) {
		r.say("pr, pw := %s.pipe(); f := %s.tempFile(\"f\", \"content\")", name, name)
		pr, pw := a.pipe()
		a.fds = append(a.fds, pr, pw, a.tempFile("f."+name, "content"))
	}
	r.procs = append(r.procs, a)
}

func (r *runner) thread(a *actor) {
	name := fmt.Sprintf("%s%d", a.name, len(a.threads)+1)
	r.say("%s := %s.newThread()", name, a.name)
	a.threads = append(a.threads, &role{thread: a.newThread(), ref: name})
}

func (r *runner) chance(percent int) bool { return r.rng.IntN(100) < percent }

func pick[E any](r *runner, s []E) E { return s[r.rng.IntN(len(s))] }

// free lists the threads that can be told something.
func (r *runner) free() (list []choice) {
	for _, a := range r.procs {
		for _, th := range a.threads {
			if !a.gone && !th.gone && th.show == nil {
				list = append(list, choice{a, th})
			}
		}
	}
	return list
}

// parked lists those that a signal would wake.
func (r *runner) parked() (list []choice) {
	for _, a := range r.procs {
		for _, th := range a.threads {
			if !a.gone && !th.gone && th.show != nil {
				list = append(list, choice{a, th})
			}
		}
	}
	return list
}

type choice struct {
	*actor
	th *role
}

// act does one step.
func (r *runner) act() {
	kind := r.rng.IntN(100)
	parked, free := r.parked(), r.free()
	switch {
	case len(parked) > 0 && (kind < 4 || len(free) == 0):
		c := pick(r, parked)
		r.say("%s.signal()", c.th.ref)
		c.th.signal()
	case len(free) == 0:
	case kind < 80:
		r.commands(pick(r, free))
	case kind < 97:
		r.ioctls(pick(r, free))
	default:
		r.lifecycle(pick(r, free))
	}
}

// lifecycle ends things, or makes new ones.
func (r *runner) lifecycle(c choice) {
	switch r.rng.IntN(8) {
	case 0:
		r.say("%s.kill()", c.name)
		c.actor.gone = true
		c.kill()
	case 1:
		if c.th.ref != c.name { // the leader's end is special
			r.say("%s.exit()", c.th.ref)
			c.th.gone = true
			c.th.exit()
		}
	case 2:
		r.say("%s.munmap(MapAddr, %d)", c.th.ref, c.size)
		c.th.munmap(MapAddr, c.size)
	case 3:
		r.say("%s.on(%s.dup()).close()", c.th.ref, c.th.ref)
		c.th.on(c.th.dup()).close()
	case 4:
		r.say("%s.close()", c.th.ref)
		c.actor.gone = true
		c.th.close()
	default:
		if len(r.procs) < 5 && r.chance(50) {
			r.spawn(string(rune('a'+len(r.procs))), 1)
		} else if len(c.threads) < 4 {
			r.thread(c.actor)
		}
	}
}

// ioctls makes one that is not BINDER_WRITE_READ, or looks at something.
func (r *runner) ioctls(c choice) {
	th := c.th
	say := func(format string, args ...any) { r.say(th.ref+"."+format, args...) }
	other := pick(r, r.procs)
	switch k := r.rng.IntN(20); {
	case k < 3 && !other.gone && r.t.sys.Has(PendingFrozen): // without it a frozen target shows
		say("freeze(%s, 0)", other.name)
		th.freeze(other.proc, 0)
	case k < 6 && !other.gone:
		say("unfreeze(%s)", other.name)
		th.unfreeze(other.proc)
	case k < 8 && !other.gone:
		say("frozenInfo(%s)", other.name)
		th.frozenInfo(other.proc)
	case k < 11:
		say("extendedError()")
		th.extendedError()
	case k < 13:
		ptr := uint64(r.rng.IntN(4)) * 0x1000
		say("nodeDebug(%#x)", ptr)
		th.nodeDebug(ptr)
	case k < 15:
		h := r.handle(c)
		say("nodeInfo(%d)", h)
		th.nodeInfo(h)
	case k < 16 && th.owed == 0: // see regression/thread-exit-undelivered-reply
		say("threadExit()")
		th.serving = 0
		th.threadExit()
	case k < 18:
		say("poll()")
		th.poll()
	case k < 19:
		say("niceNow()")
		th.niceNow()
	default:
		n := uint32(r.rng.IntN(3))
		say("maxThreads(%d)", n)
		th.maxThreads(n)
	}
}

// seen takes in what a thread has read.
func (r *runner) seen(k *task, code uint32, b []byte) {
	a, th := r.find(k)
	if th == nil {
		return
	}
	switch code {
	case uapi.BR_TRANSACTION, uapi.BR_TRANSACTION_SEC_CTX:
		if th.got.Flags&uapi.TF_ONE_WAY == 0 {
			th.serving++
		}
		a.take(&th.got)
	case uapi.BR_REPLY:
		th.calling, th.owed = max(0, th.calling-1), th.owed-1
		a.take(&th.got)
	case uapi.BR_DEAD_REPLY, uapi.BR_FAILED_REPLY, uapi.BR_FROZEN_REPLY:
		th.calling = max(0, th.calling-1)
	case uapi.BR_INCREFS, uapi.BR_ACQUIRE:
		a.acks = append(a.acks, ack{code, le.Uint64(b), le.Uint64(b[8:])})
	case uapi.BR_DEAD_BINDER:
		a.dead = append(a.dead, le.Uint64(b))
	case uapi.BR_FROZEN_BINDER:
		a.frozen = append(a.frozen, le.Uint64(b))
	}
}

func (r *runner) find(k *task) (*actor, *role) {
	for _, a := range r.procs {
		for _, th := range a.threads {
			if th.task == k {
				return a, th
			}
		}
	}
	return nil, nil
}

// take notes a buffer and what is in it.
func (a *actor) take(g *received) {
	a.buffers = append(a.buffers, g.Buffer)
	for _, off := range g.offsets {
		if off+uapi.SizeFlatBinderObject > uint64(len(g.data)) {
			continue
		}
		o := uapi.Object(g.data[off:])
		switch o.Type() {
		case uapi.BINDER_TYPE_HANDLE, uapi.BINDER_TYPE_WEAK_HANDLE:
			if !slices.Contains(a.handles, o.Handle()) {
				a.handles = append(a.handles, o.Handle())
			}
		case uapi.BINDER_TYPE_FD:
			a.fds = append(a.fds, fd{int(int32(o.Handle())), "received"})
		}
	}
}
