// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"strings"

	"virtbinder/vmm/api"
)

// What one call of a guest with one processor is made of. There everything is done in
// turn, so the parts add up to the whole: the guest's function tracer says what our
// driver's parts take, a profile of the VMM what those of the host do, and what neither
// has seen is system calls, switches between the two processes, and their own code.
//
// What else is on the machine falls on all parts alike. So what they take in a run's
// calls is scaled to what its best call takes.

// breakdownSizes are the payloads of the calls that are taken apart, bytes.
var breakdownSizes = []int{0, 512 << 10}

const (
	breakdownCalls = 300
	profileSeconds = 20
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

func (m *measuring) breakdown(ctx context.Context) error {
	for _, size := range breakdownSizes {
		if err := m.breakdownOf(ctx, size); err != nil {
			return err
		}
	}
	return nil
}

func (m *measuring) breakdownOf(ctx context.Context, size int) error {
	args := []string{"-n", fmt.Sprint(breakdownCalls), "-r", "1", "-s", fmt.Sprint(size)}
	b := parts{m: m, command: "pingpong " + strings.Join(args, " "), size: sizeName(size)}
	var err error
	if b.ours, b.stock, err = m.profiled(ctx, args); err != nil {
		return err
	}
	if b.oursTraced, err = m.traced(ctx, append(args, ourDevice), fnIoctl, fnGather, fnSubmit, fnKick, fnDeliver, fnFree); err != nil {
		return err
	}
	if b.stockTraced, err = m.traced(ctx, append(args, stockDevice), fnStock); err != nil {
		return err
	}
	b.list()
	return nil
}

// call is a run of calls: nanoseconds of one, and of its parts.
type call struct {
	whole float64
	parts spent
}

// callOf makes one of what runs of calls said and what their parts took together.
func callOf(runs []pingpong, parts spent) call {
	var took float64
	c := call{whole: runs[0].Min, parts: spent{}}
	for _, r := range runs {
		took += r.Mean * float64(r.Calls)
		c.whole = min(c.whole, r.Min)
	}
	for name, ns := range parts {
		c.parts[name] = ns / took * c.whole
	}
	return c
}

func sizeName(size int) string {
	if size == 0 {
		return "null call"
	}
	return fmt.Sprintf("%d KiB", size>>10)
}

// profiled has pingpong make calls on both drivers in turn while the VMM's processor time
// is watched. The parts are the VMM's stages.
func (m *measuring) profiled(ctx context.Context, args []string) (ours, stock call, err error) {
	client, err := api.Find(m.guest.Name())
	if err != nil {
		return ours, stock, err
	}
	var raw []byte
	var failed error
	over := make(chan struct{})
	go func() {
		defer close(over)
		raw, failed = client.Profile(ctx, profileSeconds)
	}()
	var our, their []pingpong
	for !closed(over) {
		said, err := m.pingpong(ctx, append(args, ourDevice, stockDevice))
		if err != nil {
			return ours, stock, err
		}
		our, their = append(our, of(said, ourDevice)...), append(their, of(said, stockDevice)...)
	}
	if failed != nil {
		return ours, stock, failed
	}
	stages, err := parseProfile(raw)
	return callOf(our, stages), callOf(their, nil), err
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// traced has pingpong make calls while the guest's kernel times functions. The parts are
// those.
func (m *measuring) traced(ctx context.Context, args []string, functions ...string) (c call, err error) {
	text, err := m.run(ctx, nil, "sh", append([]string{"-c", ftrace, "sh", strings.Join(functions, " "), pingpongPath}, args...)...)
	if err != nil {
		return c, err
	}
	line, trace, _ := strings.Cut(text, "\n")
	said, err := parsePingpong(line)
	if err != nil {
		return c, err
	}
	parts, err := parseTrace(trace)
	if err != nil {
		return c, err
	}
	for _, f := range functions {
		if parts[f] == 0 {
			return c, fmt.Errorf("ftrace: %s was not seen", f)
		}
	}
	return callOf(said, parts), nil
}

// parts makes figures of what a call is made of.
type parts struct {
	m             *measuring
	command, size string

	ours, stock             call // the VMM profiled, nothing traced
	oursTraced, stockTraced call
}

func (b *parts) add(name string, ns float64) {
	b.m.figures = append(b.m.figures, Figure{Section: "call", Name: b.size + ": " + name, Unit: "ns", Value: ns,
		Ratio: ns / b.ours.whole, Against: "the whole", Command: b.command})
}

// list lists them. What the VMM does is done within a doorbell.
func (b *parts) list() {
	guest, host := b.oursTraced.parts, b.ours.parts
	b.add("the whole", b.ours.whole)
	b.add("gather: commands and objects copied, pages pinned", guest[fnGather])
	b.add("ring: chains put in, answers taken out, threads woken", guest[fnSubmit]-guest[fnKick])
	var vmm float64
	for _, s := range stages[1:] {
		vmm += host[s.name]
	}
	b.add("doorbells: exits and entries", guest[fnKick]-vmm)
	for _, s := range stages[1:] {
		b.add("doorbells, VMM: "+s.name, host[s.name])
	}
	b.add("deliver: BR commands and descriptors to the reader", guest[fnDeliver])
	b.add("pages unpinned", guest[fnFree])
	b.add("the rest of the guest driver", guest[fnIoctl]-guest[fnGather]-guest[fnSubmit]-guest[fnDeliver]-guest[fnFree])
	b.add("outside the driver: system calls, switches, the two processes", b.oursTraced.whole-guest[fnIoctl])
	b.add("to be taken off: what tracing cost", b.ours.whole-b.oursTraced.whole)
	b.add("the stock driver's whole", b.stock.whole)
	b.add("the stock driver: in it", b.stockTraced.parts[fnStock])
	b.add("the stock driver: outside it", b.stockTraced.whole-b.stockTraced.parts[fnStock])
	b.add("the stock driver, to be taken off: what tracing cost", b.stock.whole-b.stockTraced.whole)
}
