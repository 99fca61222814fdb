// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"slices"

	"golang.org/x/sys/unix"

	"virtbinder/driver/alloc"
)

// Process is one open of the device. Guarded by Core.mu.
type Process struct {
	vm     *VM
	id     ProcID
	serial uint64 // in the order of opens
	ctx    *Context
	pid    uint32 // the guest's word for it
	label  string
	nice   int32 // default priority of its threads
	comm   string

	threads map[uint32]*Thread
	nodes   map[uint64]*Node
	handles handleTable
	refOf   map[*Node]*Ref
	todo    workList
	waiting *Thread // parked for process work, newest first

	maxThreads       uint32
	requestedThreads uint32
	startedThreads   uint32
	spamDetection    bool

	delivered       workList // death notices read and not acknowledged
	deliveredFreeze workList

	frozen      bool
	syncRecv    bool
	asyncRecv   bool
	used        [statKinds]usage
	outstanding int    // transactions queued on it or being served by it
	lostOneways uint32 // cancelled by its release
	freezers    []*freezeWait
	pollArmed   bool // a poller has looked since the last EventPoll

	mem     mapping
	buffers []*Buffer // by alloc.Range

	traffic traffic

	pins    int  // payload copies in flight; release waits for them
	closing bool // released, or waiting for pins to be
	dead    bool
}

// mapping is the process's buffer window as its mmap made it.
type mapping struct {
	alloc  alloc.Allocator
	off    uint64 // in the VM's window
	addr   uint64 // in the process
	size   uint64 // 0: never mapped
	mapped bool   // still there

	high         uint64 // end of the highest buffer there was
	spamReported bool
	low          bool // NoticeBufferLow was told
}

func newProcess(vm *VM, id ProcID, ctx *Context, o OpenArgs) *Process {
	return &Process{vm: vm, id: id, ctx: ctx, pid: o.PID, label: o.Label, nice: o.Nice, comm: o.Comm,
		threads: map[uint32]*Thread{}, nodes: map[uint64]*Node{}, refOf: map[*Node]*Ref{}}
}

// userError logs misuse that the kernel's driver logs and ignores.
func (p *Process) userError(what string, args ...any) {
	p.vm.core.log.Debug("process "+what, append([]any{"context", p.ctx.name, "pid", p.pid}, args...)...)
}

// Mmap reserves the process's range of the window: length bytes (page multiple, at
// most Limits.Window), seen by the process at addr. It returns the offset.
func (vm *VM) Mmap(x *Exec, id ProcID, addr, length uint64) (uint64, unix.Errno) {
	length = min(length, vm.core.cfg.Limits.Window)
	if length == 0 || length%4096 != 0 || addr+length < addr {
		return 0, unix.EINVAL
	}
	off, err := vm.env.Reserve(length)
	if err != nil {
		vm.core.log.Warn("no buffer window for a process", "err", err)
		return 0, unix.ENOMEM
	}
	x.lock(vm)
	defer x.unlock()
	p := vm.proc(id)
	var errno unix.Errno
	switch {
	case p == nil:
		errno = unix.ENODEV
	case p.mem.size != 0:
		errno = unix.EBUSY
	}
	if errno != 0 {
		x.releases = append(x.releases, span{vm.env, off, length})
		return 0, errno
	}
	p.mem.off, p.mem.addr, p.mem.size, p.mem.mapped = off, addr, length, true
	p.mem.alloc.Reset(length, alloc.Align)
	return off, 0
}

// Unmap notes that the process's mapping is gone: calls to it fail from now on.
func (vm *VM) Unmap(x *Exec, id ProcID) {
	x.lock(vm)
	defer x.unlock()
	if p := vm.proc(id); p != nil {
		p.mem.mapped = false
	}
}

// Flush is a close of some descriptor of the file: parked reads return.
func (vm *VM) Flush(x *Exec, id ProcID) {
	x.lock(vm)
	defer x.unlock()
	p := vm.proc(id)
	if p == nil {
		return
	}
	for _, tid := range sortedKeys(p.threads) {
		th := p.threads[tid]
		th.needReturn = true
		if th.parked || th.absent {
			x.rouse(th)
		}
	}
}

// Release is the last close of the file.
func (vm *VM) Release(x *Exec, id ProcID) {
	x.lock(vm)
	defer x.unlock()
	if p := vm.proc(id); p != nil {
		p.close(x)
	}
}

// close releases the process, after the payload copies in flight.
func (p *Process) close(x *Exec) {
	p.closing = true
	if p.pins == 0 && !p.dead {
		p.release(x)
	}
}

func (p *Process) pin() { p.pins++ }

func (p *Process) unpin(x *Exec) {
	p.pins--
	if p.pins == 0 && p.closing && !p.dead {
		p.release(x)
	}
}

// release ends a process in the kernel's order: the manager's slot, threads,
// nodes, handles, queued work, buffers.
func (p *Process) release(x *Exec) {
	p.dead = true
	if m := p.ctx.manager; m != nil && m.proc == p {
		p.ctx.manager = nil
	}
	p.frozen, p.syncRecv, p.asyncRecv = false, false, false
	for _, tid := range sortedKeys(p.threads) {
		p.threads[tid].release(x)
	}
	for _, ptr := range sortedKeys(p.nodes) {
		n := p.nodes[ptr]
		n.tmp++
		n.release(x)
	}
	for h := range p.handles.refs {
		if ref := p.handles.refs[h]; ref != nil {
			ref.drop(x)
		}
	}
	p.todo.drain(x)
	p.delivered.drain(x)
	p.deliveredFreeze.drain(x)
	p.endFreezeWaits(x)
	p.noticeLostOneways(x)
	p.releaseMemory(x)
	p.vm.forget(p)
}

func (p *Process) releaseMemory(x *Exec) {
	for _, b := range p.buffers {
		if b != nil && b.state != bufFreed {
			p.gone(statBuffer)
		}
	}
	p.buffers = nil
	if p.mem.size != 0 {
		x.releases = append(x.releases, span{p.vm.env, p.mem.off, p.mem.size})
	}
	p.mem.mapped = false
}

// wake picks a thread for work on the process queue: the one parked last, or the
// pollers.
func (p *Process) wake(x *Exec) {
	if th := p.waiting; th != nil {
		x.wake(th)
		return
	}
	p.pollWake(x)
}

// wakeForTodo passes process work on that the thread did not take which it was left
// to, or which an event had called for it.
func (p *Process) wakeForTodo(x *Exec) {
	if !p.todo.empty() && !p.dead {
		p.wake(x)
	}
}

// pollWake tells the guest that pollers of the process should look again, once for
// all of them until one has looked: who waits by then has looked or was told.
func (p *Process) pollWake(x *Exec) {
	if p.pollArmed {
		p.pollArmed = false
		x.event(p.vm, Event{Kind: EventPoll, Proc: p.id})
	}
}

func sortedKeys[K uint32 | uint64, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
