// SPDX-License-Identifier: Apache-2.0

package virtiotest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"virtbinder/virtio"
)

// Flags of a descriptor.
const (
	DescNext     = 1
	DescWrite    = 2
	DescIndirect = 4
)

// Desc is one descriptor, as it stands in guest memory.
type Desc struct {
	Addr  uint64
	Len   uint32
	Flags uint16
	Next  uint16
}

// Span is a buffer in guest memory.
type Span struct {
	GPA uint64
	Len uint32
}

// Used is a chain that the device gave back.
type Used struct {
	Head    uint16 // what Submit returned
	Written uint32 // bytes that the device says it wrote
}

// ErrFull says that the ring has too few free descriptors.
var ErrFull = errors.New("virtiotest: the ring is full")

// Queue is the driver's side of one split ring.
type Queue struct {
	Ring
	machine     *Machine
	bell        func() // rings the doorbell
	useIndirect bool
	eventIdx    bool

	mu         sync.Mutex
	free       []uint16 // descriptors that are in no chain
	next       []uint16 // the driver's own copy of the links
	chainLen   []int    // descriptors of the chain that begins here
	availIdx   uint16
	availFlags uint32
	kickedIdx  uint16 // avail.idx at the last Kick
	lastUsed   uint16

	interrupts atomic.Int64
	wake       chan struct{}
	onSignal   atomic.Pointer[func()]
}

// Ring says where the driver has put a queue: what a driver in another process has
// to know to go on with it.
type Ring struct {
	Index, Size                int
	Features                   uint64 // as negotiated
	DescGPA, AvailGPA, UsedGPA uint64
	IndirectGPA                uint64 // one table of MaxChain descriptors per head
}

func newQueue(d *Driver, index, size int) *Queue {
	m := d.Machine
	bell := binary.LittleEndian.AppendUint16(nil, uint16(index))
	return OpenQueue(m, Ring{
		Index: index, Size: size, Features: d.Features,
		DescGPA: m.Alloc(16*size, 4096), AvailGPA: m.Alloc(8+2*size, 4), UsedGPA: m.Alloc(8+8*size, 4),
		IndirectGPA: m.Alloc(16*virtio.MaxChain*size, 16),
	}, func() { d.kick(index, bell) })
}

// OpenQueue drives a ring that nobody has used yet; bell rings its doorbell.
func OpenQueue(m *Machine, r Ring, bell func()) *Queue {
	q := &Queue{
		Ring: r, machine: m, bell: bell,
		useIndirect: r.Features&virtio.FeatureIndirectDesc != 0,
		eventIdx:    r.Features&virtio.FeatureEventIdx != 0,
		next:        make([]uint16, r.Size), chainLen: make([]int, r.Size),
		wake: make(chan struct{}, 1),
	}
	for i := range r.Size {
		q.free = append(q.free, uint16(r.Size-1-i))
	}
	return q
}

// Interrupts returns how many interrupts the queue has had.
func (q *Queue) Interrupts() int { return int(q.interrupts.Load()) }

// OnInterrupt has the queue's interrupts call f and wake nobody.
func (q *Queue) OnInterrupt(f func()) { q.onSignal.Store(&f) }

