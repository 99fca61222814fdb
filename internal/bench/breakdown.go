// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"

	"virtbinder/vmm/api"
)

// What one call of a guest is made of, where everything is done in turn, on one
// processor, so that the parts add up to the whole: the guest's function tracer says
// what our driver's parts take, a profile of the VMM what those of the host do, and what
// neither has seen is system calls, switches between the two processes, and their own
// code. For two processors see apart.go.
//
// What else is on the machine falls on all parts alike. So what they take in a run's
// calls is scaled to what its best call takes.

// A profile takes so long, and runs of a caller that are in it so many calls.
const (
	profileSeconds = 20
	profileCalls   = 300
)

// Functions of the guest's kernel: the ioctl, and its parts.
const (
	fnIoctl   = "vb_ioctl"
	fnGather  = "vb_gather_piece"
	fnSubmit  = "vb_queue_submit"
	fnKick    = "vp_notify"
	fnDeliver = "vb_deliver"
	fnFree    = "vb_sender_free"
	fnStock   = "binder_ioctl"
)

// System calls of RPC binder.
const (
	fnSend    = "__x64_sys_sendmsg"
	fnReceive = "__x64_sys_recvmsg"
	fnPoll    = "__x64_sys_poll"
)

func (m *measuring) breakdown() []step {
	if m.CPUs == 1 {
		return []step{
			{"what a call is made of", func(ctx context.Context) error { return m.inTurn(ctx, pinning{}, 0, 512<<10) }},
			{"what libbinder's ping is made of", m.pingInTurn},
		}
	}
	return []step{
		{"what a call is made of, pinned to one", func(ctx context.Context) error { return m.inTurn(ctx, pinnedToOne, 0) }},
		{"what a call is made of, pinned apart", m.callApart},
		{"what libbinder's ping is made of, pinned apart", m.pingApart},
	}
}

// inTurn takes pingpong's calls apart.
func (m *measuring) inTurn(ctx context.Context, p pinning, sizes ...int) error {
	for _, size := range sizes {
		c := m.pingpongCaller(p, size, manyCalls)
		own, their, err := m.profiled(ctx, c)
		if err != nil {
			return err
		}
		b := m.parts(c, own.whole)
		if err := b.ours(ctx, own); err != nil {
			return err
		}
		if err := b.other(ctx, c, stock, "the stock driver", their, fnStock); err != nil {
			return err
		}
	}
	return nil
}

// pingInTurn takes libbinder's ping apart, and that of RPC binder, which needs no driver.
func (m *measuring) pingInTurn(ctx context.Context) error {
	kernel, socket := m.pingCaller(pinning{}, kernelPing, 1, manyCalls), m.pingCaller(pinning{}, socketPing, 1, manyCalls)
	own, err := m.best(ctx, kernel, ours)
	if err != nil {
		return err
	}
	b := m.parts(kernel, own.whole)
	if err := b.ours(ctx, own); err != nil {
		return err
	}
	their, err := m.best(ctx, kernel, stock)
	if err != nil {
		return err
	}
	if err := b.other(ctx, kernel, stock, "the stock driver", their, fnStock); err != nil {
		return err
	}
	rpc, err := m.best(ctx, socket, ours)
	if err != nil {
		return err
	}
	return b.other(ctx, socket, ours, "RPC binder over a unix socket", rpc, fnSend, fnReceive, fnPoll)
}

// call is a run of calls: nanoseconds of one, and of its parts.
type call struct {
	whole float64
	parts spent
	times counted // how often functions were called
}

// callOf makes one of what runs of calls said and what their parts took together.
func callOf(runs []pingpong, parts spent) call {
	var took float64
	best := runs[0].Min
	for _, r := range runs {
		took += r.took()
		best = min(best, r.Min)
	}
	return callIn(took, best, parts)
}

// callIn makes one of the best call of some, and what they and their parts took together.
func callIn(took, best float64, parts spent) call {
	c := call{whole: best, parts: spent{}}
	for name, ns := range parts {
		c.parts[name] = ns / took * best
	}
	return c
}

// best has a caller make calls. Nothing is seen of their parts.
func (m *measuring) best(ctx context.Context, c caller, driver string) (call, error) {
	said, _, err := c.run(ctx, driver, manyCalls, nil)
	return call{whole: said.Min}, err
}

