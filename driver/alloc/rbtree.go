// SPDX-License-Identifier: Apache-2.0

package alloc

// The free ranges are a red-black tree by size, over the allocator's node table: no
// memory of its own, and balanced as the kernel's is, so that of several free ranges
// of the same size the same one is taken.

func (a *Allocator) red(r Range) bool { return r != none && a.nodes[r].red }

// insert adds r, behind the ranges of its size.
func (a *Allocator) insert(r Range) {
	n := &a.nodes[r]
	n.left, n.right, n.parent, n.red = none, none, none, true
	link := &a.root
	for *link != none {
		n.parent = *link
		at := &a.nodes[n.parent]
		if link = &at.right; n.size < at.size {
			link = &at.left
		}
	}
	*link = r
	a.afterInsert(r)
}

// afterInsert restores the rule that no red node has a red child.
func (a *Allocator) afterInsert(r Range) {
	for a.red(a.nodes[r].parent) {
		p := a.nodes[r].parent
		g := a.nodes[p].parent
		left := a.nodes[g].left == p
		if uncle := a.child(g, !left); a.red(uncle) {
			a.nodes[p].red, a.nodes[uncle].red, a.nodes[g].red = false, false, true
			r = g
			continue
		}
		if a.child(p, !left) == r {
			a.rotate(p, left)
			r, p = p, r
		}
		a.nodes[p].red, a.nodes[g].red = false, true
		a.rotate(g, !left)
	}
	a.nodes[a.root].red = false
}

// remove takes r out of the tree.
func (a *Allocator) remove(r Range) {
	n := a.nodes[r]
	var lifted, parent Range // what takes the place of the node that is lost, and where
	lostBlack := !n.red
	switch {
	case n.left == none:
		lifted, parent = n.right, n.parent
		a.replace(r, lifted)
	case n.right == none:
		lifted, parent = n.left, n.parent
		a.replace(r, lifted)
	default:
		next := n.right
		for a.nodes[next].left != none {
			next = a.nodes[next].left
		}
		s := &a.nodes[next]
		lostBlack, lifted, parent = !s.red, s.right, s.parent
		if parent == r {
			parent = next
		} else {
			a.replace(next, lifted)
			s.right = n.right
			a.nodes[n.right].parent = next
		}
		a.replace(r, next)
		s.left, s.red = n.left, n.red
		a.nodes[n.left].parent = next
	}
	if lostBlack {
		a.afterRemove(lifted, parent)
	}
}

// afterRemove restores the rule that all paths have as many black nodes: those
// through r, a child of parent, have one too few.
func (a *Allocator) afterRemove(r, parent Range) {
	for r != a.root && !a.red(r) {
		left := a.nodes[parent].left == r
		sib := a.child(parent, !left)
		if a.red(sib) {
			a.nodes[sib].red, a.nodes[parent].red = false, true
			a.rotate(parent, left)
			sib = a.child(parent, !left)
		}
		if !a.red(a.child(sib, true)) && !a.red(a.child(sib, false)) {
			a.nodes[sib].red = true
			r, parent = parent, a.nodes[parent].parent
			continue
		}
		if far := a.child(sib, !left); !a.red(far) {
			a.nodes[a.child(sib, left)].red, a.nodes[sib].red = false, true
			a.rotate(sib, !left)
			sib = a.child(parent, !left)
		}
		a.nodes[sib].red, a.nodes[parent].red = a.nodes[parent].red, false
		a.nodes[a.child(sib, !left)].red = false
		a.rotate(parent, left)
		r = a.root
	}
	if r != none {
		a.nodes[r].red = false
	}
}

func (a *Allocator) child(r Range, left bool) Range {
	if left {
		return a.nodes[r].left
	}
	return a.nodes[r].right
}

// replace puts s, which may be none, where r is.
func (a *Allocator) replace(r, s Range) {
	p := a.nodes[r].parent
	if s != none {
		a.nodes[s].parent = p
	}
	switch {
	case p == none:
		a.root = s
	case a.nodes[p].left == r:
		a.nodes[p].left = s
	default:
		a.nodes[p].right = s
	}
}

// rotate lifts a child of r above it: the right one when left, and so to the left.
func (a *Allocator) rotate(r Range, left bool) {
	c := a.child(r, !left)
	a.replace(r, c)
	n, up := &a.nodes[r], &a.nodes[c]
	inner := &up.left
	outer := &n.right
	if !left {
		inner, outer = &up.right, &n.left
	}
	*outer = *inner
	if *inner != none {
		a.nodes[*inner].parent = r
	}
	*inner = r
	n.parent = c
}
