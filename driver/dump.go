// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"

	"virtbinder/driver/uapi"
)

// The text of the kernel driver's log files, line for line, for the tools that read
// it. Where the kernel prints an address of its own there is a number that means
// nothing; where it prints a line of its source there is 0.

// DumpKind names one of the files.
type DumpKind uint32

// The files under binder_logs.
const (
	DumpState        DumpKind = 1
	DumpStats        DumpKind = 2
	DumpTransactions DumpKind = 3
	DumpLog          DumpKind = 4
	DumpFailedLog    DumpKind = 5
	DumpProcess      DumpKind = 6 // of one pid
)

// Dump makes the text of a file, at most about limit bytes of it; pid is for
// DumpProcess. It is false for a file that there is not.
func (vm *VM) Dump(kind DumpKind, pid uint32, limit int) ([]byte, bool) {
	var b []byte
	full := func() bool {
		if len(b) > limit {
			b = fmt.Appendf(b[:limit], "\n(cut after %d bytes)\n", limit)
			return true
		}
		return false
	}
	switch kind {
	case DumpState:
		b = AppendDeadNodes(append(b, "binder state:\n"...), vm.DeadNodes())
		vm.States(0, func(s *ProcessState) bool { b = s.AppendText(b); return !full() })
	case DumpStats:
		b = AppendStats(append(b, "binder stats:\n"...), "", vm.Traffic(), vm.Counts())
		vm.Stats(func(s *ProcessStats) bool { b = s.AppendText(b); return !full() })
	case DumpTransactions:
		b = append(b, "binder transactions:\n"...)
		vm.States(0, func(s *ProcessState) bool {
			if s.OnlyTransactions() {
				b = s.AppendText(b)
			}
			return !full()
		})
	case DumpLog, DumpFailedLog:
		for _, e := range vm.Log(kind == DumpFailedLog) {
			b = e.AppendText(b)
		}
	case DumpProcess:
		vm.States(pid, func(s *ProcessState) bool {
			b = s.AppendText(append(b, "binder proc state:\n"...))
			return !full()
		})
	default:
		return nil, false
	}
	return b, true
}

func bit(b bool) int { return int(flag(b)) }

// AppendText appends the process's part of a state file.
func (s *ProcessState) AppendText(b []byte) []byte {
	b = fmt.Appendf(b, "proc %d\ncontext %s\n", s.PID, s.Context)
	for i := range s.Threads {
		b = s.Threads[i].appendText(b)
	}
	for i := range s.Nodes {
		b = s.Nodes[i].appendText(b)
	}
	for _, r := range s.Refs {
		dead := ""
		if r.NodeDead {
			dead = "dead "
		}
		death := uint64(0)
		if r.Death {
			death = r.ID
		}
		b = fmt.Appendf(b, "  ref %d: desc %d %snode %d s %d w %d d %016x\n", r.ID, r.Handle, dead, r.Node, r.Strong, r.Weak, death)
	}
	for _, f := range s.Buffers {
		state := "delivered"
		if f.Active {
			state = "active"
		}
		b = fmt.Appendf(b, "  buffer %d: %x size %d:%d:%d %s\n", f.ID, f.Offset, f.DataSize, f.OffsetsSize, f.ExtraSize, state)
	}
	b = appendWorks(b, "  ", "  pending transaction", s.Todo)
	if s.DeliveredDeath {
		b = append(b, "  has delivered dead binder\n"...)
	}
	if s.DeliveredFreeze {
		b = append(b, "  has delivered freeze binder\n"...)
	}
	if s.Cut {
		b = append(b, "  (there is more than is shown)\n"...)
	}
	return b
}

func (t *ThreadState) appendText(b []byte) []byte {
	b = fmt.Appendf(b, "  thread %d: l %02x need_return %d tr 0\n", t.TID, t.Looper, bit(t.NeedReturn))
	for i := range t.Stack {
		way := "    outgoing transaction"
		if t.Stack[i].Serving {
			way = "    incoming transaction"
		}
		b = t.Stack[i].appendText(b, way)
	}
	return appendWorks(b, "    ", "    pending transaction", t.Todo)
}

