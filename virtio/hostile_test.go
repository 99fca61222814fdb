// SPDX-License-Identifier: Apache-2.0

package virtio_test

import (
	"testing"

	"virtbinder/virtio"
	"virtbinder/virtio/virtiotest"
)

// TestHostileRingsFailOnlyTheDevice breaks one rule of the ring at a time.
func TestHostileRingsFailOnlyTheDevice(t *testing.T) {
	const ram = virtiotest.RAMBase
	d := func(addr uint64, n uint32, flags, next uint16) virtiotest.Desc {
		return virtiotest.Desc{Addr: addr, Len: n, Flags: flags, Next: next}
	}
	const next, write, indirect = virtiotest.DescNext, virtiotest.DescWrite, virtiotest.DescIndirect
	cases := map[string]func(q *virtiotest.Queue){
		"head outside the table": func(q *virtiotest.Queue) { q.Offer(8) },
		"head 65535":             func(q *virtiotest.Queue) { q.Offer(0xffff) },
		"index far ahead":        func(q *virtiotest.Queue) { q.SetAvailIdx(9) },
		"index behind":           func(q *virtiotest.Queue) { q.SetAvailIdx(0xffff) },
		"same head twice": func(q *virtiotest.Queue) {
			q.SetDesc(0, d(ram, 1, 0, 0))
			q.Offer(0)
			q.Offer(0)
		},
		"loop of one": func(q *virtiotest.Queue) {
			q.SetDesc(0, d(ram, 1, next, 0))
			q.Offer(0)
		},
		"loop of two": func(q *virtiotest.Queue) {
			q.SetDesc(0, d(ram, 1, next, 1))
			q.SetDesc(1, d(ram, 1, next, 0))
			q.Offer(0)
		},
		"next outside the table": func(q *virtiotest.Queue) {
			q.SetDesc(0, d(ram, 1, next, 8))
			q.Offer(0)
		},
		"buffer below memory": func(q *virtiotest.Queue) { q.SetDesc(0, d(0, 1, 0, 0)); q.Offer(0) },
		"buffer past memory":  func(q *virtiotest.Queue) { q.SetDesc(0, d(ram, 1<<31, 0, 0)); q.Offer(0) },
		"buffer wraps":        func(q *virtiotest.Queue) { q.SetDesc(0, d(^uint64(0), 2, 0, 0)); q.Offer(0) },
		"empty buffer":        func(q *virtiotest.Queue) { q.SetDesc(0, d(ram, 0, 0, 0)); q.Offer(0) },
		"readable after writable": func(q *virtiotest.Queue) {
			q.SetDesc(0, d(ram, 1, write|next, 1))
			q.SetDesc(1, d(ram, 1, 0, 0))
			q.Offer(0)
		},
		"indirect with next": func(q *virtiotest.Queue) {
			q.SetDesc(0, d(ram, 16, indirect|next, 1))
			q.Offer(0)
		},
		"indirect of odd size":       func(q *virtiotest.Queue) { q.SetDesc(0, d(ram, 24, indirect, 0)); q.Offer(0) },
		"indirect of no size":        func(q *virtiotest.Queue) { q.SetDesc(0, d(ram, 0, indirect, 0)); q.Offer(0) },
		"indirect too large":         func(q *virtiotest.Queue) { q.SetDesc(0, d(ram, 1<<20, indirect, 0)); q.Offer(0) },
		"indirect outside memory":    func(q *virtiotest.Queue) { q.SetDesc(0, d(1<<40, 32, indirect, 0)); q.Offer(0) },
		"indirect within indirect":   func(q *virtiotest.Queue) { q.SetDesc(0, table(q, d(ram, 16, indirect, 0))); q.Offer(0) },
		"indirect next out of table": func(q *virtiotest.Queue) { q.SetDesc(0, table(q, d(ram, 1, next, 1))); q.Offer(0) },
		"indirect loop":              func(q *virtiotest.Queue) { q.SetDesc(0, table(q, d(ram, 1, next, 0))); q.Offer(0) },
		"indirect of 65": func(q *virtiotest.Queue) {
			var list []virtiotest.Desc
			for i := range uint16(65) {
				list = append(list, d(ram, 1, next, i+1))
			}
			list[64].Flags = 0
			q.SetDesc(0, table(q, list...))
			q.Offer(0)
		},
	}
	for name, attack := range cases {
		t.Run(name, func(t *testing.T) {
			echo := virtiotest.NewEcho(8)
			if name == "same head twice" {
				echo.Queues = []uint16{8}
			}
			drv := start(t, &parker{Echo: echo}, virtiotest.Config{Inline: true})
			attack(drv.Queue(0))
			drv.Queue(0).ForceKick()
			if drv.Status()&virtiotest.StatusNeedsReset == 0 {
				t.Error("the device goes on")
			}
			if drv.ConfigChanges() != 1 {
				t.Errorf("%d configuration interrupts", drv.ConfigChanges())
			}
			if err := drv.Up(0); err != nil {
				t.Fatal("not usable after a reset:", err)
			}
			good := drv.Queue(0)
			if _, err := good.Submit([]virtiotest.Span{good.Put([]byte{1})}, nil); err != nil {
				t.Fatal(err)
			}
			good.ForceKick()
			if drv.Status()&virtiotest.StatusNeedsReset != 0 {
				t.Error("fails a good driver")
			}
		})
	}
}

