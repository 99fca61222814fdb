// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"virtbinder/vmm/api"
)

// What one call of a guest with one processor is made of. There everything is done in
// turn, so the parts add up to the whole: the guest's function tracer says what our
// driver's parts take, a profile of the VMM what those of the host do, and what neither
// has seen is system calls, switches between the two processes, and their own code.

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

func (m *measuring) breakdown(ctx context.Context, top string) error {
	if err := m.bringPingpong(ctx, top); err != nil {
		return err
	}
	for _, size := range breakdownSizes {
		if err := m.breakdownOf(ctx, size); err != nil {
			return err
		}
	}
	return nil
}

func (m *measuring) breakdownOf(ctx context.Context, size int) error {
	args := []string{"-n", fmt.Sprint(breakdownCalls), "-r", "1", "-s", fmt.Sprint(size)}
	host, whole, err := m.profiled(ctx, args)
	if err != nil {
		return err
	}
	ours, err := m.traced(ctx, append(args, ourDevice), fnIoctl, fnGather, fnSubmit, fnKick, fnDeliver, fnFree)
	if err != nil {
		return err
	}
	stock, err := m.traced(ctx, append(args, stockDevice), fnStock)
	if err != nil {
		return err
	}
	b := parts{m: m, command: "pingpong " + strings.Join(args, " ") + " " + ourDevice, call: sizeName(size)}
	b.list(whole, ours, stock, host)
	return nil
}

func sizeName(size int) string {
	if size == 0 {
		return "null call"
	}
	return fmt.Sprintf("%d KiB", size>>10)
}

// profiled has pingpong make calls while the VMM's processor time is watched. It returns
// nanoseconds a call of ours by the VMM's stages, and the whole of a call by device.
func (m *measuring) profiled(ctx context.Context, args []string) (host, whole spent, err error) {
	client, err := api.Find(m.guest.Name())
	if err != nil {
		return nil, nil, err
	}
	var raw []byte
	var failed error
	var watching sync.WaitGroup
	over := make(chan struct{})
	watching.Go(func() {
		defer close(over)
		raw, failed = client.Profile(ctx, profileSeconds)
	})
	calls := 0
	for whole = (spent{}); !closed(over); {
		said, err := m.pingpong(ctx, append(args, ourDevice, stockDevice))
		if err != nil {
			return nil, nil, err
		}
		for _, p := range said {
			whole[p.Device] += p.Mean * float64(p.Calls)
		}
		calls += said[0].Calls
	}
	watching.Wait()
	if failed != nil {
		return nil, nil, failed
	}
	if host, err = parseProfile(raw); err != nil {
		return nil, nil, err
	}
	return host.per(calls), whole.per(calls), nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// traced has pingpong make calls while the guest's kernel times functions: nanoseconds a
// call by function.
func (m *measuring) traced(ctx context.Context, args []string, functions ...string) (spent, error) {
	text, err := m.run(ctx, nil, "sh", append([]string{"-c", ftrace, "sh", strings.Join(functions, " "), program}, args...)...)
	if err != nil {
		return nil, err
	}
	s, err := parseTrace(text)
	if err != nil {
		return nil, err
	}
	for _, f := range functions {
		if s[f] == 0 {
			return nil, fmt.Errorf("ftrace: %s was not seen", f)
		}
	}
	return s.per(breakdownCalls), nil
}

// per divides by a number of calls.
func (s spent) per(calls int) spent {
	for k := range s {
		s[k] /= float64(calls)
	}
	return s
}

// parts makes figures of what a call is made of.
type parts struct {
	m             *measuring
	command, call string
	whole         float64
}

func (b *parts) add(name string, ns float64) {
	b.m.figures = append(b.m.figures, Figure{Section: "call", Name: b.call + ": " + name, Unit: "ns", Value: max(ns, 0),
		Ratio: ns / b.whole, Against: "the whole", Command: b.command})
}

// list lists them. What the VMM does is done within a doorbell.
func (b *parts) list(whole, ours, stock, host spent) {
	b.whole = whole[ourDevice]
	b.add("the whole", b.whole)
	b.add("gather: commands and objects copied, pages pinned", ours[fnGather])
	b.add("ring: chains put in, answers taken out, threads woken", ours[fnSubmit]-ours[fnKick])
	var vmm float64
	for _, s := range stages[1:] {
		vmm += host[s.name]
	}
	b.add("doorbells: exits and entries", ours[fnKick]-vmm)
	for _, s := range stages[1:] {
		b.add("doorbells, VMM: "+s.name, host[s.name])
	}
	b.add("deliver: BR commands and descriptors to the reader", ours[fnDeliver])
	b.add("pages unpinned", ours[fnFree])
	b.add("the rest of the guest driver", ours[fnIoctl]-ours[fnGather]-ours[fnSubmit]-ours[fnDeliver]-ours[fnFree])
	b.add("outside the driver: system calls, switches, the two processes", b.whole-ours[fnIoctl])
	b.add("the stock driver's whole", whole[stockDevice])
	b.add("the stock driver", stock[fnStock])
	b.add("outside the stock driver", whole[stockDevice]-stock[fnStock])
}
