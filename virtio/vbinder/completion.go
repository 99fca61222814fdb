// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"errors"
	"math"

	"virtbinder/driver"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder/wire"
)

// Complete is driver.Env's: it answers a request and frees it. x is the caller's
// way into the core, which may be of another device or a timer.
func (d *Device) Complete(x *driver.Exec, c *driver.Request) {
	r := c.Data.(*request)
	q := r.queue
	run, _ := x.Tag.(*runner)
	if run != nil && run.serving == r {
		run.serving = nil
	}
	q.vq.Push(&r.chain, r.publish(d))
	q.outstanding.Add(-1)
	q.putRequest(r)
	if q.act.inline && run != nil && run.queue == q {
		d.stats.inlined.Add(1)
		return // whoever kicked this queue harvests it next
	}
	d.stats.interrupts.Add(1)
	q.vq.Interrupt()
}

// publish writes the answer into the chain and returns its length in bytes: 0 if
// the chain has no room for any.
func (r *request) publish(d *Device) uint32 {
	if r.chain.Writable() < wire.SizeofResp {
		return 0
	}
	p := &r.core.Resp
	if len(p.BR) > int(r.brCap) {
		d.log.Error("bug: an answer is larger than its room", "vm", d.cfg.Name, "op", r.head.Op, "bytes", len(p.BR), "room", r.brCap)
		p.BR = p.BR[:r.brCap]
	}
	if len(p.Fix) > int(r.fixCap) {
		d.keepFixes(r, p.Fix[r.fixCap:])
		p.Fix = p.Fix[:r.fixCap]
		p.Flags |= driver.RespMoreFix
	}
	r.out = wire.AppendResponse(r.out[:0], p, r.fixCap, r.repCap)
	if err := r.chain.WriteAt(r.out, 0); err != nil {
		if !errors.Is(err, virtio.ErrReset) {
			r.queue.act.fail(err)
		}
		return 0
	}
	return uint32(len(r.out))
}

func (r *request) thread() thread { return thread{r.head.Proc, r.head.TID} }

// maxKeptFixes bounds the fix-ups that wait for FETCH_FIX. A driver that follows the
// protocol fetches one answer's at once.
const maxKeptFixes = 1 << 18

var errFixesLost = errors.New("vbinder: the driver does not fetch the fix-ups of its answers")

// keepFixes holds the rest of an answer's fix-ups until FETCH_FIX.
func (d *Device) keepFixes(r *request, rest []driver.Fix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.act.Load() != r.queue.act {
		return // reset: the guest has dropped every token
	}
	if d.moreFixes += len(rest); d.moreFixes > maxKeptFixes {
		d.moreFixes -= len(rest)
		r.queue.act.fail(errFixesLost)
		return
	}
	d.more[r.thread()] = append([]driver.Fix(nil), rest...)
	d.moreCount.Store(int32(len(d.more)))
}

// takeFixes appends up to n of the fix-ups that are kept for a thread to to, and
// says whether there are more.
func (d *Device) takeFixes(to []driver.Fix, t thread, n int) (fixes []driver.Fix, more bool) {
	if d.moreCount.Load() == 0 {
		return to, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rest := d.more[t]
	n = min(n, len(rest))
	d.moreFixes -= n
	if more = n < len(rest); more {
		d.more[t] = rest[n:]
	} else {
		delete(d.more, t)
	}
	d.moreCount.Store(int32(len(d.more)))
	return append(to, rest[:n]...), more
}

// dropFixes gives up what is kept for a thread: its tokens are put.
func (d *Device) dropFixes(t thread) {
	if d.moreCount.Load() != 0 {
		fixes, _ := d.takeFixes(nil, t, math.MaxInt)
		d.putFixes(fixes)
	}
}

// dropProcFixes gives up what is kept for all threads of a process.
func (d *Device) dropProcFixes(id driver.ProcID) {
	if d.moreCount.Load() == 0 {
		return
	}
	var all []driver.Fix
	d.mu.Lock()
	for t, fixes := range d.more {
		if t.proc == id {
			all = append(all, fixes...)
			d.moreFixes -= len(fixes)
			delete(d.more, t)
		}
	}
	d.moreCount.Store(int32(len(d.more)))
	d.mu.Unlock()
	d.putFixes(all)
}

func (d *Device) putFixes(fixes []driver.Fix) {
	for _, f := range fixes {
		if f.Kind != driver.FixFree {
			d.Event(nil, driver.Event{Kind: driver.EventPut, Token: f.Token})
		}
	}
}
