// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"

	"virtbinder/driver/bindertest"
)

// kernels are those whose stock driver the goldens are from, the model first.
var kernels = []string{"6.12", "6.1"}

// evidence is a scenario that the stock driver was recorded with.
type evidence struct {
	bindertest.Scenario
	transcript string
	names      int // how many rows it shows: the fewer, the closer to the point
}

// collect finds the evidence there is.
func collect(ts []table) (all []*evidence) {
	for _, s := range bindertest.Scenarios() {
		text, ok := recorded(s.Name)
		if !ok {
			continue
		}
		e := &evidence{Scenario: s, transcript: text}
		for _, t := range ts {
			for _, r := range t.Rows {
				if r.in(text) {
					e.names++
				}
			}
		}
		all = append(all, e)
	}
	return all
}

func recorded(name string) (string, bool) {
	for _, k := range kernels {
		if text, ok := bindertest.Golden(k, name); ok {
			return text, true
		}
	}
	return "", false
}

// showing are those that show a row, the closest first.
func (r *row) showing(all []*evidence) (out []*evidence) {
	for _, e := range all {
		if r.in(e.transcript) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b *evidence) int { return cmp.Compare(a.names, b.names) })
	return out
}
