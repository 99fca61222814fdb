// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"virtbinder/internal/guestmem"
)

// MaxQueueSize is the largest ring the specification allows, in descriptors.
const MaxQueueSize = 32768

// ErrReset says that a chain's queue was reset since the chain was taken.
var ErrReset = errors.New("virtio: the queue was reset")

// RingError says how a driver broke the rules of a ring. The device that meets
// one has already been failed.
type RingError struct {
	Queue  string // which queue, for the log
	Reason string // what was wrong
	Cause  error  // nil or what made it so, such as a *guestmem.RangeError
}

func (e *RingError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Queue, e.Reason, e.Cause)
	}
	return e.Queue + ": " + e.Reason
}

// Unwrap returns the cause.
func (e *RingError) Unwrap() error { return e.Cause }

// QueueConfig is what a transport knows of a queue when the driver is ready.
type QueueConfig struct {
	Name     string           // for errors, such as "vsock queue 1"
	Memory   *guestmem.Memory // where the rings and buffers are
	Size     uint16           // descriptors, a power of two; 0 for a queue that was not enabled
	Desc     uint64           // guest address of the descriptor table, aligned to 16
	Avail    uint64           // guest address of the driver's ring, aligned to 2
	Used     uint64           // guest address of the device's ring, aligned to 4
	Features uint64           // as negotiated: INDIRECT_DESC and EVENT_IDX matter here
	Signal   func()           // raises the queue's interrupt
	Fail     func(error)      // told once when the ring is broken
}

// Queue is the device's side of one split ring. Its methods may be called from
// any goroutine, in any order and after a reset; they allocate nothing unless
// they fail.
type Queue struct {
	// Invariant after newQueue.
	cfg        QueueConfig
	desc       []byte // descriptor table
	avail      []byte // flags, idx, ring, used_event
	used       []byte // flags, idx, ring, avail_event
	availFlags shared16
	availIdx   shared16
	usedEvent  shared16
	usedIdx    shared16
	availEvent shared16
	indirectOK bool
	eventIdx   bool

	stopped atomic.Bool  // reset, broken or never enabled; set under mu
	polled  atomic.Bool  // see Poll
	copies  atomic.Int64 // chain copies in flight; see enter

	mu    sync.Mutex // a leaf: nothing is called while it is held
	state queueState
}

// queueState is what Queue.mu guards.
type queueState struct {
	lastAvail uint16   // next entry of the avail ring to take
	lastUsed  uint16   // used.idx, as we last published it
	signalled uint16   // used.idx when Interrupt last decided
	fresh     bool     // something was pushed since then
	lapped    bool     // so much was pushed since then that signalled means nothing
	inflight  []uint64 // one bit per head that was popped and not pushed
	count     QueueCounts
}

const (
	availHeader = 4 // bytes before the ring of entries: flags, idx
	usedHeader  = 4
	usedElem    = 8
	descSize    = 16
)

// NewQueue checks where the driver put the rings and returns the device's side of
// the queue. A Size of 0 gives a queue that is never ready.
func NewQueue(cfg QueueConfig) (*Queue, error) {
	q := &Queue{cfg: cfg}
	if cfg.Size == 0 {
		q.stopped.Store(true)
		return q, nil
	}
	if cfg.Size > MaxQueueSize || cfg.Size&(cfg.Size-1) != 0 {
		return nil, q.ringError("size %d is not a power of two up to %d", cfg.Size, MaxQueueSize)
	}
	if err := q.mapRings(); err != nil {
		return nil, err
	}
	q.indirectOK = cfg.Features&FeatureIndirectDesc != 0
	q.eventIdx = cfg.Features&FeatureEventIdx != 0
	q.state.inflight = make([]uint64, (int(cfg.Size)+63)/64)
	return q, nil
}

