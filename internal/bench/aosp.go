// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"virtbinder/internal/aosptest"
)

// AOSP's programs run once on each driver in each round; the median of the rounds
// counts, and that of their ratios.
const aospRounds = 3

const (
	ours  = "virtbinder" // names of drivers, as aosptest.Drivers has them
	stock = "stock"
)

// rounds runs a program on both drivers in turn and returns what read finds in each
// output, by driver and by the name that read gives it.
func (m *measuring) rounds(ctx context.Context, read func(string) (map[string]float64, error), program string, args ...string) (map[string]map[string][]float64, error) {
	found := map[string]map[string][]float64{}
	for _, driver := range aosptest.Drivers {
		found[driver] = map[string][]float64{}
	}
	for range aospRounds {
		for _, driver := range aosptest.Drivers {
			fmt.Fprintf(m.log, "# %s: %s %v\n", driver, program, args)
			var out bytes.Buffer
			if err := m.guest.Session(ctx, driver, io.MultiWriter(&out, m.log), program, args...); err != nil {
				return nil, err
			}
			values, err := read(out.String())
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", program, driver, err)
			}
			for name, v := range values {
				found[driver][name] = append(found[driver][name], v)
			}
		}
	}
	return found, nil
}

// compare adds the figure of what was found by two names.
func (m *measuring) compare(what, command string, a, b []float64, against string, target *float64) {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	m.on(what, command, median(a), median(b), against, target).Ratio = median(ratios)
}

// throughputRuns are AOSP's throughput test with and without payload. It counts in 128
// steps up to -m microseconds and knows nothing beyond, so each percentile takes a run of
// its own; where processors have to be woken, calls take longer.
var throughputRuns = []struct {
	name       string
	args       []string
	percentile string
	most       int // microseconds, for each of the guest's processors
}{
	{"a pair", []string{"-w", "2", "-p", "-i", "1000"}, "50%", 5000},
	{"a pair", []string{"-w", "2", "-p", "-i", "1000"}, "99%", 60000},
	{"a pair, 4 KiB", []string{"-w", "2", "-p", "-s", "4096", "-i", "1000"}, "50%", 5000},
	{"two pairs", []string{"-w", "4", "-p", "-i", "500"}, "50%", 10000},
}

func (m *measuring) throughput(ctx context.Context) error {
	const program = "binderThroughputTest"
	for _, t := range throughputRuns {
		args := append(slices.Clone(t.args), "-m", strconv.Itoa(t.most*m.CPUs))
		found, err := m.rounds(ctx, readPercentiles, program, args...)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s, %s, p%s", program, t.name, strings.TrimSuffix(t.percentile, "%"))
		a, b := found[ours][t.percentile], found[stock][t.percentile]
		m.compare(name, program+" "+strings.Join(args, " "), a, b, "the stock driver", nil)
	}
	return nil
}

var percentile = regexp.MustCompile(`\b(50%|99%): ([0-9.e+-]+)`)

// readPercentiles finds the throughput test's percentiles; it says milliseconds.
func readPercentiles(text string) (map[string]float64, error) {
	return readValues(percentile, text, 1e6, 2)
}

// rpc compares libbinder's transports: the kernel's, and AOSP's RPC binder over a unix
// socket, which needs no driver.
func (m *measuring) rpc(ctx context.Context) error {
	const program = "binderRpcBenchmark"
	args := []string{"--benchmark_filter=BM_pingTransaction/[01]$", "--benchmark_min_time=0.2s"}
	found, err := m.rounds(ctx, readPings, program, args...)
	if err != nil {
		return err
	}
	const kernel, socket = "BM_pingTransaction/0", "BM_pingTransaction/1"
	command := program + " " + strings.Join(args, " ")
	m.compare("libbinder's ping", command, found[ours][kernel], found[stock][kernel], "the stock driver", nil)
	m.compare("libbinder's ping", command, found[ours][kernel], found[ours][socket], "RPC binder over a unix socket", atMost(1))
	return nil
}

var ping = regexp.MustCompile(`(?m)^(BM_pingTransaction/[01]) +([0-9.]+) ns`)

func readPings(text string) (map[string]float64, error) { return readValues(ping, text, 1, 2) }

// readValues finds names with their values; all n of them have to be there.
func readValues(what *regexp.Regexp, text string, scale float64, n int) (map[string]float64, error) {
	values := map[string]float64{}
	for _, found := range what.FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			return nil, err
		}
		values[found[1]] = v * scale
	}
	if len(values) != n {
		return nil, fmt.Errorf("%d values, want %d, in what it said: %q", len(values), n, text)
	}
	return values, nil
}