func (t *TransactionState) appendText(b []byte, prefix string) []byte {
	b = fmt.Appendf(b, "%s %d: %016x from %d:%d to %d:%d code %x flags %x pri %d r%d elapsed %dms",
		prefix, t.ID, t.ID, t.FromPID, t.FromTID, t.ToPID, t.ToTID, t.Code, t.Flags, t.Priority, bit(t.NeedReply), t.ElapsedMS)
	switch {
	case !t.Incoming:
		return append(b, '\n')
	case !t.Buffer:
		return append(b, " buffer free\n"...)
	case t.Node != 0:
		b = fmt.Appendf(b, " node %d", t.Node)
	}
	return fmt.Appendf(b, " size %d:%d offset %x\n", t.DataSize, t.OffsetsSize, t.Offset)
}

func appendWorks(b []byte, prefix, transactionPrefix string, works []WorkState) []byte {
	for i := range works {
		switch w := &works[i]; w.Kind {
		case WorkTransaction:
			b = w.Transaction.appendText(b, transactionPrefix)
		case WorkError:
			b = fmt.Appendf(b, "%stransaction error: %d\n", prefix, w.Error)
		case WorkNode:
			b = fmt.Appendf(b, "%snode work %d: u%016x c%016x\n", prefix, w.Node, w.Ptr, w.Cookie)
		default:
			b = fmt.Appendf(b, "%s%s\n", prefix, w.Kind)
		}
	}
	return b
}

// appendText prints a node. The kernel holds it while it prints, which shows.
func (n *NodeState) appendText(b []byte) []byte {
	b = fmt.Appendf(b, "  node %d: u%016x c%016x hs %d hw %d ls %d lw %d is %d iw %d tr %d", n.ID, n.Ptr, n.Cookie,
		bit(n.HasStrong), bit(n.HasWeak), n.LocalStrong, n.LocalWeak, n.InternalStrong, len(n.Procs), n.Tmp+1)
	if len(n.Procs) > 0 {
		b = append(b, " proc"...)
	}
	for _, pid := range n.Procs {
		b = fmt.Appendf(b, " %d", pid)
	}
	return appendWorks(append(b, '\n'), "    ", "    pending async transaction", n.Async)
}

// AppendDeadNodes appends the part of the state file that belongs to no process.
func AppendDeadNodes(b []byte, nodes []NodeState) []byte {
	if len(nodes) > 0 {
		b = append(b, "dead nodes:\n"...)
	}
	for i := range nodes {
		b = nodes[i].appendText(b)
	}
	return b
}

// AppendStats appends the lines of the stats file that count commands and objects.
func AppendStats(b []byte, prefix string, t Traffic, objects Counts) []byte {
	for _, name := range uapi.Commands {
		if n := t.BC[name]; n > 0 {
			b = fmt.Appendf(b, "%s%s: %d\n", prefix, name, n)
		}
	}
	for _, name := range uapi.Returns {
		if n := t.BR[name]; n > 0 {
			b = fmt.Appendf(b, "%s%s: %d\n", prefix, name, n)
		}
	}
	for _, name := range statNames[:statBuffer] {
		if c := objects[name]; c.Total > 0 {
			b = fmt.Appendf(b, "%s%s: active %d total %d\n", prefix, name, c.Active, c.Total)
		}
	}
	return b
}

// AppendText appends the process's part of the stats file.
func (s *ProcessStats) AppendText(b []byte) []byte {
	b = fmt.Appendf(b, "proc %d\ncontext %s\n  threads: %d\n  requested threads: %d+%d/%d\n  ready threads %d\n  free async space %d\n",
		s.PID, s.Context, s.Threads, s.RequestedThreads, s.StartedThreads, s.MaxThreads, s.ReadyThreads, s.FreeAsyncSpace)
	b = fmt.Appendf(b, "  nodes: %d\n  refs: %d s %d w %d\n  buffers: %d\n", s.Nodes, s.Refs, s.StrongRefs, s.WeakRefs, s.Buffers)
	b = fmt.Appendf(b, "  pages: %d:%d:%d\n  pages high watermark: %d\n  pending transactions: %d\n",
		s.PagesActive, s.PagesIdle, s.PagesFree, s.PagesHigh, s.Pending)
	return AppendStats(b, "  ", s.Traffic, nil)
}

// AppendText appends the entry's line of a transaction log.
func (e *LogEntry) AppendText(b []byte) []byte {
	return fmt.Appendf(b, "%d: %-5s from %d:%d to %d:%d context %s node %d handle %d size %d:%d ret %d/%d l=0\n",
		e.ID, e.Type, e.FromPID, e.FromTID, e.ToPID, e.ToTID, e.Context, e.Node, int32(e.Handle),
		int32(e.DataSize), int32(e.OffsetsSize), e.Error, e.Param)
}
