// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// pingpong is what pingpong.c says of one device and size; times are nanoseconds.
type pingpong struct {
	Device              string
	Bytes, Calls        int
	Min, P50, P99, Mean float64
}

// took is what all its calls took together.
func (p pingpong) took() float64 { return p.Mean * float64(p.Calls) }

const (
	ourDevice   = "/dev/hwbinder" // nobody's in this guest
	stockDevice = "/dev/stock-hwbinder"
	callSizes   = "0,4096,65536,524288"
)

// pingpong runs it.
func (m *measuring) pingpong(ctx context.Context, args []string) ([]pingpong, error) {
	out, err := m.run(ctx, nil, pingpongPath, args...)
	if err != nil {
		return nil, err
	}
	return parsePingpong(out)
}

func (m *measuring) pingpongs(ctx context.Context) error {
	for _, p := range m.pinnings() {
		args := append([]string{"-n", "100", "-r", "20", "-s", callSizes}, p.pingpong()...)
		args = append(args, ourDevice, stockDevice)
		said, err := m.pingpong(ctx, args)
		if err != nil {
			return err
		}
		if err := m.calls(p.name, "pingpong "+strings.Join(args, " "), said); err != nil {
			return err
		}
	}
	return nil
}

// parsePingpong reads its lines.
func parsePingpong(text string) (said []pingpong, err error) {
	for in := json.NewDecoder(strings.NewReader(text)); ; {
		var p pingpong
		if err := in.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("pingpong: %w in %q", err, text)
		}
		said = append(said, p)
	}
	if len(said) == 0 {
		return nil, fmt.Errorf("pingpong says nothing: %q", text)
	}
	return said, nil
}

// summary is what pingpong would say of calls that took so long.
func summary(times []float64) pingpong {
	times = slices.Sorted(slices.Values(times))
	p := pingpong{Calls: len(times)}
	for _, t := range times {
		p.Mean += t / float64(len(times))
	}
	if len(times) > 0 {
		p.Min, p.P50, p.P99 = times[0], median(times), times[len(times)*99/100]
	}
	return p
}

// calls makes figures of one run of pingpong. What the best call of 512 KiB takes beyond the
// best null call, by the KiB, is the marginal cost: in medians, what wake-ups take hides it.
func (m *measuring) calls(where, command string, said []pingpong) error {
	ours, stock := bySize(of(said, ourDevice)), bySize(of(said, stockDevice))
	if n := strings.Count(callSizes, ",") + 1; len(ours) != n || len(stock) != n {
		return fmt.Errorf("pingpong says too little: %v", said)
	}
	add := func(what string, our, their float64, target *float64) *Figure {
		return m.on(what+where, command, our, their, "the stock driver", target)
	}
	null := atMost(2)
	if m.CPUs > 1 {
		null = atMost(1.5)
	}
	f := add("null call", ours[0].P50, stock[0].P50, null)
	ratio := f.Ratio
	add("null call, p99", ours[0].P99, stock[0].P99, nil)
	add("null call, best", ours[0].Min, stock[0].Min, nil)
	add("4 KiB", ours[4<<10].P50, stock[4<<10].P50, nil)
	add("64 KiB", ours[64<<10].P50, stock[64<<10].P50, atMost(ratio))
	add("512 KiB", ours[512<<10].P50, stock[512<<10].P50, atMost(1.3))
	add("a KiB more", (ours[512<<10].Min-ours[0].Min)/512, (stock[512<<10].Min-stock[0].Min)/512, atMost(1))
	return nil
}

// of is what was said of a device.
func of(said []pingpong, device string) (about []pingpong) {
	for _, p := range said {
		if p.Device == device {
			about = append(about, p)
		}
	}
	return about
}

// bySize is what was said of a device, by the size of the payload.
func bySize(said []pingpong) map[int]pingpong {
	sizes := map[int]pingpong{}
	for _, p := range said {
		sizes[p.Bytes] = p
	}
	return sizes
}
