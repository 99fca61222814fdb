// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"encoding/json"
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
func (m *measuring) rounds(ctx context.Context, read func(string) (map[string]float64, error), env []string, program string, args ...string) (map[string]map[string][]float64, error) {
	found := map[string]map[string][]float64{}
	for _, driver := range aosptest.Drivers {
		found[driver] = map[string][]float64{}
	}
	for range aospRounds {
		for _, driver := range aosptest.Drivers {
			fmt.Fprintf(m.log, "# %s: %v %s %v\n", driver, env, program, args)
			var out bytes.Buffer
			if err := m.guest.Session(ctx, driver, io.MultiWriter(&out, m.log), env, program, args...); err != nil {
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
	pairs      int
	args       []string
	percentile string
	most       int // microseconds, for each of the guest's processors
}{
	{"a pair", 1, []string{"-i", "1000"}, "50%", 5000},
	{"a pair", 1, []string{"-i", "1000"}, "99%", 60000},
	{"a pair, 4 KiB", 1, []string{"-s", "4096", "-i", "1000"}, "50%", 5000},
	{"two pairs", 2, []string{"-i", "500"}, "50%", 10000},
}

func (m *measuring) throughput(ctx context.Context) error {
	const program = "binderThroughputTest"
	for _, p := range m.pinnings() {
		for _, t := range throughputRuns {
			args := append([]string{"-p", "-w", strconv.Itoa(2 * t.pairs)}, t.args...)
			args = append(args, "-m", strconv.Itoa(t.most*m.CPUs))
			env := p.env(t.pairs, t.pairs)
			found, err := m.rounds(ctx, readPercentiles, env, program, args...)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("%s, %s, p%s%s", program, t.name, strings.TrimSuffix(t.percentile, "%"), p.name)
			a, b := found[ours][t.percentile], found[stock][t.percentile]
			m.compare(name, command(env, program, args), a, b, "the stock driver", nil)
		}
	}
	return nil
}

// command is what somebody would type.
func command(env []string, program string, args []string) string {
	return strings.Join(append(append(slices.Clone(env), program), args...), " ")
}

var percentile = regexp.MustCompile(`\b(50%|99%): ([0-9.e+-]+)`)

// readPercentiles finds the throughput test's percentiles; it says milliseconds.
func readPercentiles(text string) (map[string]float64, error) {
	return readValues(percentile, text, 1e6, 2)
}

// Pings of binderRpcBenchmark.
const (
	rpcProgram = "binderRpcBenchmark"
	kernelPing = "BM_pingTransaction/0"
	socketPing = "BM_pingTransaction/1"
	bothPings  = "BM_pingTransaction/[01]"
)

// rpcFilter chooses pings.
func rpcFilter(pings string) string { return "--benchmark_filter=" + pings + "$" }

// rpcRuns are its runs: one says the mean of many calls, the other what each of so many
// takes, reading clocks included.
var rpcRuns = []struct {
	args    []string
	read    func(string) (map[string]float64, error)
	figures []string // behind the names of pings
	target  *float64 // against RPC binder
}{
	{[]string{rpcFilter(bothPings), "--benchmark_min_time=0.2s"}, readPings, []string{""}, atMost(1)},
	{[]string{rpcFilter(bothPings), "--benchmark_min_time=1x", "--benchmark_repetitions=1000", "--benchmark_format=json"}, readEachPing, []string{" p50", " p99"}, nil},
}

// rpc compares libbinder's transports: the kernel's, and AOSP's RPC binder over a unix
// socket, which needs no driver.
func (m *measuring) rpc(ctx context.Context) error {
	for _, p := range m.pinnings() {
		for _, t := range rpcRuns {
			env := p.env(1, 0)
			found, err := m.rounds(ctx, t.read, env, rpcProgram, t.args...)
			if err != nil {
				return err
			}
			by := command(env, rpcProgram, t.args)
			for _, f := range t.figures {
				name := "libbinder's ping" + strings.ReplaceAll(f, " ", ", ") + p.name
				own := found[ours][kernelPing+f]
				m.compare(name, by, own, found[stock][kernelPing+f], "the stock driver", nil)
				m.compare(name, by, own, found[ours][socketPing+f], "RPC binder over a unix socket", t.target)
			}
		}
	}
	return nil
}

var ping = regexp.MustCompile(`(?m)^(BM_pingTransaction/[01]) +([0-9.]+) ns`)

func readPings(text string) (map[string]float64, error) { return readValues(ping, text, 1, 2) }

// readEachPing finds percentiles of what each call took.
func readEachPing(text string) (map[string]float64, error) {
	said, err := parsePings(text)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, name := range []string{kernelPing, socketPing} {
		if said[name].Calls < 100 {
			return nil, fmt.Errorf("%d times of %s, too few for a p99", said[name].Calls, name)
		}
		values[name+" p50"], values[name+" p99"] = said[name].P50, said[name].P99
	}
	return values, nil
}

// logged is what its processes log, anywhere in what it says.
var logged = regexp.MustCompile(`\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +\d+ +\d+ [A-Z] .*\n`)

// parsePings reads its JSON: by the name of a ping, what pingpong would say of it. Where
// the program has timed many calls together, they count as if each had taken the same.
func parsePings(text string) (map[string]pingpong, error) {
	var said struct {
		Benchmarks []struct {
			Name     string  `json:"run_name"`
			Type     string  `json:"run_type"`
			Calls    int     `json:"iterations"`
			Time     float64 `json:"real_time"`
			TimeUnit string  `json:"time_unit"`
		}
	}
	text = logged.ReplaceAllString(text, "")
	i := strings.Index(text, "{\n")
	if i < 0 {
		return nil, fmt.Errorf("no JSON in what it said: %q", text)
	}
	if err := json.NewDecoder(strings.NewReader(text[i:])).Decode(&said); err != nil {
		return nil, fmt.Errorf("%w in what it said", err)
	}
	each := map[string][]float64{}
	for _, b := range said.Benchmarks {
		if b.TimeUnit != "ns" {
			return nil, fmt.Errorf("%s is in %s, not in ns", b.Name, b.TimeUnit)
		}
		if b.Type == "iteration" {
			name, _, _ := strings.Cut(b.Name, "/iterations:")
			each[name] = append(each[name], slices.Repeat([]float64{b.Time}, b.Calls)...)
		}
	}
	pings := map[string]pingpong{}
	for name, times := range each {
		pings[name] = summary(times)
	}
	return pings, nil
}

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