// mapRings finds the three parts of the ring in guest memory.
func (q *Queue) mapRings() (err error) {
	n := uint64(q.cfg.Size)
	parts := []struct {
		name       string
		gpa, bytes uint64
		align      uint64
		to         *[]byte
	}{
		{"descriptor table", q.cfg.Desc, n * descSize, 16, &q.desc},
		{"driver ring", q.cfg.Avail, availHeader + n*2 + 2, 2, &q.avail},
		{"device ring", q.cfg.Used, usedHeader + n*usedElem + 2, 4, &q.used},
	}
	for _, p := range parts {
		if p.gpa%p.align != 0 {
			return q.ringError("%s at %#x is not aligned to %d", p.name, p.gpa, p.align)
		}
		if *p.to, err = q.cfg.Memory.Slice(p.gpa, p.bytes); err != nil {
			return &RingError{Queue: q.cfg.Name, Reason: p.name, Cause: err}
		}
	}
	fields := []struct {
		f   *shared16
		b   []byte
		off uint64
	}{
		{&q.availFlags, q.avail, 0},
		{&q.availIdx, q.avail, 2},
		{&q.usedEvent, q.avail, availHeader + n*2},
		{&q.usedIdx, q.used, 2},
		{&q.availEvent, q.used, usedHeader + n*usedElem},
	}
	for _, f := range fields {
		if *f.f, err = newShared16(f.b, f.off); err != nil {
			return &RingError{Queue: q.cfg.Name, Reason: "ring", Cause: err}
		}
	}
	return nil
}

// Size returns the number of descriptors in the ring, 0 if the driver did not
// enable the queue.
func (q *Queue) Size() int { return int(q.cfg.Size) }

// Pop takes the next chain from the ring and proves all of it: at most MaxChain
// descriptors, every range in guest memory, readable ones before writable ones.
// It reports false when there is none; the driver will then notify about the next
// one. An error means that the ring is broken: the device has been failed and the
// queue gives nothing more.
//
// A chain stays valid until it is pushed, for as long as the caller likes.
func (q *Queue) Pop(c *Chain) (ok bool, err error) {
	q.mu.Lock()
	ok, err = q.popLocked(c)
	q.mu.Unlock()
	if err != nil {
		q.fail(err)
	}
	return ok, err
}

func (q *Queue) popLocked(c *Chain) (ok bool, err error) {
	if q.stopped.Load() {
		return false, nil
	}
	if c.queue != nil {
		return false, errChainInUse // a bug of the device, not of the guest
	}
	defer q.stopOn(&err)
	defer guestmem.Recover(guestmem.Enter(), &err)
	s := &q.state
	ready, err := q.availableLocked()
	if err != nil || !ready {
		return false, err
	}
	slot := availHeader + 2*uint64(s.lastAvail&(q.cfg.Size-1))
	head := binary.LittleEndian.Uint16(q.avail[slot:])
	if err := q.claimLocked(head); err != nil {
		return false, err
	}
	if err := q.walk(c, head); err != nil {
		return false, err
	}
	s.lastAvail++
	s.count.Taken++
	c.queue, c.head = q, head
	return true, nil
}

// availableLocked reports whether the driver has put up a chain. If it has not, and
// nobody polls, it asks for a notification about the next one and looks again, so that
// no chain is missed between the two.
func (q *Queue) availableLocked() (bool, error) {
	n, err := q.pendingLocked()
	if n > 0 || err != nil || !q.eventIdx || q.polled.Load() {
		return n > 0, err
	}
	if err := q.availEvent.store(q.state.lastAvail); err != nil {
		return false, &RingError{Queue: q.cfg.Name, Reason: "avail_event", Cause: err}
	}
	n, err = q.pendingLocked()
	return n > 0, err
}

// pendingLocked returns how many chains wait in the ring.
func (q *Queue) pendingLocked() (uint16, error) {
	idx := q.availIdx.load()
	n := idx - q.state.lastAvail
	if n > q.cfg.Size {
		return 0, q.ringError("avail index %d is more than %d ahead of %d", idx, q.cfg.Size, q.state.lastAvail)
	}
	return n, nil
}

// claimLocked marks a head as in flight; a driver must not offer one twice.
func (q *Queue) claimLocked(head uint16) error {
	if head >= q.cfg.Size {
		return q.ringError("head %d is outside the table of %d", head, q.cfg.Size)
	}
	word, bit := &q.state.inflight[head/64], uint64(1)<<(head%64)
	if *word&bit != 0 {
		return q.ringError("head %d was offered again while in flight", head)
	}
	*word |= bit
	return nil
}

