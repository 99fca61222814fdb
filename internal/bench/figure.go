// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"slices"
)

// Figure is one thing that was measured.
type Figure struct {
	Section string  `json:"section"`         // core, scale, device, guest, call, boot
	VCPUs   int     `json:"vcpus,omitempty"` // of the guest it was measured in
	Name    string  `json:"name"`
	Value   float64 `json:"value"` // median
	Unit    string  `json:"unit"`  // ns, allocs, bytes, or a call: so many of it
	// Ratio is Value to that of Against; both are of one run. 0 if there is nothing to compare with.
	Ratio   float64 `json:"ratio,omitempty"`
	Against string  `json:"against,omitempty"`
	// Target is what Ratio, or Value if there is none, should not exceed. Nil if there is no target.
	Target  *float64 `json:"target,omitempty"`
	Command string   `json:"command"` // by which it was made
}

// measured is what counts of a figure.
func (f *Figure) measured() float64 {
	if f.Against != "" {
		return f.Ratio
	}
	return f.Value
}

// Met reports whether the figure has a target and is not beyond it.
func (f *Figure) Met() bool { return f.Target != nil && f.measured() <= *f.Target }

func atMost(v float64) *float64 { return &v }

// aCall is the unit of what is counted of calls.
const aCall = "a call"

// Result is build/bench.json.
type Result struct {
	Machine string   `json:"machine"`
	Figures []Figure `json:"figures"`
}

// replace puts what was measured in the place of what was there of the same section and
// the same guest.
func (r *Result) replace(figures []Figure) {
	type part struct {
		section string
		vcpus   int
	}
	measured := map[part]bool{}
	for _, f := range figures {
		measured[part{f.Section, f.VCPUs}] = true
	}
	r.Figures = slices.DeleteFunc(r.Figures, func(f Figure) bool { return measured[part{f.Section, f.VCPUs}] })
	r.Figures = append(r.Figures, figures...)
	slices.SortStableFunc(r.Figures, func(a, b Figure) int { return cmp.Compare(a.VCPUs, b.VCPUs) })
}

// median is that of a copy of v, which must not be empty.
func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
