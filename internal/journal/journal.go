// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"sync"
	"time"

	"virtbinder/netlink"
)

// Remembered is how many records a machine's journal keeps.
const Remembered = 4096

// Journal is the ring. Its methods may be called from any number of goroutines.
type Journal struct {
	mu    sync.Mutex
	state journalState // guarded by mu
	more  sync.Cond    // on mu: there is more, or a reader has to end
}

// journalState is what Journal.mu guards.
type journalState struct {
	ring    []Record // record seq is at (seq-1) % len
	last    uint64   // seq of the newest
	closed  bool
	waiting int // readers that sleep
	counts  map[countKey]uint64
}

type countKey struct {
	kind Kind
	err  uint32
}

// New makes a journal that remembers size records.
func New(size int) *Journal {
	j := &Journal{state: journalState{ring: make([]Record, size), counts: map[countKey]uint64{}}}
	j.more.L = &j.mu
	return j
}

// Append adds a copy of r, numbered and dated; the oldest record may go for it. It
// does not wait.
func (j *Journal) Append(r Record) {
	r.Time = time.Now()
	j.mu.Lock()
	s := &j.state
	s.last++
	r.Seq = s.last
	s.ring[(s.last-1)%uint64(len(s.ring))] = r
	s.counts[countKey{r.Kind, r.Report.Error}]++
	wake := s.waiting > 0
	j.mu.Unlock()
	if wake {
		j.more.Broadcast()
	}
}

// Counts is how many records there were, by the BR code of reports and by the kind
// of others.
func (j *Journal) Counts() map[string]uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[string]uint64{}
	for k, n := range j.state.counts {
		name := string(k.kind)
		if k.kind == KindReport {
			name = netlink.ErrorName(k.err)
		}
		out[name] += n
	}
	return out
}

// Close ends the readers, once each has read what is there.
func (j *Journal) Close() {
	j.mu.Lock()
	j.state.closed = true
	j.mu.Unlock()
	j.more.Broadcast()
}

// Reader is a place in the journal. Next is for one goroutine.
type Reader struct {
	j       *Journal
	next    uint64 // seq
	stopped bool   // guarded by j.mu
}

// Reader starts at the oldest record that is remembered now.
func (j *Journal) Reader() *Reader {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &Reader{j: j, next: j.state.oldest()}
}

// oldest is the seq of the oldest record that is remembered.
func (s *journalState) oldest() uint64 {
	if size := uint64(len(s.ring)); s.last > size {
		return s.last - size + 1
	}
	return 1
}

// Next waits for records and copies some into out; lost says how many before them
// are forgotten. ok is false at the end.
func (r *Reader) Next(out []Record) (n int, lost uint64, ok bool) {
	j := r.j
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.state
	for s.last < r.next && !s.closed && !r.stopped {
		s.waiting++
		j.more.Wait()
		s.waiting--
	}
	if r.stopped || s.last < r.next {
		return 0, 0, false
	}
	if oldest := s.oldest(); r.next < oldest {
		lost = oldest - r.next
		r.next = oldest
	}
	size := uint64(len(s.ring))
	for n < len(out) && r.next <= s.last {
		out[n] = s.ring[(r.next-1)%size]
		r.next++
		n++
	}
	return n, lost, true
}

// Stop makes Next return.
func (r *Reader) Stop() {
	r.j.mu.Lock()
	r.stopped = true
	r.j.mu.Unlock()
	r.j.more.Broadcast()
}

// Feed hands each report to emit until the journal is closed; lost is told how many
// it came too late for.
func (j *Journal) Feed(emit func(netlink.Report), lost func(uint64)) {
	r, batch := j.Reader(), make([]Record, 64)
	for {
		n, missed, ok := r.Next(batch)
		if !ok {
			return
		}
		if missed > 0 {
			lost(missed)
		}
		for i := range n {
			if batch[i].Kind == KindReport {
				emit(batch[i].Report)
			}
		}
	}
}