// Push gives a chain back with the number of bytes written into its writable
// part. Chains may be pushed in any order, from any goroutine. It does not
// interrupt the driver; see Interrupt. Pushing a chain whose queue was reset, or
// one that was pushed before, does nothing but make the Chain reusable.
func (q *Queue) Push(c *Chain, written uint32) {
	if c.queue != q {
		return
	}
	head := c.head
	if int64(written) > int64(c.writable) {
		written = uint32(c.writable)
	}
	q.mu.Lock()
	c.queue = nil
	err := q.pushLocked(head, written)
	q.mu.Unlock()
	if err != nil {
		q.fail(err)
	}
}

func (q *Queue) pushLocked(head uint16, written uint32) (err error) {
	if q.stopped.Load() {
		return nil
	}
	defer q.stopOn(&err)
	defer guestmem.Recover(guestmem.Enter(), &err)
	s := &q.state
	s.inflight[head/64] &^= 1 << (head % 64)
	elem := q.used[usedHeader+usedElem*uint64(s.lastUsed&(q.cfg.Size-1)):]
	binary.LittleEndian.PutUint32(elem, uint32(head))
	binary.LittleEndian.PutUint32(elem[4:], written)
	s.lastUsed++
	s.count.Returned++
	s.fresh = true
	s.lapped = s.lapped || s.lastUsed == s.signalled
	return q.usedIdx.store(s.lastUsed)
}

// Interrupt tells the driver about the chains pushed since the last call, unless
// it asked not to be told.
func (q *Queue) Interrupt() {
	q.mu.Lock()
	want, err := q.wantsInterruptLocked()
	if want {
		q.state.count.Interrupts++
	}
	q.mu.Unlock()
	if err != nil {
		q.fail(err)
	}
	if want && q.cfg.Signal != nil {
		q.cfg.Signal()
	}
}

func (q *Queue) wantsInterruptLocked() (want bool, err error) {
	if q.stopped.Load() {
		return false, nil
	}
	defer q.stopOn(&err)
	defer guestmem.Recover(guestmem.Enter(), &err)
	s := &q.state
	if !s.fresh {
		return false, nil
	}
	old, now, lapped := s.signalled, s.lastUsed, s.lapped
	s.signalled, s.fresh, s.lapped = now, false, false
	if !q.eventIdx {
		const noInterrupt = 1 // VIRTQ_AVAIL_F_NO_INTERRUPT
		return q.availFlags.load()&noInterrupt == 0, nil
	}
	return crossed(q.usedEvent.load(), old, now) || lapped, nil
}

// crossed reports whether an index that went from old to now has passed event,
// that is whether old <= event < now in arithmetic modulo 65536.
func crossed(event, old, now uint16) bool {
	return now-event-1 < now-old
}

// stopOn stops the queue when the method that defers it ends with an error.
// Called with mu held.
func (q *Queue) stopOn(err *error) {
	if *err != nil {
		q.stopped.Store(true)
	}
}

// fail reports a broken ring. It must be called without mu.
func (q *Queue) fail(err error) {
	if q.cfg.Fail != nil && err != errChainInUse {
		q.cfg.Fail(err)
	}
}

// Stop makes the queue dead for good: Pop finds nothing, Push and Interrupt do
// nothing, and copies by its chains fail with ErrReset. It returns when the copies
// in flight have ended. The transport calls it on reset.
func (q *Queue) Stop() {
	q.mu.Lock()
	q.stopped.Store(true)
	q.mu.Unlock()
	for q.copies.Load() != 0 {
		runtime.Gosched() // a copy is bounded by its chain
	}
}

// enter pins the queue for one copy by a chain; it fails after Stop.
func (q *Queue) enter() bool {
	q.copies.Add(1)
	if q.stopped.Load() {
		q.copies.Add(-1)
		return false
	}
	return true
}

func (q *Queue) leave() { q.copies.Add(-1) }

func (q *Queue) ringError(format string, args ...any) *RingError {
	return &RingError{Queue: q.cfg.Name, Reason: fmt.Sprintf(format, args...)}
}