func (q *Queue) interrupt() {
	q.interrupts.Add(1)
	if f := q.onSignal.Load(); f != nil {
		(*f)()
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// SetIndirect chooses whether Submit uses indirect tables; by default it does for
// chains of two and more, if that was negotiated.
func (q *Queue) SetIndirect(on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.useIndirect = on && q.Features&virtio.FeatureIndirectDesc != 0
}

// Submit puts a chain of readable and then writable buffers on the ring and
// returns its head. The device is told by Kick.
func (q *Queue) Submit(readable, writable []Span) (head uint16, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	total := len(readable) + len(writable)
	if total == 0 {
		return 0, errors.New("virtiotest: an empty chain")
	}
	if q.useIndirect && total > 1 {
		return q.submitIndirectLocked(readable, writable)
	}
	if total > len(q.free) {
		return 0, ErrFull
	}
	head = q.free[len(q.free)-1]
	for i := range total {
		at := q.free[len(q.free)-1]
		q.free = q.free[:len(q.free)-1]
		d := chainDesc(readable, writable, i)
		if i < total-1 {
			d.Next = q.free[len(q.free)-1]
		}
		q.next[at] = d.Next
		q.SetDesc(int(at), d)
	}
	q.chainLen[head] = total
	q.offerLocked(head)
	return head, nil
}

func (q *Queue) submitIndirectLocked(readable, writable []Span) (head uint16, err error) {
	total := len(readable) + len(writable)
	if len(q.free) == 0 {
		return 0, ErrFull
	}
	if total > virtio.MaxChain {
		return 0, fmt.Errorf("virtiotest: a chain of %d", total)
	}
	head = q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	table := q.IndirectGPA + uint64(head)*16*virtio.MaxChain
	for i := range total {
		d := chainDesc(readable, writable, i)
		if i < total-1 {
			d.Next = uint16(i + 1)
		}
		PutDesc(q.machine.Bytes(table+16*uint64(i), 16), d)
	}
	q.SetDesc(int(head), Desc{Addr: table, Len: uint32(16 * total), Flags: DescIndirect})
	q.chainLen[head] = 1
	q.offerLocked(head)
	return head, nil
}

// chainDesc is descriptor i of a chain, but for its Next.
func chainDesc(readable, writable []Span, i int) Desc {
	var d Desc
	if i < len(readable) {
		d = Desc{Addr: readable[i].GPA, Len: readable[i].Len}
	} else {
		s := writable[i-len(readable)]
		d = Desc{Addr: s.GPA, Len: s.Len, Flags: DescWrite}
	}
	if i < len(readable)+len(writable)-1 {
		d.Flags |= DescNext
	}
	return d
}

// SetDesc writes a descriptor of the queue's own table, whatever is there.
func (q *Queue) SetDesc(i int, d Desc) {
	PutDesc(q.machine.Bytes(q.DescGPA+16*uint64(i), 16), d)
}

// PutDesc writes a descriptor into b, which has at least 16 bytes.
func PutDesc(b []byte, d Desc) {
	binary.LittleEndian.PutUint64(b, d.Addr)
	binary.LittleEndian.PutUint32(b[8:], d.Len)
	binary.LittleEndian.PutUint16(b[12:], d.Flags)
	binary.LittleEndian.PutUint16(b[14:], d.Next)
}

// Offer puts a head on the driver's ring, sound or not.
func (q *Queue) Offer(head uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.offerLocked(head)
}

func (q *Queue) offerLocked(head uint16) {
	slot := q.AvailGPA + 4 + 2*uint64(int(q.availIdx)&(q.Size-1))
	binary.LittleEndian.PutUint16(q.machine.Bytes(slot, 2), head)
	q.setAvailIdxLocked(q.availIdx + 1)
}

// SetAvailIdx publishes any avail index.
func (q *Queue) SetAvailIdx(v uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.setAvailIdxLocked(v)
}

func (q *Queue) setAvailIdxLocked(v uint16) {
	q.availIdx = v
	atomic.StoreUint32(q.word(q.AvailGPA), uint32(v)<<16|q.availFlags)
}

// word is the aligned 32-bit word at gpa; flags are its low half, and idx its high
// half, on the little-endian machines that tests run on.
func (q *Queue) word(gpa uint64) *uint32 {
	return (*uint32)(unsafe.Pointer(&q.machine.Bytes(gpa, 4)[0]))
}

// Kick rings the doorbell, unless the device asked not to be told. It reports
// whether it did.
func (q *Queue) Kick() bool {
	q.mu.Lock()
	old, now := q.kickedIdx, q.availIdx
	q.kickedIdx = now
	need := true
	if q.eventIdx {
		event := uint16(atomic.LoadUint32(q.word(q.UsedGPA + 4 + 8*uint64(q.Size))))
		need = now-event-1 < now-old
	}
	q.mu.Unlock()
	if need {
		q.bell()
	}
	return need
}

// ForceKick rings the doorbell whatever the device asked.
func (q *Queue) ForceKick() { q.bell() }

// Used takes the next chain that the device gave back; ok is false if there is
// none.
func (q *Queue) Used() (u Used, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.usedLocked()
}

func (q *Queue) usedLocked() (u Used, ok bool) {
	idx := uint16(atomic.LoadUint32(q.word(q.UsedGPA)) >> 16)
	if idx == q.lastUsed {
		return Used{}, false
	}
	b := q.machine.Bytes(q.UsedGPA+4+8*uint64(int(q.lastUsed)&(q.Size-1)), 8)
	u = Used{Head: uint16(binary.LittleEndian.Uint32(b)), Written: binary.LittleEndian.Uint32(b[4:])}
	q.lastUsed++
	q.releaseLocked(u.Head)
	return u, true
}

// releaseLocked frees a chain's descriptors.
func (q *Queue) releaseLocked(head uint16) {
	at := head
	for range q.chainLen[head] {
		q.free = append(q.free, at)
		at = q.next[at]
	}
	q.chainLen[head] = 0
}

// WantInterrupt asks for an interrupt about the next used chain (EVENT_IDX), and
// reports false if there is one already.
func (q *Queue) WantInterrupt() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	atomic.StoreUint32(q.usedEventWord(), uint32(q.lastUsed))
	return uint16(atomic.LoadUint32(q.word(q.UsedGPA))>>16) == q.lastUsed
}

// SuppressInterrupts asks for no interrupts: by flag, or by an event index that is
// far away.
func (q *Queue) SuppressInterrupts() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.eventIdx {
		atomic.StoreUint32(q.usedEventWord(), uint32(q.lastUsed-1))
		return
	}
	q.availFlags = 1
	q.setAvailIdxLocked(q.availIdx)
}

