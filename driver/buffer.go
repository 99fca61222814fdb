// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/alloc"
	"virtbinder/driver/uapi"
)

// bufferState is where a Buffer is in its life. Only a delivered one can be freed
// by its owner, and freeing leaves that state at once.
type bufferState uint8

const (
	bufBuilding bufferState = iota
	bufQueued
	bufDelivered
	bufFreed
)

// Buffer is one payload in a process's window, with the private record of what is
// in it. Guarded by Core.mu; its bytes in the window are written once, before it
// is queued, with no lock held.
type Buffer struct {
	proc        *Process
	id          uint64 // its transaction's
	rng         alloc.Range
	off         uint64 // in the process's window
	size        uint64
	dataSize    uint64
	offsetsSize uint64
	extraSize   uint64 // scatter-gather space and security context
	state       bufferState
	async       bool
	clear       bool
	spam        bool
	hasFDA      bool
	senderPID   uint32
	node        *Node // called object; nil for a reply
	txn         *Transaction
	delivery    uint64 // of the read that took it; 0: not yet
	held        []heldObject
}

// heldObject is a reference that the buffer owns until it is freed.
type heldObject struct {
	typ    uint32
	handle uint32
	ptr    uint64
}

func align8(v uint64) uint64 { return (v + 7) &^ 7 }

// bufferSize is the space for the sections, 0 when the sum overflows.
func bufferSize(data, offsets, extra uint64) uint64 {
	ad, ao, ae := align8(data), align8(offsets), align8(extra)
	sum := ad + ao
	total := sum + ae
	if ad < data || ao < offsets || ae < extra || sum < ad || total < sum {
		return 0
	}
	return max(total, 8)
}

// newBuffer reserves space. senderPID is stamped by the caller once built.
func (p *Process) newBuffer(data, offsets, extra uint64, async bool, senderPID uint32) (*Buffer, unix.Errno) {
	if !p.mem.mapped {
		return nil, unix.ESRCH
	}
	size := bufferSize(data, offsets, extra)
	if size == 0 {
		return nil, unix.EINVAL
	}
	if !p.room(statBuffer) {
		return nil, unix.ENOSPC
	}
	rng, off, err := p.mem.alloc.Alloc(size, async)
	if err != nil {
		return nil, unix.ENOSPC
	}
	b := p.bufferAt(rng)
	*b = Buffer{proc: p, rng: rng, off: off, size: size, dataSize: data, offsetsSize: offsets, extraSize: extra, async: async, held: b.held}
	if async {
		b.spam = p.suspectSpam(senderPID)
	}
	b.senderPID = senderPID
	p.mem.high = max(p.mem.high, off+size)
	p.made(statBuffer)
	return b, 0
}

// bufferAt is the record for a range, reused from the last buffer there.
func (p *Process) bufferAt(rng alloc.Range) *Buffer {
	for int(rng) >= len(p.buffers) {
		p.buffers = append(p.buffers, nil)
	}
	if p.buffers[rng] == nil {
		p.buffers[rng] = &Buffer{state: bufFreed}
	}
	return p.buffers[rng]
}

// bufferOf finds the buffer that a read took by the id of its delivery. Deliveries
// seldom fail, so this may be slow.
func (p *Process) bufferOf(delivery uint64) *Buffer {
	for _, b := range p.buffers {
		if b != nil && b.state == bufDelivered && b.delivery == delivery {
			return b
		}
	}
	return nil
}

// suspectSpam says that pid has flooded the oneway half of the window: once per
// episode, counting the buffers that were there before, as the C driver does.
func (p *Process) suspectSpam(pid uint32) bool {
	size := p.mem.size
	if p.mem.alloc.AsyncFree() >= size/10 {
		p.mem.spamReported = false
		return false
	}
	var n int
	var total uint64
	p.mem.alloc.Each(func(rng alloc.Range, _, sz uint64, async bool) bool {
		if b := p.buffers[rng]; async && b != nil && b.senderPID == pid && b.state != bufFreed {
			n++
			total += sz
		}
		return true
	})
	if n <= 50 && total <= size/4 || p.mem.spamReported {
		return false
	}
	p.mem.spamReported = true
	return true
}

// userAddr is where the process sees the buffer.
func (b *Buffer) userAddr() uint64 { return b.proc.mem.addr + b.off }

// windowOff is where the VM's window has it.
func (b *Buffer) windowOff() uint64 { return b.proc.mem.off + b.off }

// releaseObjects gives up what the buffer holds: its node and the references in it.
func (b *Buffer) releaseObjects(x *Exec) {
	p := b.proc
	if b.node != nil {
		b.node.dec(x, true, false)
	}
	for _, h := range b.held {
		switch h.typ {
		case uapi.BINDER_TYPE_BINDER, uapi.BINDER_TYPE_WEAK_BINDER:
			if n := p.getNode(h.ptr); n != nil {
				n.dec(x, h.typ == uapi.BINDER_TYPE_BINDER, false)
				n.put(x)
			}
		case uapi.BINDER_TYPE_HANDLE, uapi.BINDER_TYPE_WEAK_HANDLE:
			if errno := p.updateRef(x, h.handle, false, h.typ == uapi.BINDER_TYPE_HANDLE); errno != 0 {
				p.userError("freed a buffer with a handle it gave up before", "handle", h.handle)
			}
		}
	}
}

// free returns the space.
func (b *Buffer) free() {
	p := b.proc
	b.state, b.txn, b.node, b.held = bufFreed, nil, nil, spare(b.held)
	p.mem.alloc.Free(b.rng)
	p.gone(statBuffer)
}

// clearBuffer honours TF_CLEAR_BUF. It is done under the lock, so that the range
// cannot be handed out before it is clean: the host's own memory, at most one window.
func (b *Buffer) clearBuffer() {
	if !b.clear {
		return
	}
	env := b.proc.vm.env
	if err := env.Copy(func() error { clear(env.Bytes(b.windowOff(), b.size)); return nil }); err != nil {
		b.proc.vm.core.log.Error("cannot clear a buffer", "err", err)
	}
}

// release gives up a buffer wholly: the next oneway of its node may run, objects
// and space go back.
func (b *Buffer) release(x *Exec) {
	if b.txn != nil {
		b.txn.buffer = nil
		b.txn = nil
	}
	if n := b.node; b.async && n != nil {
		if w := n.asyncTodo.pop(); w == nil {
			n.hasAsync = false
		} else {
			b.proc.todo.push(w)
			b.proc.wake(x)
		}
	}
	b.releaseObjects(x)
	b.clearBuffer()
	b.free()
}

// freeBuffer is BC_FREE_BUFFER. Anything but the exact address of a delivered
// buffer is logged and ignored.
func (th *Thread) freeBuffer(x *Exec, r *Request, addr uint64) {
	p := th.proc
	rng, ok := alloc.Range(0), false
	if p.mem.size != 0 && addr >= p.mem.addr {
		rng, ok = p.mem.alloc.Find(addr - p.mem.addr)
	}
	if !ok || p.buffers[rng].state != bufDelivered {
		p.userError("frees a buffer that it does not hold", "addr", addr)
		return
	}
	b := p.buffers[rng]
	if b.hasFDA {
		// The guest closes them when the call returns: it must not park first.
		r.Resp.Fix = append(r.Resp.Fix, Fix{Off: b.windowOff(), Kind: FixFree})
		th.needReturn = true
	}
	b.release(x)
}
