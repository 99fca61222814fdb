// SPDX-License-Identifier: Apache-2.0

package virtio_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"virtbinder/virtio"
	"virtbinder/virtio/virtiotest"
)

// crowd is a device whose doorbell hands chains to a pool of goroutines, which
// answer in any order: like the binder device with its parked reads.
type crowd struct {
	*virtiotest.Echo
	jobs    chan *virtio.Chain
	workers sync.WaitGroup
	queue   atomic.Pointer[virtio.Queue]
}

func newCrowd() *crowd { return &crowd{Echo: virtiotest.NewEcho(64)} }

func (c *crowd) Activate(a virtio.Activation) error {
	c.queue.Store(a.Queues[0])
	c.jobs = make(chan *virtio.Chain, 64)
	for range 4 {
		c.workers.Go(func() {
			for chain := range c.jobs {
				c.answer(a.Queues[0], chain)
			}
		})
	}
	return nil
}

// answer adds one to the number in the request.
func (c *crowd) answer(q *virtio.Queue, chain *virtio.Chain) {
	var b [8]byte
	_ = chain.ReadAt(b[:], 0) // fails after a reset
	binary.LittleEndian.PutUint64(b[:], binary.LittleEndian.Uint64(b[:])+1)
	_ = chain.WriteAt(b[:], 0)
	q.Push(chain, 8)
	q.Interrupt()
}

func (c *crowd) Notify(int) {
	q := c.queue.Load()
	for {
		chain := new(virtio.Chain)
		if ok, err := q.Pop(chain); !ok || err != nil {
			return
		}
		c.jobs <- chain
	}
}

func (c *crowd) Reset() {
	if c.jobs != nil {
		close(c.jobs)
		c.workers.Wait()
		c.jobs = nil
	}
}

// TestManyKickersManyAnswerers has several vCPUs kick one queue while several
// goroutines answer out of order. Every request gets its own answer.
func TestManyKickersManyAnswerers(t *testing.T) {
	for name, f := range features {
		for _, inline := range []bool{true, false} {
			t.Run(map[bool]string{true: "inline/", false: "worker/"}[inline]+name, func(t *testing.T) {
				dev := newCrowd()
				d := start(t, dev, virtiotest.Config{Inline: inline, Features: f})
				q := d.Queue(0)
				const requests = 4000
				var mu sync.Mutex
				waiting := map[uint16]virtiotest.Span{} // by head: where the answer goes
				want := map[uint16]uint64{}
				var submitted sync.WaitGroup
				tickets := make(chan virtiotest.Span, 24)
				for range cap(tickets) {
					tickets <- q.Room(16)
				}
				var next atomic.Uint64
				for range 3 {
					submitted.Go(func() {
						for {
							n := next.Add(1)
							if n > requests {
								return
							}
							s := <-tickets
							binary.LittleEndian.PutUint64(q.Bytes(s), n)
							mu.Lock()
							head, err := q.Submit([]virtiotest.Span{{GPA: s.GPA, Len: 8}}, []virtiotest.Span{{GPA: s.GPA + 8, Len: 8}})
							if err != nil {
								mu.Unlock()
								t.Error(err)
								return
							}
							waiting[head], want[head] = s, n+1
							mu.Unlock()
							q.Kick()
						}
					})
				}
				ctx := patience(t)
				for range requests {
					if err := q.WaitReady(ctx); err != nil {
						t.Fatal(err)
					}
					mu.Lock()
					u, ok := q.Used()
					if !ok {
						t.Fatal("nothing there")
					}
					s, n := waiting[u.Head], want[u.Head]
					delete(waiting, u.Head)
					mu.Unlock()
					if got := binary.LittleEndian.Uint64(q.Bytes(s)[8:]); got != n || u.Written != 8 {
						t.Fatalf("answer %d, want %d", got, n)
					}
					tickets <- s
				}
				submitted.Wait()
			})
		}
	}
}

// TestResetAmidTraffic resets the device at random moments while vCPUs kick and
// goroutines answer. Nothing is answered after a reset, and nothing hangs.
func TestResetAmidTraffic(t *testing.T) {
	for _, inline := range []bool{true, false} {
		dev := newCrowd()
		d := start(t, dev, virtiotest.Config{Inline: inline, Memory: 64 << 20})
		for range 30 {
			q := d.Queue(0)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					s := q.Room(8)
					for {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := q.Submit([]virtiotest.Span{s}, nil); err == nil {
							q.Kick()
						}
						q.Drain()
					}
				})
			}
			for range rand.IntN(2000) {
				d.Status()
			}
			d.SetStatus(0)
			used := q.UsedIdx()
			close(stop)
			wg.Wait()
			if got := q.UsedIdx(); got != used {
				t.Fatalf("used index went from %d to %d after the reset", used, got)
			}
			if err := d.Up(0); err != nil {
				t.Fatal(err)
			}
		}
	}
}