// table puts descriptors into an indirect table and returns the descriptor for it.
func table(q *virtiotest.Queue, list ...virtiotest.Desc) virtiotest.Desc {
	room := q.Room(16 * len(list))
	for i, d := range list {
		virtiotest.PutDesc(q.Bytes(room)[16*i:], d)
	}
	return virtiotest.Desc{Addr: room.GPA, Len: room.Len, Flags: virtiotest.DescIndirect}
}

// parker takes chains and keeps them, as a device with blocking requests does.
type parker struct {
	*virtiotest.Echo
	parked []*virtio.Chain
}

func (p *parker) Notify(queue int) {
	q := p.Activation().Queues[queue]
	for {
		c := new(virtio.Chain)
		if ok, err := q.Pop(c); !ok || err != nil {
			return
		}
		p.parked = append(p.parked, c)
	}
}

func TestOutOfOrderAnswers(t *testing.T) {
	p := &parker{Echo: virtiotest.NewEcho(8)}
	d := start(t, p, virtiotest.Config{Inline: true})
	q := d.Queue(0)
	var heads []uint16
	for i := range 5 {
		h, err := q.Submit([]virtiotest.Span{q.Put([]byte{byte(i)})}, []virtiotest.Span{q.Room(4)})
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, h)
	}
	q.Kick()
	dq := p.Activation().Queues[0]
	for i := len(p.parked) - 1; i >= 0; i-- {
		dq.Push(p.parked[i], uint32(100)) // more than the 4 that fit
	}
	for i := len(heads) - 1; i >= 0; i-- {
		if u, ok := q.Used(); !ok || u.Head != heads[i] || u.Written != 4 {
			t.Errorf("used %+v, %v; want head %d with 4 bytes", u, ok, heads[i])
		}
	}
}

func TestInterruptsAreSuppressedAsAsked(t *testing.T) {
	for _, f := range []uint64{virtio.FeatureVersion1, virtio.FeatureEventIdx} {
		echo := virtiotest.NewEcho(8)
		echo.Quiet = true
		d := start(t, echo, virtiotest.Config{Inline: true, Features: f})
		q, dq := d.Queue(0), echo.Activation().Queues[0]
		one := func() {
			t.Helper()
			if _, err := q.Submit([]virtiotest.Span{q.Put([]byte{1})}, nil); err != nil {
				t.Fatal(err)
			}
			q.ForceKick()
			if _, ok := q.Used(); !ok {
				t.Fatal("no answer")
			}
		}
		q.WantInterrupt()
		one()
		dq.Interrupt()
		dq.Interrupt() // nothing new
		if q.Interrupts() != 1 {
			t.Errorf("features %#x: %d interrupts, want 1", f, q.Interrupts())
		}
		q.SuppressInterrupts()
		for range 3 {
			one()
			dq.Interrupt()
		}
		if q.Interrupts() != 1 {
			t.Errorf("features %#x: %d interrupts while suppressed, want 1", f, q.Interrupts())
		}
	}
}

// TestInterruptAfterManyQuietPushes pushes more chains than an index can count
// before it asks for an interrupt, as a device whose driver polls does.
func TestInterruptAfterManyQuietPushes(t *testing.T) {
	echo := virtiotest.NewEcho(8)
	echo.Quiet = true
	d := start(t, echo, virtiotest.Config{Inline: true})
	q, dq := d.Queue(0), echo.Activation().Queues[0]
	span := []virtiotest.Span{q.Put([]byte{1})}
	for range 1 << 16 {
		if _, err := q.Submit(span, nil); err != nil {
			t.Fatal(err)
		}
		q.ForceKick()
		q.Used()
	}
	dq.Interrupt()
	if q.Interrupts() != 1 {
		t.Errorf("%d interrupts, want 1", q.Interrupts())
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for name, f := range features {
		d := start(t, virtiotest.NewEcho(64), virtiotest.Config{Inline: true, Features: f})
		q := d.Queue(0)
		in, out := []virtiotest.Span{q.Put(make([]byte, 100)), q.Put(make([]byte, 100))}, []virtiotest.Span{q.Room(200)}
		allocs := testing.AllocsPerRun(200, func() {
			if _, err := q.Submit(in, out); err != nil {
				t.Fatal(err)
			}
			q.WantInterrupt()
			q.ForceKick()
			if _, ok := q.Used(); !ok {
				t.Fatal("no answer")
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations per request", name, allocs)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, size := range []int{64, 4096, 65536} {
		b.Run(map[int]string{64: "64B", 4096: "4KiB", 65536: "64KiB"}[size], func(b *testing.B) {
			d := start(b, virtiotest.NewEcho(64), virtiotest.Config{Inline: true})
			q := d.Queue(0)
			in, out := []virtiotest.Span{q.Put(make([]byte, size))}, []virtiotest.Span{q.Room(size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := q.Submit(in, out); err != nil {
					b.Fatal(err)
				}
				q.ForceKick()
				q.Used()
			}
		})
	}
}
