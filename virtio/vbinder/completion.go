// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"errors"
	"math"

	"virtbinder/driver"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder/wire"
)

// Step 7 of a transaction's way ends here: the answer, published.

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
	if q.kind == onDeferred {
		return // nobody waits for it
	}
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
		d.log.Error("bug: an answer is larger than its room", "op", r.head.Op, "bytes", len(p.BR), "room", r.brCap)
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

// maxKeptFixes bounds the fix-ups that wait for FETCH_FIX, in all threads. Each thread
// of the guest may have one answer's there, so its processes can come to it.
const maxKeptFixes = 1 << 18

// rest is what is kept of an answer's fix-ups; lost if there was no room for all.
type rest struct {
	fixes []driver.Fix
	lost  bool
}

// keepFixes holds the rest of an answer's fix-ups until FETCH_FIX. Without room for
// it its files are dropped and FETCH_FIX fails, which fails the delivery.
func (d *Device) keepFixes(r *request, fixes []driver.Fix) {
	if !d.addFixes(r, fixes) {
		d.putFixes(fixes)
	}
}

func (d *Device) addFixes(r *request, fixes []driver.Fix) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.act.Load() != r.queue.act {
		return true // reset: the guest has dropped every token
	}
	kept := d.more[r.thread()]
	kept.lost = kept.lost || d.moreFixes+len(fixes) > maxKeptFixes
	if !kept.lost {
		kept.fixes = append(kept.fixes, fixes...)
		d.moreFixes += len(fixes)
	}
	d.more[r.thread()] = kept
	d.moreCount.Store(int32(len(d.more)))
	return !kept.lost
}

// takeFixes takes up to n of the fix-ups that are kept for a thread, and says whether
// there are more, and whether some are lost.
func (d *Device) takeFixes(t thread, n int) (fixes []driver.Fix, more, lost bool) {
	if d.moreCount.Load() == 0 {
		return nil, false, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := d.more[t]
	n = min(n, len(kept.fixes))
	d.moreFixes -= n
	fixes, kept.fixes = kept.fixes[:n], kept.fixes[n:]
	if more = len(kept.fixes) > 0; more {
		d.more[t] = kept
	} else {
		delete(d.more, t)
	}
	d.moreCount.Store(int32(len(d.more)))
	return fixes, more, kept.lost && !more
}

// dropFixes gives up what is kept for a thread: its tokens are put.
func (d *Device) dropFixes(t thread) {
	if d.moreCount.Load() != 0 {
		fixes, _, _ := d.takeFixes(t, math.MaxInt)
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
	for t, kept := range d.more {
		if t.proc == id {
			all = append(all, kept.fixes...)
			d.moreFixes -= len(kept.fixes)
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
