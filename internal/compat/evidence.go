// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"

	"virtbinder/driver/bindertest"
)

// model is the kernel whose stock driver the recorded transcripts are of.
const model = "6.12"

// evidence is a scenario that the stock driver was recorded with.
type evidence struct {
	bindertest.Scenario
	transcript string
	names      int // how many rows it shows: the fewer, the closer to the point
}

// collect finds the evidence there is.
func collect(ts []table) (all []*evidence) {
	for _, s := range bindertest.Scenarios() {
		text, ok := bindertest.Golden(model, s.Name)
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
