// SPDX-License-Identifier: Apache-2.0

package alloc

// The two trees (free ranges by size, used ranges by offset) are treaps over the
// allocator's node table: expected depth 2 log2 n, no memory of their own.

type less func(a, b Range) bool

func (a *Allocator) bySize(x, y Range) bool {
	p, q := &a.nodes[x], &a.nodes[y]
	if p.size != q.size {
		return p.size < q.size
	}
	return p.off < q.off
}

func (a *Allocator) byOff(x, y Range) bool { return a.nodes[x].off < a.nodes[y].off }

func (a *Allocator) insert(root, r Range, lt less) Range {
	if root == none {
		a.nodes[r].left, a.nodes[r].right = none, none
		return r
	}
	if a.nodes[r].prio > a.nodes[root].prio {
		l, h := a.split(root, r, lt)
		a.nodes[r].left, a.nodes[r].right = l, h
		return r
	}
	if lt(r, root) {
		a.nodes[root].left = a.insert(a.nodes[root].left, r, lt)
	} else {
		a.nodes[root].right = a.insert(a.nodes[root].right, r, lt)
	}
	return root
}

// split divides the tree at key into what is less and what is not.
func (a *Allocator) split(root, key Range, lt less) (lo, hi Range) {
	if root == none {
		return none, none
	}
	if lt(root, key) {
		lo, hi = a.split(a.nodes[root].right, key, lt)
		a.nodes[root].right = lo
		return root, hi
	}
	lo, hi = a.split(a.nodes[root].left, key, lt)
	a.nodes[root].left = hi
	return lo, root
}

func (a *Allocator) remove(root, r Range, lt less) Range {
	if root == r {
		return a.merge(a.nodes[r].left, a.nodes[r].right)
	}
	if lt(r, root) {
		a.nodes[root].left = a.remove(a.nodes[root].left, r, lt)
	} else {
		a.nodes[root].right = a.remove(a.nodes[root].right, r, lt)
	}
	return root
}

func (a *Allocator) merge(lo, hi Range) Range {
	switch {
	case lo == none:
		return hi
	case hi == none:
		return lo
	case a.nodes[lo].prio > a.nodes[hi].prio:
		a.nodes[lo].right = a.merge(a.nodes[lo].right, hi)
		return lo
	default:
		a.nodes[hi].left = a.merge(lo, a.nodes[hi].left)
		return hi
	}
}
