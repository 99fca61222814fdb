// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"math/bits"

	"golang.org/x/sys/unix"
)

// Ref is a handle: one process's side of a Node of another. Guarded by Core.mu.
type Ref struct {
	id     uint64
	proc   *Process
	node   *Node
	handle uint32
	strong int
	weak   int
	death  *death
	freeze *freezeNotice

	nextOfNode, prevOfNode *Ref
}

// handleTable gives out the smallest free handle, 0 being the context manager's.
type handleTable struct {
	refs []*Ref
	used []uint64 // bitmap of refs
	hint int      // no free handle in words below it, handle 0 aside
	n    int
}

func (t *handleTable) get(h uint32) *Ref {
	if int(h) < len(t.refs) {
		return t.refs[h]
	}
	return nil
}

// put stores ref under the smallest free handle; manager asks for 0 first.
func (t *handleTable) put(ref *Ref, manager bool) {
	if len(t.used) == 0 {
		t.used = append(t.used, 1) // 0 is never given to others
		t.refs = append(t.refs, nil)
	}
	t.n++
	if manager && t.refs[0] == nil {
		t.refs[0], ref.handle = ref, 0
		return
	}
	for ; ; t.hint++ {
		if t.hint == len(t.used) {
			t.used = append(t.used, 0)
		}
		if free := ^t.used[t.hint]; free != 0 {
			b := bits.TrailingZeros64(free)
			t.used[t.hint] |= 1 << b
			ref.handle = uint32(t.hint*64 + b)
			for int(ref.handle) >= len(t.refs) {
				t.refs = append(t.refs, nil)
			}
			t.refs[ref.handle] = ref
			return
		}
	}
}

func (t *handleTable) drop(h uint32) {
	t.refs[h] = nil
	t.n--
	if h == 0 {
		return
	}
	w := int(h / 64)
	t.used[w] &^= 1 << (h % 64)
	t.hint = min(t.hint, w)
}

// ref finds a handle; with strong it must be held strongly.
func (p *Process) ref(h uint32, strong bool) *Ref {
	r := p.handles.get(h)
	if r == nil || strong && r.strong == 0 {
		return nil
	}
	return r
}

// incRefForNode counts one reference more on p's handle for n, making it if new.
func (p *Process) incRefForNode(x *Exec, n *Node, strong bool, teller *Thread) (*Ref, unix.Errno) {
	ref := p.refOf[n]
	fresh := ref == nil
	if fresh {
		if !p.room(statRef) {
			return nil, unix.ENOMEM
		}
		ref = &Ref{id: p.vm.core.nextID(), proc: p, node: n}
		p.handles.put(ref, n == p.ctx.manager)
		p.refOf[n] = ref
		ref.nextOfNode = n.refs
		if n.refs != nil {
			n.refs.prevOfNode = ref
		}
		n.refs = ref
		p.made(statRef)
	}
	if errno := ref.inc(strong, teller); errno != 0 {
		if fresh {
			ref.drop(x)
		}
		return nil, errno
	}
	return ref, 0
}

func (r *Ref) inc(strong bool, teller *Thread) unix.Errno {
	count := &r.weak
	if strong {
		count = &r.strong
	}
	if *count == 0 {
		if errno := r.node.inc(strong, true, teller); errno != 0 {
			return errno
		}
	}
	*count++
	return 0
}

// dec counts one reference less; the handle goes when both counts are 0.
func (r *Ref) dec(x *Exec, strong bool) {
	if strong {
		if r.strong == 0 {
			r.proc.userError("drops a strong reference it does not hold", "handle", r.handle)
			return
		}
		r.strong--
		if r.strong == 0 {
			r.node.dec(x, true, true)
		}
	} else {
		if r.weak == 0 {
			r.proc.userError("drops a weak reference it does not hold", "handle", r.handle)
			return
		}
		r.weak--
	}
	if r.strong == 0 && r.weak == 0 {
		r.drop(x)
	}
}

// drop removes the handle with whatever was registered on it.
func (r *Ref) drop(x *Exec) {
	r.proc.handles.drop(r.handle)
	delete(r.proc.refOf, r.node)
	n := r.node
	n.tmp++ // the node goes only after the handle is off its list
	if r.strong > 0 {
		r.strong = 0
		n.dec(x, true, true)
	}
	if r.prevOfNode != nil {
		r.prevOfNode.nextOfNode = r.nextOfNode
	} else {
		n.refs = r.nextOfNode
	}
	if r.nextOfNode != nil {
		r.nextOfNode.prevOfNode = r.prevOfNode
	}
	r.nextOfNode, r.prevOfNode = nil, nil
	if r.death != nil {
		r.death.unlink()
		r.death = nil
		r.proc.gone(statDeath)
	}
	if r.freeze != nil {
		r.freeze.unlink()
		r.freeze = nil
		r.proc.gone(statFreeze)
	}
	r.proc.gone(statRef)
	n.put(x)
}

// updateRef is BC_INCREFS, BC_ACQUIRE, BC_RELEASE and BC_DECREFS on a handle, and
// what freeing a buffer does to the handles in it.
func (p *Process) updateRef(x *Exec, h uint32, inc, strong bool) unix.Errno {
	ref := p.ref(h, strong)
	if ref == nil {
		return unix.EINVAL
	}
	if inc {
		return ref.inc(strong, nil)
	}
	ref.dec(x, strong)
	return 0
}

// refCommand is the user's form of updateRef, where handle 0 also finds the
// context manager that the process holds no handle for yet.
func (p *Process) refCommand(x *Exec, h uint32, inc, strong bool) unix.Errno {
	if inc && h == 0 {
		if m := p.ctx.manager; m != nil {
			if m.proc == p {
				return unix.EINVAL
			}
			if _, errno := p.incRefForNode(x, m, strong, nil); errno == 0 {
				return 0
			}
		}
	}
	if errno := p.updateRef(x, h, inc, strong); errno != 0 {
		p.userError("changes the count of a handle it does not hold", "handle", h)
	}
	return 0
}
