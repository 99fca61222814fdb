// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"path/filepath"
)

// wanted is a figure to be made of Go benchmarks.
type wanted struct {
	section string
	name    string
	bench   string
	unit    string  // of the benchmark; that of its section if empty
	against string  // another benchmark
	times   float64 // so many of it; 1 if 0
	called  string  // what they are together; "" for the difference
	target  *float64
}

var coreSuite = suite{pkg: "./driver", pattern: ".", cpus: "1,2", time: "50ms", rounds: 15}

var coreFigures = []wanted{
	{section: "core", name: "null call", bench: "Call/0B", target: atMost(1000)},
	{section: "core", name: "null call, allocations", bench: "Call/0B", unit: "allocs/op", target: atMost(0)},
	{section: "core", name: "4 KiB", bench: "Call/4096B", against: "Call/0B", called: "null call", target: atMost(1.5)},
	{section: "core", name: "64 KiB", bench: "Call/65536B", against: "Call/0B", called: "null call"},
	{section: "core", name: "512 KiB", bench: "Call/524288B", against: "Call/0B", called: "null call"},
	{section: "core", name: "512 KiB, allocations", bench: "Call/524288B", unit: "allocs/op", target: atMost(0)},
	{section: "core", name: "one handle", bench: "CallHandle", against: "Call/0B", called: "null call"},
	{section: "core", name: "one handle, allocations", bench: "CallHandle", unit: "allocs/op", target: atMost(0)},
	{section: "core", name: "one descriptor", bench: "CallFD", against: "Call/0B", called: "null call"},
	{section: "core", name: "one descriptor, allocations", bench: "CallFD", unit: "allocs/op", target: atMost(0)},
	{section: "core", name: "oneway", bench: "Oneway", against: "Call/0B", called: "null call"},
	{section: "core", name: "oneway, allocations", bench: "Oneway", unit: "allocs/op", target: atMost(0)},
	{section: "core", name: "nested call", bench: "Nested", against: "Call/0B", called: "null call"},
	{section: "core", name: "nested call, allocations", bench: "Nested", unit: "allocs/op", target: atMost(0)},
	{section: "core", name: "null call, 2 processors at once in one VM", bench: "CallParallel/OneCore-2", against: "CallParallel/OneCore", called: "1 processor"},
	{section: "core", name: "null call, 2 processors at once in a VM each", bench: "CallParallel/OwnCores-2", against: "CallParallel/OwnCores", called: "1 processor"},

	{section: "scale", name: "1,000 processes", bench: "CallAmong/1000Processes", against: "CallAmong/10Processes", called: "10 processes", target: atMost(1.2)},
	{section: "scale", name: "10,000 processes", bench: "CallAmong/10000Processes", against: "CallAmong/10Processes", called: "10 processes", target: atMost(1.2)},
	{section: "scale", name: "100,000 nodes in the server", bench: "CallAmong/100000Nodes", against: "CallAmong/10Processes", called: "10 processes", target: atMost(1.2)},
	{section: "scale", name: "100,000 handles in the client", bench: "CallAmong/100000Handles", against: "CallAmong/10Processes", called: "10 processes", target: atMost(1.2)},
	{section: "scale", name: "4,000 parked threads", bench: "CallAmong/4000ParkedThreads", against: "CallAmong/10Processes", called: "10 processes", target: atMost(1.2)},
	{section: "scale", name: "10,000 buffers in the server's 1 MiB", bench: "CallAmong/10000Buffers", against: "CallAmong/10Processes", called: "10 processes", target: atMost(1.2)},
	{section: "scale", name: "host memory of an idle process", bench: "CallAmong/10000Processes", unit: "B/process", target: atMost(8192)},
}

var deviceSuite = suite{pkg: "./internal/bench/device", pattern: ".", cpus: "2", time: "60ms", rounds: 11, urgent: true}