// profiled has a caller make calls on both drivers in turn while the VMM's processor time
// is watched. The parts are the VMM's stages.
func (m *measuring) profiled(ctx context.Context, c caller) (own, their call, err error) {
	client, err := api.Find(m.guest.Name())
	if err != nil {
		return own, their, err
	}
	var raw []byte
	var failed error
	over := make(chan struct{})
	go func() {
		defer close(over)
		raw, failed = client.Profile(ctx, profileSeconds)
	}()
	runs := map[string][]pingpong{}
	for !closed(over) {
		for _, driver := range []string{ours, stock} {
			said, _, err := c.run(ctx, driver, profileCalls, nil)
			if err != nil {
				return own, their, err
			}
			runs[driver] = append(runs[driver], said)
		}
	}
	if failed != nil {
		return own, their, failed
	}
	stages, err := parseProfile(raw)
	return callOf(runs[ours], stages), callOf(runs[stock], nil), err
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// trace has a caller make calls while the guest's kernel notes functions.
func (m *measuring) trace(ctx context.Context, c caller, driver string, calls int, t tracing) (pingpong, *trace, error) {
	said, text, err := c.run(ctx, driver, calls, t.command())
	if err != nil {
		return said, nil, err
	}
	seen, err := parseTrace(text)
	if err != nil {
		return said, nil, err
	}
	for _, f := range t.functions {
		if seen.calls[f] == 0 {
			return said, nil, fmt.Errorf("ftrace: %s was not seen", f)
		}
	}
	return said, seen, nil
}

// traced is one of a caller's calls on a driver, whose parts are functions.
func (m *measuring) traced(ctx context.Context, c caller, driver string, t tracing) (call, error) {
	less, before, err := m.trace(ctx, c, driver, fewCalls, t)
	if err != nil {
		return call{}, err
	}
	more, after, err := m.trace(ctx, c, driver, manyCalls, t)
	if err != nil {
		return call{}, err
	}
	parts, times := spent{}, counted{}
	for f := range after.took {
		parts[f] = after.took[f] - before.took[f]
		times[f] = float64(after.calls[f]-before.calls[f]) / (manyCalls - fewCalls)
	}
	each := callIn(more.took()-less.took(), min(less.Min, more.Min), parts)
	each.times = times
	return each, nil
}

// parts makes figures of what a call is made of.
type parts struct {
	m     *measuring
	c     caller
	whole float64
}

func (m *measuring) parts(c caller, whole float64) *parts { return &parts{m, c, whole} }

func (b *parts) figure(name, unit string, value float64) *Figure {
	b.m.figures = append(b.m.figures, Figure{Section: "call", VCPUs: b.m.CPUs, Name: b.c.name + ": " + name,
		Unit: unit, Value: value, Command: b.c.command})
	return &b.m.figures[len(b.m.figures)-1]
}

func (b *parts) add(name string, ns float64) {
	f := b.figure(name, "ns", ns)
	f.Ratio, f.Against = ns/b.whole, "the whole"
}

// seldom is how often what is not worth a line happens in a call.
const seldom = 0.01

// often adds what is counted of a call, if it happens.
func (b *parts) often(name string, n float64) {
	if n >= seldom {
		b.figure(name, aCall, n)
	}
}

// counts adds what is counted of a call on our driver.
func (b *parts) counts(ctx context.Context, ioctls float64) error {
	counts, err := b.m.counts(ctx, b.c)
	if err != nil {
		return err
	}
	b.often("ioctls", ioctls)
	b.often("requests", counts["requests"])
	b.often("doorbells", counts["kicks"])
	b.often("interrupts", counts["interrupts"])
	b.often("answers found by a look", counts["spun"])
	return nil
}

// ours adds our driver's. What the VMM does is done within a doorbell; its stages are c's
// parts, if they were watched.
func (b *parts) ours(ctx context.Context, c call) error {
	functions := []string{fnIoctl, fnGather, fnSubmit, fnKick, fnDeliver, fnFree}
	traced, err := b.m.traced(ctx, b.c, ours, tracing{functions: functions, within: fnIoctl})
	if err != nil {
		return err
	}
	guest := traced.parts
	b.add("the whole", c.whole)
	b.add("gather: commands and objects copied, pages pinned", guest[fnGather])
	b.add("ring: chains put in, answers taken out, threads woken", guest[fnSubmit]-guest[fnKick])
	if c.parts == nil {
		b.add("doorbells: exits, entries and VMM", guest[fnKick])
	} else {
		b.doorbells(guest[fnKick], c.parts)
	}
	b.add("deliver: BR commands and descriptors to the reader", guest[fnDeliver])
	b.add("pages unpinned", guest[fnFree])
	b.add("the rest of the guest driver", guest[fnIoctl]-guest[fnGather]-guest[fnSubmit]-guest[fnDeliver]-guest[fnFree])
	b.add("outside the driver: system calls, switches, the two processes", traced.whole-guest[fnIoctl])
	b.add("to be taken off: what tracing cost", c.whole-traced.whole)
	return b.counts(ctx, traced.times[fnIoctl])
}

func (b *parts) doorbells(took float64, host spent) {
	vmm := 0.0
	for _, s := range stages[1:] {
		vmm += host[s.name]
	}
	b.add("doorbells: exits and entries", took-vmm)
	for _, s := range stages[1:] {
		b.add("doorbells, VMM: "+s.name, host[s.name])
	}
}

// other adds what else such a call can be made by, whose work is done in functions.
func (b *parts) other(ctx context.Context, caller caller, driver, name string, c call, functions ...string) error {
	traced, err := b.m.traced(ctx, caller, driver, tracing{functions: functions})
	if err != nil {
		return err
	}
	in, times := 0.0, 0.0
	for _, f := range functions {
		in += traced.parts[f]
		times += traced.times[f]
	}
	b.add(name+"'s whole", c.whole)
	b.add(name+": in the kernel", in)
	b.add(name+": outside it", traced.whole-in)
	b.add(name+", to be taken off: what tracing cost", c.whole-traced.whole)
	if len(functions) > 1 { // else they are as many as ours
		b.figure(name+": system calls", aCall, times)
	}
	return nil
}