// usedEventWord is the word of used_event, after the ring of an even number of
// entries or, in a ring of one, beside the entry; tests use rings of two and more.
func (q *Queue) usedEventWord() *uint32 { return q.word(q.AvailGPA + 4 + 2*uint64(q.Size)) }

// Wait returns the next used chain, sleeping until an interrupt if there is none.
// Its head may be in use again as soon as Wait has released it: several submitters
// take WaitReady, and Used under a lock of their own.
func (q *Queue) Wait(ctx context.Context) (Used, error) {
	for {
		if err := q.WaitReady(ctx); err != nil {
			return Used{}, err
		}
		if u, ok := q.Used(); ok {
			return u, nil
		}
	}
}

// WaitReady sleeps until there is a used chain.
func (q *Queue) WaitReady(ctx context.Context) error {
	for !q.HasUsed() {
		if !q.WantInterrupt() {
			continue
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return fmt.Errorf("virtiotest: queue %d: no answer: %w", q.Index, ctx.Err())
		}
	}
	return nil
}

// Put copies b into fresh guest memory.
func (q *Queue) Put(b []byte) Span {
	gpa := q.machine.Alloc(len(b), 8)
	copy(q.machine.Bytes(gpa, len(b)), b)
	return Span{GPA: gpa, Len: uint32(len(b))}
}

// Room takes n bytes of fresh guest memory.
func (q *Queue) Room(n int) Span {
	return Span{GPA: q.machine.Alloc(n, 8), Len: uint32(n)}
}

// Bytes returns the guest memory of a span.
func (q *Queue) Bytes(s Span) []byte { return q.machine.Bytes(s.GPA, int(s.Len)) }

// Call submits one request with room for an answer, kicks, waits for it and
// returns what was written. It must not be mixed with other requests on the queue.
func (q *Queue) Call(ctx context.Context, request []byte, room int) ([]byte, error) {
	var readable, writable []Span
	if len(request) > 0 {
		readable = []Span{q.Put(request)}
	}
	if room > 0 {
		writable = []Span{q.Room(room)}
	}
	head, err := q.Submit(readable, writable)
	if err != nil {
		return nil, err
	}
	q.Kick()
	u, err := q.Wait(ctx)
	if err != nil {
		return nil, err
	}
	if u.Head != head {
		return nil, fmt.Errorf("virtiotest: chain %d came back, want %d", u.Head, head)
	}
	if u.Written == 0 {
		return nil, nil
	}
	return q.Bytes(writable[0])[:u.Written], nil
}

// HasUsed reports whether Used would return a chain.
func (q *Queue) HasUsed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return uint16(atomic.LoadUint32(q.word(q.UsedGPA))>>16) != q.lastUsed
}

// Drain takes all chains that the device gave back so far.
func (q *Queue) Drain() []Used {
	var all []Used
	for {
		u, ok := q.Used()
		if !ok {
			return all
		}
		all = append(all, u)
	}
}

// UsedIdx returns used.idx as it stands in guest memory.
func (q *Queue) UsedIdx() uint16 { return uint16(atomic.LoadUint32(q.word(q.UsedGPA)) >> 16) }
