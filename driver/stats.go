// SPDX-License-Identifier: Apache-2.0

package driver

import "virtbinder/driver/uapi"

// stat indexes the kinds of object that are counted, in the order of the kernel's
// stats file.
type stat int

const (
	statProc stat = iota
	statThread
	statNode
	statRef
	statDeath
	statTransaction
	statTransactionComplete
	statFreeze
	statBuffer
	statKinds
)

// statNames are the names that the kernel's stats file gives them; "buffer" is ours.
var statNames = [statKinds]string{"proc", "thread", "node", "ref", "death", "transaction",
	"transaction_complete", "freeze", "buffer"}

// counts keeps how many objects of each kind there are and were. Guarded by Core.mu.
type counts struct {
	total   [statKinds]uint64
	deleted [statKinds]uint64
}

func (c *counts) made(s stat) { c.total[s]++ }
func (c *counts) gone(s stat) { c.deleted[s]++ }

// traffic counts commands by the number in their code. Guarded by Core.mu.
type traffic struct {
	bc [len(uapi.Commands)]uint64
	br [len(uapi.Returns)]uint64
}

// countBC counts a command that p sends, countBR one that it reads; codes that
// there are not are not counted.
func (p *Process) countBC(code uint32) {
	if n := code & 0xff; int(n) < len(p.traffic.bc) {
		p.traffic.bc[n]++
		p.vm.traffic.bc[n]++
	}
}

func (p *Process) countBR(code uint32) {
	if n := code & 0xff; int(n) < len(p.traffic.br) {
		p.traffic.br[n]++
		p.vm.traffic.br[n]++
	}
}

// Count says how many objects of a kind live now and how many ever did.
type Count struct {
	Active uint64 `json:"active"`
	Total  uint64 `json:"total"`
}

// Counts has one Count for each kind of object.
type Counts map[string]Count

func (c *counts) export() Counts {
	out := Counts{}
	for s := stat(0); s < statKinds; s++ {
		out[statNames[s]] = Count{c.total[s] - c.deleted[s], c.total[s]}
	}
	return out
}

// Traffic counts the commands of one process or VM, those that occurred, by name.
type Traffic struct {
	BC map[string]uint64 `json:"bc"`
	BR map[string]uint64 `json:"br"`
}

func (t *traffic) export() Traffic {
	occurred := func(names []string, counts []uint64) map[string]uint64 {
		out := map[string]uint64{}
		for i, n := range counts {
			if n > 0 {
				out[names[i]] = n
			}
		}
		return out
	}
	return Traffic{occurred(uapi.Commands[:], t.bc[:]), occurred(uapi.Returns[:], t.br[:])}
}

// Counts returns the VM's object counts.
func (vm *VM) Counts() Counts {
	vm.core.mu.Lock()
	defer vm.core.mu.Unlock()
	return vm.counts.export()
}

// Traffic returns the VM's counts of commands.
func (vm *VM) Traffic() Traffic {
	vm.core.mu.Lock()
	t := vm.traffic
	vm.core.mu.Unlock()
	return t.export()
}

// ProcessStats are the numbers of one process.
type ProcessStats struct {
	PID              uint32 `json:"pid"`
	Context          string `json:"context"`
	Threads          int    `json:"threads"`
	ReadyThreads     int    `json:"ready_threads"`
	RequestedThreads uint32 `json:"requested_threads"`
	StartedThreads   uint32 `json:"started_threads"`
	MaxThreads       uint32 `json:"max_threads"`
	FreeAsyncSpace   uint64 `json:"free_async_space"`
	Nodes            int    `json:"nodes"`
	Refs             int    `json:"refs"`
	StrongRefs       int    `json:"strong_refs"`
	WeakRefs         int    `json:"weak_refs"`
	Buffers          int    `json:"buffers"`
	PagesActive      uint64 `json:"pages_active"` // under a buffer
	PagesIdle        uint64 `json:"pages_idle"`   // were, and may be again
	PagesFree        uint64 `json:"pages_free"`   // never were
	PagesHigh        uint64 `json:"pages_high"`
	Pending          int    `json:"pending_transactions"`
	Traffic
}

// Stats returns the numbers of each process, newest first.
func (vm *VM) Stats(yield func(*ProcessStats) bool) {
	vm.eachProcess(0, func(v *visit, p *Process) bool {
		s := p.stats(v)
		return v.outside(func() bool { return yield(s) })
	})
}

func (p *Process) stats(v *visit) *ProcessStats {
	s := &ProcessStats{PID: p.pid, Context: p.ctx.name, Threads: len(p.threads),
		RequestedThreads: p.requestedThreads, StartedThreads: p.startedThreads, MaxThreads: p.maxThreads,
		FreeAsyncSpace: p.mem.alloc.AsyncFree(), Nodes: len(p.nodes), Refs: p.handles.n, Buffers: p.mem.alloc.Len(),
		Traffic: p.traffic.export()}
	for th := p.waiting; th != nil; th = th.waitNext {
		s.ReadyThreads++
	}
	for w := p.todo.head; w != nil && s.Pending < maxShown; w = w.next {
		if _, is := w.item.(*Transaction); is {
			s.Pending++
		}
	}
	for i := 0; i < len(p.handles.refs); i++ {
		if ref := p.handles.refs[i]; ref != nil {
			s.StrongRefs += ref.strong
			s.WeakRefs += ref.weak
		}
		v.step()
	}
	p.pages(v, s)
	return s
}

// pages counts the pages of the window. The host commits a page when a buffer first
// lies on it; buffers take the lowest place that fits.
func (p *Process) pages(v *visit, s *ProcessStats) {
	const page = 4096
	used := map[uint64]struct{}{}
	for i := 0; i < len(p.buffers); i++ {
		if b := p.buffers[i]; b != nil && b.state != bufFreed {
			for at := b.off / page; at <= (b.off+b.size-1)/page; at++ {
				used[at] = struct{}{}
			}
		}
		v.step()
	}
	s.PagesHigh = (p.mem.high + page - 1) / page
	if p.mem.mapped {
		s.PagesActive = uint64(len(used))
		s.PagesIdle = s.PagesHigh - min(s.PagesActive, s.PagesHigh)
		s.PagesFree = p.mem.size/page - s.PagesHigh
	}
}
