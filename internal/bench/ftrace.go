// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ftrace is the guest's function tracer: for each of some functions of its kernel who
// entered it when, on one clock for all processors, and how long it took until it
// returned. Of which, within what ($2, or anywhere), with the time that tasks sleep or
// without ($3), and what to run meanwhile.
const ftrace = `set -e
[ -e /sys/kernel/tracing/trace ] || mount -t tracefs tracefs /sys/kernel/tracing
cd /sys/kernel/tracing
end() { echo 0 >tracing_on; echo nop >current_tracer; echo >set_graph_function; echo >set_ftrace_filter; }
trap end EXIT
echo 16384 >buffer_size_kb
echo mono >trace_clock
echo "$1" >set_ftrace_filter
echo "$2" >set_graph_function
echo function_graph >current_tracer
for option in funcgraph-irqs funcgraph-cpu; do echo 0 >options/$option; done
for option in funcgraph-abstime funcgraph-proc funcgraph-tail; do echo 1 >options/$option; done
echo "$3" >options/sleep-time
shift 3
echo >trace
echo 1 >tracing_on
"$@"
echo 0 >tracing_on
cat trace per_cpu/cpu*/stats`

// tracing is what to trace.
type tracing struct {
	functions []string
	within    string // another function, or what may call them is nobody's matter
	asleep    bool   // time asleep counts
}

// command runs another one traced.
func (t tracing) command() []string {
	asleep := "0"
	if t.asleep {
		asleep = "1"
	}
	return []string{"sh", "-c", ftrace, "sh", strings.Join(t.functions, " "), t.within, asleep}
}

// spent is how long things took, by name, in nanoseconds, all together.
type spent map[string]float64

// passage is one way into a function or out of it.
type passage struct {
	thread   int
	function string
	out      bool
	at       float64 // nanoseconds
}

// trace is what a trace says: who passed in their order of each thread, how long each
// function's calls took together, and how many there were.
type trace struct {
	passages []passage
	took     spent
	calls    map[string]int
}

// A function that calls no traced one is a line of its own; of another one the first line
// says when it was entered, the last one what it was and how long it took.
var (
	traceLine = regexp.MustCompile(`^ *([0-9]+\.[0-9]+) \| +.*-([0-9]+) +\|(?:[^0-9|]*([0-9.]+) us)? +\| +(} /\* )?(\w+)`)
	traceLost = regexp.MustCompile(`(?m)^overrun: (\d+)$`)
)

// traceBegin is how a trace begins, behind what the traced program has said.
const traceBegin = "# tracer: "

// parseTrace reads what the function_graph tracer wrote, and its buffer's statistics.
func parseTrace(text string) (*trace, error) {
	t := &trace{took: spent{}, calls: map[string]int{}}
	lost := traceLost.FindAllStringSubmatch(text, -1)
	if lost == nil || slices.ContainsFunc(lost, func(cpu []string) bool { return cpu[1] != "0" }) {
		return nil, fmt.Errorf("ftrace: the guest's trace is not whole (%q): trace fewer calls, or make buffer_size_kb larger", lost)
	}
	for line := range strings.Lines(text) {
		if m := traceLine.FindStringSubmatch(line); m != nil {
			if err := t.add(m[1], m[2], m[3], m[4] != "", m[5]); err != nil {
				return nil, fmt.Errorf("ftrace: %q: %w", line, err)
			}
		}
	}
	return t, nil
}

// add takes a line in: what has no duration is a way in, what has one a way out, or both.
func (t *trace) add(seconds, thread, us string, out bool, function string) error {
	at, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return err
	}
	p := passage{function: function, at: at * 1e9}
	if p.thread, err = strconv.Atoi(thread); err != nil {
		return err
	}
	if !out {
		t.passages = append(t.passages, p)
		t.calls[function]++
	}
	if us == "" {
		return nil
	}
	took, err := strconv.ParseFloat(us, 64)
	if err != nil {
		return err
	}
	t.took[function] += took * 1e3
	if p.out = true; !out {
		p.at += took * 1e3
	}
	t.passages = append(t.passages, p)
	return nil
}
