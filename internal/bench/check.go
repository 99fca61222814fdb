// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"strings"
)

// slack is how much worse than the baseline a ratio may be: machines differ, and
// what shares them does.
const slack = 1.5

// worse lists what is worse than the baseline: a ratio beyond the slack, more
// allocations, or more than double the memory. Wall time is not looked at. What was
// not measured is not compared; the first return value counts what was.
func worse(now, baseline *Result) (compared int, list []string) {
	was := map[string]*Figure{}
	for i := range baseline.Figures {
		f := &baseline.Figures[i]
		was[f.key()] = f
	}
	for i := range now.Figures {
		f := &now.Figures[i]
		b := was[f.key()]
		if b == nil {
			continue
		}
		limit, comparable := b.limit()
		if !comparable {
			continue
		}
		compared++
		if f.measured() > limit {
			list = append(list, fmt.Sprintf("%s: %s: %.2f, the baseline is %.2f and the limit %.2f", f.Section, f.key(), f.measured(), b.measured(), limit))
		}
	}
	return compared, list
}

func (f *Figure) key() string {
	return strings.Join([]string{f.Section, f.Name, f.Unit, f.Against}, "|")
}

// limit is what a new measurement of f may be at most.
func (f *Figure) limit() (v float64, comparable bool) {
	switch {
	case f.Against != "":
		return f.Ratio * slack, true
	case f.Unit == "allocs":
		return f.Value, true
	case f.Unit == "bytes":
		return f.Value * 2, true
	}
	return 0, false
}
