// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"
	"slices"

	"virtbinder/driver/alloc"
	"virtbinder/driver/uapi"
)

// The invariants of a core at rest: no call is running on it. Every object is found by
// walking from the VMs, each in the one place where it belongs, and the counts are
// exactly what the walk found.

// audit is one walk over a core.
type audit struct {
	problems []string
	vms      []*vmAudit
	requests map[*Request]int      // kept by the core, and how often
	txns     map[*Transaction]bool // of all VMs
	works    map[*work]bool
	known
}

// known is what only who drives the core can know.
type known struct {
	exited   map[*Process]bool    // lost threads; what these were to be told of nodes is lost too, as in the C driver
	summoned map[*Process]tidList // threads that an event told to read again, and that have not yet
}

type tidList map[uint32]bool

// vmAudit is what was found of one VM.
type vmAudit struct {
	*audit
	vm      *VM
	found   [statKinds]int
	served  map[*Process]int // transactions that are queued on it or served by it
	tokens  map[uint32]int   // files on their way
	deaths  map[*death]bool
	freezes map[*freezeNotice]bool
	nodes   map[*Node]bool
	waiting map[*freezeWait]bool
	users   map[*Context]int
	charged [statKinds]int
}

func (a *audit) bad(ok bool, format string, args ...any) bool {
	if !ok {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
	return !ok
}

// auditCore walks all VMs of a core.
func auditCore(c *Core, vms []*VM, k known) *audit {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &audit{known: k, requests: map[*Request]int{}, txns: map[*Transaction]bool{}, works: map[*work]bool{}}
	for _, vm := range vms {
		v := &vmAudit{audit: a, vm: vm, served: map[*Process]int{}, tokens: map[uint32]int{}, deaths: map[*death]bool{},
			freezes: map[*freezeNotice]bool{}, nodes: map[*Node]bool{}, waiting: map[*freezeWait]bool{}, users: map[*Context]int{}}
		a.vms = append(a.vms, v)
		v.walk()
	}
	a.pools(c)
	return a
}

func (v *vmAudit) walk() {
	v.slots()
	for _, ctx := range v.vm.contexts {
		v.users[ctx] = 0
	}
	for p := range v.vm.opened {
		v.users[p.ctx]++
		v.process(p)
	}
	for p := range v.vm.opened {
		for t := range v.txns {
			if t.toProc == p {
				v.served[p]++
			}
		}
		v.bad(p.outstanding == v.served[p], "%s: outstanding %d, found %d", name(p), p.outstanding, v.served[p])
		v.charges(p)
		v.bad(len(p.freezers) == 0 || p.outstanding > 0, "%s: a freeze waits for nothing", name(p))
	}
	for t := range v.txns {
		if t.home == v.vm {
			v.found[statTransaction]++
			for _, f := range t.fds {
				v.tokens[f.token]++
			}
		}
	}
	v.found[statDeath], v.found[statFreeze], v.found[statNode] = len(v.deaths), len(v.freezes), len(v.nodes)
	for s := stat(0); s < statKinds; s++ {
		active := v.vm.counts.total[s] - v.vm.counts.deleted[s]
		v.bad(active == uint64(v.found[s]), "%s: %d of %s counted, %d found", v.vm.name, active, statNames[s], v.found[s])
	}
	v.bad(v.charged == v.vm.charged, "%s: charged %v, found %v", v.vm.name, v.vm.charged, v.charged)
	for id, ctx := range v.vm.contexts {
		v.bad(ctx.id == id && (!ctx.ended || ctx.users > 0), "%s: context %d has ended", v.vm.name, id)
	}
	for ctx, users := range v.users {
		v.bad(ctx.users == users && (users == 0 || v.vm.contexts[ctx.id] == ctx), "%s: context %d has %d users, found %d", v.vm.name, ctx.id, ctx.users, users)
		if n := ctx.manager; n != nil {
			v.bad(v.nodes[n] && n.proc != nil && n.proc.ctx == ctx, "%s: context %d has a strange manager", v.vm.name, ctx.id)
		}
	}
}

// charges checks what a process is charged for against what was found of it.
func (v *vmAudit) charges(p *Process) {
	have := [statKinds]int{statThread: len(p.threads), statNode: len(p.nodes), statRef: p.handles.n,
		statBuffer: p.mem.alloc.Len(), statTransaction: p.outstanding}
	for _, th := range p.threads {
		for w := th.todo.head; w != nil; w = w.next {
			if _, is := w.item.(*complete); is {
				have[statTransactionComplete]++
			}
		}
	}
	for d := range v.deaths {
		have[statDeath] += flagged(d.proc == p)
	}
	for f := range v.freezes {
		have[statFreeze] += flagged(f.proc == p)
	}
	for s := range p.used {
		u := p.used[s]
		v.bad(u.now == have[s] && u.now <= u.most, "%s: charged for %d of %s (once %d), has %d", name(p), u.now, statNames[s], u.most, have[s])
		v.charged[s] += u.most
	}
}

func name(p *Process) string { return fmt.Sprintf("%s process %#x", p.vm.name, uint64(p.id)) }

func (v *vmAudit) slots() {
	vm := v.vm
	live := 0
	for i, s := range vm.procs {
		if s.proc == nil {
			continue
		}
		live++
		_, open := vm.opened[s.proc]
		v.bad(open && s.proc.vm == vm && s.proc.id == ProcID(uint64(s.gen)<<32|uint64(i)), "%s: slot %d", vm.name, i)
	}
	spare := slices.Clone(vm.spare)
	slices.Sort(spare)
	v.bad(len(slices.Compact(spare)) == len(vm.spare), "%s: a slot is spare twice", vm.name)
	for _, s := range spare {
		v.bad(vm.procs[s].proc == nil, "%s: slot %d is spare and used", vm.name, s)
	}
	v.bad(live == len(vm.opened) && live+len(vm.spare) == len(vm.procs), "%s: %d live, %d open, %d spare of %d slots",
		vm.name, live, len(vm.opened), len(vm.spare), len(vm.procs))
}

func (v *vmAudit) process(p *Process) {
	v.found[statProc]++
	v.bad(!p.dead && !p.closing && p.pins == 0, "%s: dead %v, closing %v, %d pins", name(p), p.dead, p.closing, p.pins)
	v.list(&p.todo, p, name(p)+" todo")
	v.list(&p.delivered, p, name(p)+" delivered deaths")
	v.list(&p.deliveredFreeze, p, name(p)+" delivered freezes")
	v.waitList(p)
	for tid, th := range p.threads {
		v.bad(th.proc == p && th.tid == tid && !th.dead, "%s: thread %d is another's", name(p), tid)
		v.thread(th)
	}
	for ptr, n := range p.nodes {
		v.bad(n.proc == p && n.ptr == ptr, "%s: node at %#x is another's", name(p), ptr)
		v.node(n)
	}
	v.handles(p)
	v.buffers(p)
	for _, w := range p.freezers {
		if !v.bad(!w.over && len(w.targets) > 0 && w.targets[0] == p && w.th.freezing == w && !v.waiting[w], "%s: a freeze that is over waits", name(p)) {
			v.waiting[w] = true
			v.requests[w.r]++
		}
	}
}

// waitList checks the chain of threads that wait for process work.
func (v *vmAudit) waitList(p *Process) {
	n := 0
	var prev *Thread
	for th := p.waiting; th != nil; prev, th = th, th.waitNext {
		n++
		if v.bad(th.inWaiting && th.waitPrev == prev && th.proc == p && n <= len(p.threads), "%s: broken chain of waiting threads", name(p)) {
			return
		}
	}
	for _, th := range p.threads {
		if th.inWaiting {
			n--
		}
	}
	v.bad(n == 0, "%s: a thread waits outside the chain", name(p))
}

func (v *vmAudit) thread(th *Thread) {
	v.found[statThread]++
	who := fmt.Sprintf("%s thread %d", name(th.proc), th.tid)
	v.list(&th.todo, th.proc, who)
	v.bad(!th.writing, "%s: writes while nothing runs", who)
	v.bad(th.parked == (th.reading != nil), "%s: parked %v, reading %v", who, th.parked, th.reading != nil)
	v.bad(!th.parked || !th.absent, "%s: parked and absent", who)
	idle := th.parked || th.absent
	v.bad(th.inWaiting == (idle && th.forProc), "%s: in the waiting chain %v, parked %v, absent %v, for process work %v", who, th.inWaiting, th.parked, th.absent, th.forProc)
	v.bad(!idle || !th.hasWork(th.forProc && len(v.summoned[th.proc]) == 0), "%s: sleeps though there is work (absent %v, own %v %v, to return %v, process %v)", who, th.absent, th.processTodo, !th.todo.empty(), th.needReturn, !th.proc.todo.empty())
	if r := th.reading; r != nil {
		v.requests[r]++
		for _, f := range r.Resp.Fix { // of files that nobody took; they go with the answer
			v.tokens[f.Token] += flagged(f.Kind != FixFree)
		}
	}
	for _, e := range []*pendingError{&th.returnError, &th.replyError} {
		v.bad((e.cmd != uapi.BR_OK) == e.queued(), "%s: error %#x, queued %v", who, e.cmd, e.queued())
	}
	for w := th.todo.head; w != nil && !th.processTodo; w = w.next {
		switch w.item.(type) {
		case *Node, *complete:
		default:
			v.bad(false, "%s: %T waits unnoticed", who, w.item)
		}
	}
	v.stack(th, who)
}

// stack follows a thread's calls as its release would.
func (v *vmAudit) stack(th *Thread, who string) {
	seen := map[*Transaction]bool{}
	for t := th.stack; t != nil; {
		if v.bad(!seen[t] && !t.queued() || t.from == th, "%s: transaction %d stands twice on the stack", who, t.id) {
			return
		}
		seen[t] = true
		v.txn(t)
		switch {
		case t.toThread == th:
			v.bad(t.toProc == th.proc, "%s: serves transaction %d of another process", who, t.id)
			t = t.toParent
		case t.from == th:
			t = t.fromParent
		default:
			v.bad(false, "%s: transaction %d on the stack is a stranger's", who, t.id)
			return
		}
	}
}

// txn notes a transaction and the calls that only it still leads to.
func (v *vmAudit) txn(t *Transaction) {
	for ; t != nil && !v.txns[t]; t = t.fromParent {
		v.txns[t] = true
		v.bad(t.home != nil, "a transaction of no VM")
		if t.from != nil {
			v.bad(!t.from.dead && t.from.proc.vm == t.home, "transaction %d: its caller is dead or another VM's", t.id)
		}
		if t.toProc != nil {
			v.bad(t.toProc.vm == t.home, "transaction %d goes to another VM", t.id)
		}
		if b := t.buffer; b != nil {
			v.bad(b.txn == t && b.proc == t.toProc, "transaction %d: its buffer is another's", t.id)
		}
	}
}

// list checks one list and what is on it.
func (v *vmAudit) list(l *workList, p *Process, where string) {
	var prev *work
	for w := l.head; w != nil; prev, w = w, w.next {
		if v.bad(w.list == l && w.prev == prev && !v.works[w], "%s: broken list", where) {
			return
		}
		v.works[w] = true
		v.item(w, l, p, where)
	}
	v.bad(l.tail == prev, "%s: broken tail", where)
}

func (v *vmAudit) item(w *work, l *workList, p *Process, where string) {
	switch it := w.item.(type) {
	case *Transaction:
		v.txn(it)
		v.bad(&it.work == w && it.toProc == p && it.buffer != nil && it.buffer.state == bufQueued, "%s: transaction %d is not for here", where, it.id)
	case *complete:
		v.bad(&it.work == w && it.proc.vm == v.vm, "%s: a completion of another VM", where)
		v.found[statTransactionComplete]++
	case *pendingError:
		v.bad(&it.work == w, "%s: an error that is not itself", where)
	case *Node:
		v.bad(&it.work == w && it.proc == p, "%s: node %d is not its process's", where, it.id)
	case *death:
		v.bad(&it.work == w && it.state != deathIdle, "%s: a death notice with nothing to say", where)
		v.bad(l != &p.delivered || it.state != deathCleared, "%s: a delivered notice is cleared", where)
		v.deaths[it] = true
	case *freezeNotice:
		v.bad(&it.work == w && it.sent == (l == &p.deliveredFreeze), "%s: freeze notice sent %v", where, it.sent)
		v.freezes[it] = true
	default:
		v.bad(false, "%s: %T", where, w.item)
	}
}

// node checks a living node's counts against everything that holds it.
func (v *vmAudit) node(n *Node) {
	who := fmt.Sprintf("%s node %d", name(n.proc), n.id)
	v.nodes[n] = true
	v.list(&n.asyncTodo, n.proc, who+" oneways")
	strong, weak, oneways := flagged(n.pendingStrong), flagged(n.pendingWeak), 0
	if n.proc.ctx.manager == n {
		strong, weak = strong+1, weak+1
	}
	for _, b := range n.proc.buffers {
		if b == nil || b.state == bufFreed {
			continue
		}
		if b.node == n {
			strong++
			oneways += flagged(b.async)
		}
		for _, h := range b.held {
			if h.ptr == n.ptr && h.typ == uapi.BINDER_TYPE_BINDER {
				strong++
			}
			if h.ptr == n.ptr && h.typ == uapi.BINDER_TYPE_WEAK_BINDER {
				weak++
			}
		}
	}
	v.bad(n.tmp == 0 && n.localStrong == strong && n.localWeak == weak, "%s: local %d strong %d weak %d temporary, found %d and %d",
		who, n.localStrong, n.localWeak, n.tmp, strong, weak)
	for w := n.asyncTodo.head; w != nil; w = w.next {
		oneways--
	}
	v.bad(oneways == flagged(n.hasAsync), "%s: %d oneways on their way, has one %v", who, oneways, n.hasAsync)
	v.refList(n, who)
	isStrong := n.localStrong > 0 || n.internalStrong > 0
	isWeak := isStrong || n.refs != nil || n.localWeak > 0
	v.bad(n.queued() || isStrong == n.hasStrong && isWeak == n.hasWeak || v.exited[n.proc] && !(n.hasStrong && !isStrong) && !(n.hasWeak && !isWeak),
		"%s: strong %v weak %v, its owner believes %v and %v and will not hear", who, isStrong, isWeak, n.hasStrong, n.hasWeak)
	v.bad(n.queued() || isWeak, "%s: nothing holds it", who)
}

func flagged(b bool) int { return int(flag(b)) }

func (v *vmAudit) refList(n *Node, who string) {
	internal := 0
	var prev *Ref
	for ref := n.refs; ref != nil; prev, ref = ref, ref.nextOfNode {
		if v.bad(ref.node == n && ref.prevOfNode == prev && ref.proc.vm == v.vm && !ref.proc.dead, "%s: broken list of refs", who) {
			return
		}
		internal += flagged(ref.strong > 0)
		v.bad(ref.proc.handles.get(ref.handle) == ref, "%s: a ref that its holder does not know", who)
	}
	v.bad(internal == n.internalStrong, "%s: %d internal strong, found %d", who, n.internalStrong, internal)
}

func (v *vmAudit) handles(p *Process) {
	t := &p.handles
	n := 0
	for h, ref := range t.refs {
		used := t.used[h/64]>>(h%64)&1 == 1
		v.bad(used == (ref != nil) || h == 0 && used, "%s: handle %d used %v", name(p), h, used)
		v.bad(used || h/64 >= t.hint, "%s: handle %d is free below the hint", name(p), h)
		if ref == nil {
			continue
		}
		n++
		v.ref(p, uint32(h), ref)
	}
	v.bad(n == t.n && n == len(p.refOf), "%s: %d handles, %d counted, %d by node", name(p), n, t.n, len(p.refOf))
	v.found[statRef] += n
}

func (v *vmAudit) ref(p *Process, h uint32, ref *Ref) {
	who := fmt.Sprintf("%s handle %d", name(p), h)
	v.bad(ref.proc == p && ref.handle == h && p.refOf[ref.node] == ref && ref.node.proc != p, "%s: is another's", who)
	v.bad(ref.strong > 0 || ref.weak > 0, "%s: holds nothing", who)
	n := ref.node
	v.bad(n.vm == v.vm, "%s: leads to another VM", who)
	if n.proc == nil && !v.nodes[n] {
		v.nodes[n] = true
		v.bad(n.tmp == 0 && !n.queued() && n.asyncTodo.empty() && n.localStrong == 0 && n.localWeak == 0, "%s: dead node %d is held or queued", who, n.id)
		v.refList(n, fmt.Sprintf("dead node %d", n.id))
	}
	if d := ref.death; d != nil {
		v.deaths[d] = true
		v.bad(d.state == deathIdle || d.state == deathDue && n.proc == nil, "%s: death registration in state %d", who, d.state)
		v.bad(d.state == deathDue || !d.queued(), "%s: an idle death registration is queued", who)
	}
	if f := ref.freeze; f != nil {
		v.freezes[f] = true
		v.bad(!f.cleared, "%s: a cleared freeze registration", who)
	}
}

func (v *vmAudit) buffers(p *Process) {
	used := 0
	async := uint64(0)
	p.mem.alloc.Each(func(rng alloc.Range, off, size uint64, isAsync bool) bool {
		used++
		if isAsync {
			async += size
		}
		b := p.buffers[rng]
		if v.bad(b != nil && b.state != bufFreed, "%s: range at %#x has no buffer", name(p), off) {
			return true
		}
		v.bad(b.proc == p && b.rng == rng && b.off == off && b.size == size && b.async == isAsync && off+size <= p.mem.size, "%s: buffer at %#x is not its range", name(p), off)
		v.buffer(b)
		return true
	})
	live := 0
	for _, b := range p.buffers {
		if b != nil && b.state != bufFreed {
			live++
		}
	}
	v.bad(live == used && used == p.mem.alloc.Len(), "%s: %d buffers, %d ranges", name(p), live, used)
	v.bad(p.mem.size == 0 || p.mem.alloc.AsyncFree()+async == p.mem.size/2, "%s: oneway budget %d with %d used of %d", name(p), p.mem.alloc.AsyncFree(), async, p.mem.size)
	v.found[statBuffer] += live
}

func (v *vmAudit) buffer(b *Buffer) {
	who := fmt.Sprintf("%s buffer at %#x", name(b.proc), b.off)
	switch b.state {
	case bufQueued:
		v.bad(b.txn != nil && b.txn.buffer == b && b.txn.queued() && b.delivery == 0, "%s: queued without its transaction", who)
	case bufDelivered:
		v.bad(b.txn == nil || b.txn.buffer == b && !b.txn.queued() && b.txn.toThread != nil, "%s: delivered and still on its way", who)
	default:
		v.bad(false, "%s: state %d at rest", who, b.state)
	}
	v.bad(b.node == nil || b.node.proc == b.proc, "%s: was for a node of another process", who)
}

// pools checks that free records are free: in no other place, and nowhere twice.
func (a *audit) pools(c *Core) {
	seen := map[*Transaction]bool{}
	for _, t := range c.txns.txns {
		a.bad(!seen[t] && !a.txns[t] && !t.queued() && t.home == nil && len(t.fds) == 0, "a free transaction is in use")
		seen[t] = true
	}
	done := map[*complete]bool{}
	for w := c.txns.completes; w != nil; w = w.next {
		if a.bad(!done[w] && !w.queued() && w.proc == nil, "a free completion is in use") {
			return
		}
		done[w] = true
	}
}
