// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Node is an object that a process serves. Refs of other processes point to it; it
// outlives its process (proc nil: dead) while any does. Guarded by Core.mu.
type Node struct {
	work // queued when the owner must hear of a reference change

	id     uint64
	vm     *VM
	proc   *Process // nil when the owner died
	ptr    uint64
	cookie uint64

	refs *Ref // newest first

	internalStrong int // strong counts of refs
	localStrong    int // buffers, callbacks in flight, the manager's slot
	localWeak      int
	tmp            int // held across an operation; never told to the owner

	hasStrong, hasWeak         bool // what the owner was told
	pendingStrong, pendingWeak bool // told, not yet acknowledged

	hasAsync    bool // a oneway is with the owner; the next waits in asyncTodo
	acceptFDs   bool
	wantsSecctx bool
	minNice     int32
	asyncTodo   workList
}

// newNode finds the node of obj's ptr or makes it, with a tmp reference that the
// caller puts. obj nil is the plain context manager: ptr, cookie and flags 0.
func (p *Process) newNode(obj uapi.Object) (*Node, unix.Errno) {
	var ptr, cookie uint64
	var flags uint32
	if obj != nil {
		ptr, cookie, flags = obj.Binder(), obj.Cookie(), obj.Flags()
	}
	if n := p.nodes[ptr]; n != nil {
		n.tmp++
		return n, 0
	}
	if !p.room(statNode) {
		return nil, unix.ENOMEM
	}
	n := &Node{id: p.vm.core.nextID(), vm: p.vm, proc: p, ptr: ptr, cookie: cookie, tmp: 1,
		acceptFDs:   flags&uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS != 0,
		wantsSecctx: flags&uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX != 0,
		minNice:     int32(flags & uapi.FLAT_BINDER_FLAG_PRIORITY_MASK),
	}
	n.item = n
	p.nodes[ptr] = n
	p.made(statNode)
	return n, 0
}

// getNode finds the node of ptr and takes a tmp reference.
func (p *Process) getNode(ptr uint64) *Node {
	n := p.nodes[ptr]
	if n != nil {
		n.tmp++
	}
	return n
}

func (n *Node) put(x *Exec) {
	n.tmp--
	n.dec(x, false, true)
}

// inc counts one reference more. internal references are refs'; the others are
// local. teller, when not nil, is the thread that hears of it (deferred, with its
// next read); without one a first strong internal reference is refused.
func (n *Node) inc(strong, internal bool, teller *Thread) unix.Errno {
	if strong {
		if internal {
			manager := n.proc != nil && n.proc.ctx.manager == n && n.hasStrong
			if teller == nil && n.internalStrong == 0 && !manager {
				return unix.EINVAL
			}
			n.internalStrong++
		} else {
			n.localStrong++
		}
		if !n.hasStrong && teller != nil {
			n.unlink()
			teller.todo.push(&n.work)
		}
		return 0
	}
	if !internal {
		n.localWeak++
	}
	if !n.hasWeak && teller != nil && !n.queued() {
		teller.todo.push(&n.work)
	}
	return 0
}

// dec counts one reference less, tells the owner when it was the last of its kind,
// and forgets the node when nothing holds it.
func (n *Node) dec(x *Exec, strong, internal bool) {
	if strong {
		if internal {
			n.internalStrong--
		} else {
			n.localStrong--
		}
		if n.localStrong > 0 || n.internalStrong > 0 {
			return
		}
	} else {
		if !internal {
			n.localWeak--
		}
		if n.localWeak > 0 || n.tmp > 0 || n.refs != nil {
			return
		}
	}
	if n.proc != nil && (n.hasStrong || n.hasWeak) {
		if !n.queued() {
			n.proc.todo.push(&n.work)
			n.proc.wake(x)
		}
		return
	}
	if n.refs == nil && n.localStrong == 0 && n.localWeak == 0 && n.tmp == 0 {
		n.unlink()
		n.forget()
	}
}

func (n *Node) forget() {
	n.vm.counts.gone(statNode)
	delete(n.vm.deadNodes, n)
	if n.proc != nil {
		delete(n.proc.nodes, n.ptr)
		n.proc.give(statNode)
		n.proc = nil
	}
}

// deliver tells the owner what changed, up to four commands in the order INCREFS,
// ACQUIRE, RELEASE, DECREFS.
func (n *Node) deliver(x *Exec, th *Thread, r *Request) bool {
	strong := n.internalStrong > 0 || n.localStrong > 0
	weak := n.refs != nil || n.localWeak > 0 || n.tmp > 0 || strong
	hadStrong, hadWeak := n.hasStrong, n.hasWeak
	if weak && !hadWeak {
		n.hasWeak, n.pendingWeak = true, true
		n.localWeak++
	}
	if strong && !hadStrong {
		n.hasStrong, n.pendingStrong = true, true
		n.localStrong++
	}
	if !strong {
		n.hasStrong = false
	}
	if !weak {
		n.hasWeak = false
		n.forget()
	}
	if weak && !hadWeak {
		th.putNode(r, uapi.BR_INCREFS, n)
	}
	if strong && !hadStrong {
		th.putNode(r, uapi.BR_ACQUIRE, n)
	}
	if !strong && hadStrong {
		th.putNode(r, uapi.BR_RELEASE, n)
	}
	if !weak && hadWeak {
		th.putNode(r, uapi.BR_DECREFS, n)
	}
	return false
}

func (n *Node) cancel(*Exec) {}

// acknowledge is BC_INCREFS_DONE and BC_ACQUIRE_DONE; misuse is logged and ignored.
func (p *Process) acknowledge(x *Exec, ptr, cookie uint64, strong bool) {
	n := p.getNode(ptr)
	if n == nil {
		p.userError("acknowledges references of an object it does not have", "ptr", ptr)
		return
	}
	defer n.put(x)
	pending := &n.pendingWeak
	if strong {
		pending = &n.pendingStrong
	}
	if n.cookie != cookie || !*pending {
		p.userError("acknowledges references that were not announced", "node", n.id)
		return
	}
	*pending = false
	n.dec(x, strong, false)
}

// release is the death of a node: its oneways are dropped, holders of a death
// notification hear of it. The caller holds the tmp reference that it puts.
func (n *Node) release(x *Exec) {
	n.asyncTodo.drain(x)
	n.unlink()
	delete(n.proc.nodes, n.ptr)
	n.proc = nil
	n.localStrong, n.localWeak = 0, 0
	n.vm.deadNodes[n] = struct{}{}
	for ref := n.refs; ref != nil; ref = ref.nextOfNode {
		if d := ref.death; d != nil {
			d.state = deathDue
			ref.proc.todo.push(&d.work)
			ref.proc.wake(x)
		}
	}
	n.put(x)
}
