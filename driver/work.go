// SPDX-License-Identifier: Apache-2.0

package driver

// deliverable is anything that a reader can receive. Core.mu is held in both
// methods; neither touches guest memory.
type deliverable interface {
	// deliver appends the BR commands of the item to the reader's response. It has
	// been taken off its list. last says that it ends the read.
	deliver(x *Exec, th *Thread, r *Request) (last bool)
	// cancel disposes of an item that nobody will read: its thread or process died.
	cancel(x *Exec)
}

// work is the list entry inside every deliverable. The zero value is on no list.
type work struct {
	item       deliverable
	prev, next *work
	list       *workList
}

func (w *work) queued() bool { return w.list != nil }

// workList is a FIFO of work, intrusive so that an item can leave from anywhere.
type workList struct{ head, tail *work }

func (l *workList) empty() bool { return l.head == nil }

func (l *workList) push(w *work) {
	if w.list != nil {
		panic("driver: work item is already queued")
	}
	w.list, w.prev, w.next = l, l.tail, nil
	if l.tail != nil {
		l.tail.next = w
	} else {
		l.head = w
	}
	l.tail = w
}

func (l *workList) pop() *work {
	w := l.head
	if w != nil {
		w.unlink()
	}
	return w
}

// unlink takes w off the list it is on, if any.
func (w *work) unlink() {
	l := w.list
	if l == nil {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.tail = w.prev
	}
	w.list, w.prev, w.next = nil, nil, nil
}

// drain cancels everything on the list.
func (l *workList) drain(x *Exec) {
	for w := l.pop(); w != nil; w = l.pop() {
		w.item.cancel(x)
	}
}
