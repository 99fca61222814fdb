// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"cmp"
	"slices"
	"time"

	"virtbinder/driver/uapi"
)

// maxListed bounds what is shown of a queue, which is looked at in one go.
const maxListed = 1024

// ProcessState is what one process has and does.
type ProcessState struct {
	PID             uint32        `json:"pid"`
	Context         string        `json:"context"`
	Threads         []ThreadState `json:"threads,omitempty"`
	Nodes           []NodeState   `json:"nodes,omitempty"`
	Refs            []RefState    `json:"refs,omitempty"`
	Buffers         []BufferState `json:"buffers,omitempty"`
	Todo            []WorkState   `json:"todo,omitempty"`
	DeliveredDeath  bool          `json:"delivered_death"`  // a death notice was read and not acknowledged
	DeliveredFreeze bool          `json:"delivered_freeze"` // the same for a freeze notice
	Cut             bool          `json:"cut"`              // there was more than is shown
}

// ThreadState is a thread with the calls it waits for and serves, innermost first.
type ThreadState struct {
	TID        uint32             `json:"tid"`
	Looper     uint32             `json:"looper"` // the kernel's BINDER_LOOPER_STATE_ bits
	NeedReturn bool               `json:"need_return"`
	Stack      []TransactionState `json:"stack,omitempty"`
	Todo       []WorkState        `json:"todo,omitempty"`
}

// TransactionState is a transaction as seen from one of its ends.
type TransactionState struct {
	ID        uint64 `json:"id"`
	Incoming  bool   `json:"incoming"` // the process that shows it is the target
	Serving   bool   `json:"serving"`  // on a thread's stack: the thread serves it, it did not make it
	FromPID   uint32 `json:"from_pid"`
	FromTID   uint32 `json:"from_tid"`
	ToPID     uint32 `json:"to_pid"`
	ToTID     uint32 `json:"to_tid"`
	Code      uint32 `json:"code"`
	Flags     uint32 `json:"flags"`
	Priority  int32  `json:"priority"`
	NeedReply bool   `json:"need_reply"`
	ElapsedMS int64  `json:"elapsed_ms"`
	// Of its buffer, if it still has one and Incoming.
	Buffer      bool   `json:"buffer"`
	Node        uint64 `json:"node"` // 0 for a reply
	DataSize    uint64 `json:"data_size"`
	OffsetsSize uint64 `json:"offsets_size"`
	Offset      uint64 `json:"offset"` // in the process's window
}

// WorkState is one entry of a queue.
type WorkState struct {
	Kind        WorkKind          `json:"kind"`
	Transaction *TransactionState `json:"transaction,omitempty"` // of WorkTransaction
	Error       uint32            `json:"error,omitempty"`       // BR code of WorkError
	Node        uint64            `json:"node,omitempty"`        // of WorkNode
	Ptr         uint64            `json:"ptr,string,omitempty"`
	Cookie      uint64            `json:"cookie,string,omitempty"`
}

// WorkKind says what an entry of a queue is, in the kernel's words for all but a
// transaction, an error and a node.
type WorkKind string

// The kinds of work.
const (
	WorkTransaction   WorkKind = "transaction"
	WorkError         WorkKind = "error"
	WorkNode          WorkKind = "node"
	WorkComplete      WorkKind = "transaction complete"
	WorkDead          WorkKind = "has dead binder"
	WorkDeadClear     WorkKind = "has cleared dead binder"
	WorkDeathCleared  WorkKind = "has cleared death notification"
	WorkFrozen        WorkKind = "has frozen binder"
	WorkFreezeCleared WorkKind = "has cleared freeze notification"
)

// NodeState is an object that the process serves, or served: pointer and cookie are
// the process's own.
type NodeState struct {
	ID             uint64      `json:"id"`
	Ptr            uint64      `json:"ptr,string"`
	Cookie         uint64      `json:"cookie,string"`
	HasStrong      bool        `json:"has_strong"`
	HasWeak        bool        `json:"has_weak"`
	LocalStrong    int         `json:"local_strong"`
	LocalWeak      int         `json:"local_weak"`
	InternalStrong int         `json:"internal_strong"`
	Tmp            int         `json:"tmp"`
	Procs          []uint32    `json:"procs,omitempty"` // that hold a handle
	BusyAsync      bool        `json:"busy_async"`
	Async          []WorkState `json:"async,omitempty"` // oneways behind the one it is busy with
}

