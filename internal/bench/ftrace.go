// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ftrace is the guest's function tracer: for each of some functions of its kernel how
// long it takes from entry to return, without the time that its task sleeps.
const ftrace = `set -e
[ -e /sys/kernel/tracing/trace ] || mount -t tracefs tracefs /sys/kernel/tracing
cd /sys/kernel/tracing
end() { echo 0 >tracing_on; echo nop >current_tracer; echo >set_ftrace_filter; }
trap end EXIT
echo 16384 >buffer_size_kb
echo "$1" >set_ftrace_filter
echo function_graph >current_tracer
for option in sleep-time funcgraph-irqs funcgraph-cpu; do echo 0 >options/$option; done
echo 1 >options/funcgraph-tail
shift
echo >trace
echo 1 >tracing_on
"$@"
echo 0 >tracing_on
cat trace per_cpu/cpu*/stats`

// spent is how long calls of functions took, by name, in nanoseconds, all together.
type spent map[string]float64

// A function that calls no traced one is a line of its own; of another one the last line
// says what it was.
var (
	traceLine = regexp.MustCompile(`([0-9.]+) us +\| +(?:\} /\* )?(\w+)`)
	traceLost = regexp.MustCompile(`(?m)^overrun: (\d+)$`)
)

// parseTrace reads what the function_graph tracer wrote, and its buffer's statistics.
func parseTrace(text string) (spent, error) {
	s := spent{}
	lost := traceLost.FindAllStringSubmatch(text, -1)
	if lost == nil || slices.ContainsFunc(lost, func(cpu []string) bool { return cpu[1] != "0" }) {
		return nil, fmt.Errorf("ftrace: the guest's trace is not whole (%q): trace fewer calls, or make buffer_size_kb larger", lost)
	}
	for line := range strings.Lines(text) {
		if m := traceLine.FindStringSubmatch(line); m != nil {
			us, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				return nil, fmt.Errorf("ftrace: %q: %w", line, err)
			}
			s[m[2]] += us * 1e3
		}
	}
	return s, nil
}
