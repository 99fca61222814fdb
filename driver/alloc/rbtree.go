// SPDX-License-Identifier: Apache-2.0

package alloc

// The two trees (free ranges by size, used ranges by offset) are red-black trees over
// the allocator's node table: no memory of their own, and balanced as the kernel's
// are, so that of several free ranges of the same size the same one is taken.

type less func(a, b Range) bool

// bySize puts a range behind those of its size.
func (a *Allocator) bySize(x, y Range) bool { return a.nodes[x].size < a.nodes[y].size }

func (a *Allocator) byOff(x, y Range) bool { return a.nodes[x].off < a.nodes[y].off }

func (a *Allocator) red(r Range) bool { return r != none && a.nodes[r].red }

// insert adds r below root and returns the new root.
func (a *Allocator) insert(root, r Range, lt less) Range {
	n := &a.nodes[r]
	n.left, n.right, n.parent, n.red = none, none, none, true
	for at := root; at != none; {
		n.parent = at
		if lt(r, at) {
			at = a.nodes[at].left
		} else {
			at = a.nodes[at].right
		}
	}
	switch p := n.parent; {
	case p == none:
		root = r
	case lt(r, p):
		a.nodes[p].left = r
	default:
		a.nodes[p].right = r
	}
	return a.afterInsert(root, r)
}

// afterInsert restores the rule that no red node has a red child.
func (a *Allocator) afterInsert(root, r Range) Range {
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
			root = a.rotate(root, p, left)
			r, p = p, r
		}
		a.nodes[p].red, a.nodes[g].red = false, true
		root = a.rotate(root, g, !left)
	}
	a.nodes[root].red = false
	return root
}

// remove takes r out of the tree and returns the new root.
func (a *Allocator) remove(root, r Range) Range {
	n := a.nodes[r]
	var lifted, parent Range // what takes the place of the node that is lost, and where
	lostBlack := !n.red
	switch {
	case n.left == none:
		lifted, parent = n.right, n.parent
		root = a.replace(root, r, lifted)
	case n.right == none:
		lifted, parent = n.left, n.parent
		root = a.replace(root, r, lifted)
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
			root = a.replace(root, next, lifted)
			s.right = n.right
			a.nodes[n.right].parent = next
		}
		root = a.replace(root, r, next)
		s.left, s.red = n.left, n.red
		a.nodes[n.left].parent = next
	}
	if lostBlack {
		root = a.afterRemove(root, lifted, parent)
	}
	return root
}

// afterRemove restores the rule that all paths have as many black nodes: those
// through r, a child of parent, have one too few.
func (a *Allocator) afterRemove(root, r, parent Range) Range {
	for r != root && !a.red(r) {
		left := a.nodes[parent].left == r
		sib := a.child(parent, !left)
		if a.red(sib) {
			a.nodes[sib].red, a.nodes[parent].red = false, true
			root = a.rotate(root, parent, left)
			sib = a.child(parent, !left)
		}
		if !a.red(a.child(sib, true)) && !a.red(a.child(sib, false)) {
			a.nodes[sib].red = true
			r, parent = parent, a.nodes[parent].parent
			continue
		}
		if far := a.child(sib, !left); !a.red(far) {
			a.nodes[a.child(sib, left)].red, a.nodes[sib].red = false, true
			root = a.rotate(root, sib, !left)
			sib = a.child(parent, !left)
		}
		a.nodes[sib].red, a.nodes[parent].red = a.nodes[parent].red, false
		a.nodes[a.child(sib, !left)].red = false
		root = a.rotate(root, parent, left)
		r = root
	}
	if r != none {
		a.nodes[r].red = false
	}
	return root
}

func (a *Allocator) child(r Range, left bool) Range {
	if left {
		return a.nodes[r].left
	}
	return a.nodes[r].right
}

// replace puts s, which may be none, where r is.
func (a *Allocator) replace(root, r, s Range) Range {
	p := a.nodes[r].parent
	if s != none {
		a.nodes[s].parent = p
	}
	switch {
	case p == none:
		return s
	case a.nodes[p].left == r:
		a.nodes[p].left = s
	default:
		a.nodes[p].right = s
	}
	return root
}

// rotate lifts a child of r above it: the right one when left, and so to the left.
func (a *Allocator) rotate(root, r Range, left bool) Range {
	c := a.child(r, !left)
	root = a.replace(root, r, c)
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
	return root
}
