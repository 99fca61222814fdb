// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"
)

// TestEveryNameIsShown: nothing of the interface is without a scenario that the
// stock driver was recorded with, or the reason why it cannot have one.
func TestEveryNameIsShown(t *testing.T) {
	ts := tables()
	all := collect(ts)
	for _, table := range ts {
		for _, r := range table.Rows {
			if r.never == "" && len(r.showing(all)) == 0 {
				t.Errorf("%s: no recorded scenario shows it", r.Name)
			}
		}
	}
}

// TestPageIsCurrent: docs/compat.md says what the transcripts do.
func TestPageIsCurrent(t *testing.T) {
	want, err := render()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/compat.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/compat.md is stale: run `make generate`")
	}
}