var deviceFigures = []wanted{
	{section: "device", name: "an eventfd ping-pong", bench: "EventfdPingPong-2"},
	{section: "device", name: "ring round trip", bench: "Ping-2", against: "EventfdPingPong-2", called: "an eventfd ping-pong"},
	{section: "device", name: "null call", bench: "Call/0B-2", against: "EventfdPingPong-2", times: 2, called: "two eventfd ping-pongs"},
	{section: "device", name: "null call, beyond two eventfd ping-pongs", bench: "Call/0B-2", against: "EventfdPingPong-2", times: 2, target: atMost(3000)},
	{section: "device", name: "null call", bench: "Call/0B-2", against: "UnixEcho/0B-2", called: "unix-socket echo"},
	{section: "device", name: "null call", bench: "Call/0B-2", against: "GRPC/0B-2", called: "gRPC-Go over a unix socket", target: atMost(0.2)},
	{section: "device", name: "4 KiB", bench: "Call/4096B-2", against: "UnixEcho/4096B-2", called: "unix-socket echo"},
	{section: "device", name: "4 KiB", bench: "Call/4096B-2", against: "GRPC/4096B-2", called: "gRPC-Go over a unix socket"},
	{section: "device", name: "64 KiB", bench: "Call/65536B-2", against: "UnixEcho/65536B-2", called: "unix-socket echo"},
	{section: "device", name: "64 KiB", bench: "Call/65536B-2", against: "GRPC/65536B-2", called: "gRPC-Go over a unix socket"},
	{section: "device", name: "512 KiB", bench: "Call/524288B-2", against: "UnixEcho/524288B-2", called: "unix-socket echo"},
	{section: "device", name: "512 KiB", bench: "Call/524288B-2", against: "GRPC/524288B-2", called: "gRPC-Go over a unix socket"},
	{section: "device", name: "one handle", bench: "CallHandle-2", against: "Call/0B-2", called: "null call"},
	{section: "device", name: "one descriptor", bench: "CallFD-2", against: "Call/0B-2", called: "null call"},
	{section: "device", name: "oneway", bench: "Oneway-2", against: "Call/0B-2", called: "null call"},
	{section: "device", name: "nested call", bench: "Nested-2", against: "Call/0B-2", called: "null call"},
}

// native measures a suite's figures.
func native(ctx context.Context, top, dir string, s suite, list []wanted) ([]Figure, error) {
	all, err := s.run(ctx, top, filepath.Join(dir, filepath.Base(s.pkg)+".txt"))
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for _, w := range list {
		f, err := all.figure(w)
		if err != nil {
			return nil, err
		}
		f.Command = s.command()
		figures = append(figures, f)
	}
	return figures, nil
}

// timeUnit is what counts as a benchmark's time: where one process does all, what it
// takes of a processor, which others on the machine do not add to.
var timeUnit = map[string]string{"core": "cpu-ns/op", "scale": "cpu-ns/op", "device": "ns/op"}

var shortUnit = map[string]string{"ns/op": "ns", "cpu-ns/op": "ns", "allocs/op": "allocs", "B/process": "bytes"}

// figure makes one figure; a ratio is the median of the rounds' ratios, a difference that
// of their differences.
func (all samples) figure(w wanted) (Figure, error) {
	if w.unit == "" {
		w.unit = timeUnit[w.section]
	}
	f := Figure{Section: w.section, Name: w.name, Unit: shortUnit[w.unit], Target: w.target, Against: w.called}
	v, err := all.of(w.bench, w.unit)
	if err != nil {
		return f, err
	}
	f.Value = median(v)
	if w.against == "" {
		return f, nil
	}
	to, err := all.of(w.against, w.unit)
	if err != nil {
		return f, err
	}
	if len(to) != len(v) {
		return f, fmt.Errorf("%s was measured %d times, %s %d times", w.bench, len(v), w.against, len(to))
	}
	ratios, beyond := make([]float64, len(v)), make([]float64, len(v))
	for i := range v {
		other := to[i] * max(w.times, 1)
		ratios[i], beyond[i] = v[i]/other, v[i]-other
	}
	if w.called == "" {
		f.Value = median(beyond)
	} else {
		f.Ratio = median(ratios)
	}
	return f, nil
}