// RefState is a handle.
type RefState struct {
	ID       uint64 `json:"id"`
	Handle   uint32 `json:"handle"`
	Node     uint64 `json:"node"`
	NodeDead bool   `json:"node_dead"`
	Strong   int    `json:"strong"`
	Weak     int    `json:"weak"`
	Death    bool   `json:"death"` // a death notification is registered
}

// BufferState is an allocated buffer.
type BufferState struct {
	ID          uint64 `json:"id"` // its transaction's
	Offset      uint64 `json:"offset"`
	DataSize    uint64 `json:"data_size"`
	OffsetsSize uint64 `json:"offsets_size"`
	ExtraSize   uint64 `json:"extra_size"`
	Active      bool   `json:"active"` // its transaction lives
}

// States yields the state of each process, or of those with the pid if it is not 0,
// the newest first. Each is the callee's to keep.
func (vm *VM) States(pid uint32, yield func(*ProcessState) bool) {
	vm.eachProcess(pid, func(v *visit, p *Process) bool {
		s := (&viewer{visit: v, p: p, now: now()}).process()
		return v.outside(func() bool { s.sort(); return yield(s) })
	})
}

// DeadNodes returns the objects whose process died while others hold handles.
func (vm *VM) DeadNodes() []NodeState {
	vm.core.mu.Lock()
	w := &viewer{visit: &visit{core: vm.core, left: visitSteps}, now: now()}
	var out []NodeState
	for n := range vm.deadNodes {
		if len(out) == maxShown {
			break
		}
		out = append(out, w.node(n))
		w.step()
	}
	vm.core.mu.Unlock()
	slices.SortFunc(out, func(a, b NodeState) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// sort puts everything into the kernel's order. Queues and stacks are in it.
func (s *ProcessState) sort() {
	slices.SortFunc(s.Threads, func(a, b ThreadState) int { return cmp.Compare(a.TID, b.TID) })
	slices.SortFunc(s.Nodes, func(a, b NodeState) int { return cmp.Compare(a.Ptr, b.Ptr) })
	slices.SortFunc(s.Buffers, func(a, b BufferState) int { return cmp.Compare(a.Offset, b.Offset) })
}

// OnlyTransactions leaves what has to do with transactions on their way, and says
// whether there is any.
func (s *ProcessState) OnlyTransactions() bool {
	s.Refs = nil
	s.Nodes = slices.DeleteFunc(s.Nodes, func(n NodeState) bool { return !n.BusyAsync })
	s.Threads = slices.DeleteFunc(s.Threads, func(t ThreadState) bool { return len(t.Stack)+len(t.Todo) == 0 })
	return len(s.Nodes)+len(s.Threads)+len(s.Buffers)+len(s.Todo) > 0 || s.DeliveredDeath || s.DeliveredFreeze
}

// viewer makes facts of one process's objects. Core.mu is held.
type viewer struct {
	*visit
	p   *Process
	now instant
	cut bool
}

func (w *viewer) process() *ProcessState {
	p := w.p
	s := &ProcessState{PID: p.pid, Context: p.ctx.name}
	for _, th := range p.threads {
		s.Threads = append(s.Threads, w.thread(th))
		w.step()
	}
	for _, n := range p.nodes {
		if len(s.Nodes) == maxShown {
			w.cut = true
			break
		}
		s.Nodes = append(s.Nodes, w.node(n))
		w.step()
	}
	for i := 0; i < len(p.handles.refs); i++ {
		if ref := p.handles.refs[i]; ref != nil {
			if len(s.Refs) == maxShown {
				w.cut = true
				break
			}
			s.Refs = append(s.Refs, RefState{ID: ref.id, Handle: ref.handle, Node: ref.node.id, NodeDead: ref.node.proc == nil,
				Strong: ref.strong, Weak: ref.weak, Death: ref.death != nil})
		}
		w.step()
	}
	s.Buffers = w.buffers()
	s.Todo = w.works(&p.todo)
	s.DeliveredDeath, s.DeliveredFreeze = !p.delivered.empty(), !p.deliveredFreeze.empty()
	s.Cut = w.cut
	return s
}

func (w *viewer) buffers() (out []BufferState) {
	for i := 0; i < len(w.p.buffers); i++ {
		if b := w.p.buffers[i]; b != nil && b.state != bufFreed {
			if len(out) == maxShown {
				w.cut = true
				break
			}
			out = append(out, BufferState{ID: b.id, Offset: b.off, DataSize: b.dataSize, OffsetsSize: b.offsetsSize,
				ExtraSize: b.extraSize, Active: b.txn != nil})
		}
		w.step()
	}
	return out
}

func (w *viewer) thread(th *Thread) ThreadState {
	s := ThreadState{TID: th.tid, Looper: th.looper, NeedReturn: th.needReturn}
	if th.parked || th.absent {
		s.Looper |= looperWaiting
	}
	for t := th.stack; t != nil; {
		if len(s.Stack) == maxListed {
			w.cut = true
			break
		}
		state := w.transaction(t)
		state.Serving = t.from != th
		s.Stack = append(s.Stack, state)
		if state.Serving {
			t = t.toParent
		} else {
			t = t.fromParent
		}
	}
	s.Todo = w.works(&th.todo)
	return s
}

func (w *viewer) transaction(t *Transaction) TransactionState {
	s := TransactionState{ID: t.id, Incoming: t.toProc == w.p && w.p != nil, FromPID: t.fromPID, FromTID: t.fromTID,
		Code: t.code, Flags: t.flags, Priority: t.nice, NeedReply: t.needReply, ElapsedMS: time.Duration(w.now - t.started).Milliseconds()}
	if t.toProc != nil {
		s.ToPID = t.toProc.pid
	}
	if t.toThread != nil {
		s.ToTID = t.toThread.tid
	}
	if b := t.buffer; b != nil && s.Incoming {
		s.Buffer, s.DataSize, s.OffsetsSize, s.Offset = true, b.dataSize, b.offsetsSize, b.off
		if b.node != nil {
			s.Node = b.node.id
		}
	}
	return s
}

func (w *viewer) node(n *Node) NodeState {
	s := NodeState{ID: n.id, Ptr: n.ptr, Cookie: n.cookie, HasStrong: n.hasStrong, HasWeak: n.hasWeak,
		LocalStrong: n.localStrong, LocalWeak: n.localWeak, InternalStrong: n.internalStrong, Tmp: n.tmp, BusyAsync: n.hasAsync}
	for ref := n.refs; ref != nil; ref = ref.nextOfNode {
		s.Procs = append(s.Procs, ref.proc.pid)
	}
	if n.proc != nil {
		s.Async = w.works(&n.asyncTodo)
	}
	w.left -= len(s.Procs)
	return s
}

func (w *viewer) works(l *workList) (out []WorkState) {
	for e := l.head; e != nil; e = e.next {
		if len(out) == maxListed {
			w.cut = true
			break
		}
		out = append(out, w.work(e))
	}
	w.left -= len(out)
	return out
}

func (w *viewer) work(e *work) WorkState {
	switch item := e.item.(type) {
	case *Transaction:
		t := w.transaction(item)
		return WorkState{Kind: WorkTransaction, Transaction: &t}
	case *pendingError:
		return WorkState{Kind: WorkError, Error: item.cmd}
	case *Node:
		return WorkState{Kind: WorkNode, Node: item.id, Ptr: item.ptr, Cookie: item.cookie}
	case *death:
		return WorkState{Kind: [...]WorkKind{deathIdle: WorkDead, deathDue: WorkDead, deathDueClear: WorkDeadClear, deathCleared: WorkDeathCleared}[item.state]}
	case *freezeNotice:
		if item.cleared {
			return WorkState{Kind: WorkFreezeCleared}
		}
		return WorkState{Kind: WorkFrozen}
	case *complete:
		return WorkState{Kind: completeKind(item.cmd)}
	}
	panic("driver: work of a kind that is not shown")
}

// completeKind: the kernel has no words for the variants of a completion.
func completeKind(cmd uint32) WorkKind {
	if cmd == uapi.BR_TRANSACTION_COMPLETE {
		return WorkComplete
	}
	return WorkKind("unknown work: " + uapi.ReturnName(cmd))
}
