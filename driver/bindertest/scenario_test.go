// SPDX-License-Identifier: Apache-2.0

package bindertest_test

import (
	"flag"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"virtbinder/driver/bindertest"
	"virtbinder/driver/bindertest/fake"
)

// run runs a scenario on a new System and looks for what it left behind.
func run(t *testing.T, s bindertest.Scenario, newSystem func() (*fake.Kernel, error)) string {
	t.Helper()
	sys, err := newSystem()
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	if f, missing := s.Missing(sys.Has); missing {
		t.Logf("%s has no %s", sys.Name(), f)
	} else if got, err = bindertest.Run(sys, s); err != nil {
		t.Errorf("%v; so far:\n%s", err, got)
	}
	if err := sys.Close(); err != nil {
		t.Errorf("%s leaves something behind: %v", sys.Name(), err)
	}
	return got
}

var update = flag.Bool("update", false, "record virtbinder's own transcripts where they are the measure: read them before you keep them")

// kernel is the release whose stock driver is the measure.
const kernel = "6.12"

// TestScenarios runs each scenario on the core and through the ring: both do what
// the stock driver did, or what Differences says instead.
func TestScenarios(t *testing.T) {
	own := map[string]string{}
	for _, s := range bindertest.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			core := run(t, s, fake.NewCore)
			t.Log("transcript:\n" + core)
			if diff := cmp.Diff(core, run(t, s, fake.NewRing)); diff != "" {
				t.Errorf("core (-) and ring (+) differ:\n%s", diff)
			}
			if core == "" {
				return // only a kernel can run it: the oracle does
			}
			stock, recorded := bindertest.Golden(kernel, s.Name)
			want := stock
			_, differs := bindertest.Differs(kernel, s.Name)
			if differs || slices.Contains(s.Needs, bindertest.Reports) {
				own[s.Name] = core
				want, recorded = bindertest.OurGolden(s.Name)
			}
			switch {
			case !recorded:
				t.Error("no golden transcript: make oracle ORACLE=--goldens records those of the stock driver, go test -update ours")
			case differs && want == stock:
				t.Error("the difference that is declared is none")
			default:
				if diff := cmp.Diff(want, core); diff != "" {
					t.Errorf("golden (-) and core (+) differ:\n%s", diff)
				}
			}
		})
	}
	if *update {
		if err := bindertest.Record("testdata/virtbinder", own); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNames: a scenario's name is its own, and says which section it is in.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range bindertest.Scenarios() {
		if seen[s.Name] {
			t.Errorf("two scenarios are named %s", s.Name)
		}
		seen[s.Name] = true
		if s.Pins == "" {
			t.Errorf("%s does not say what it pins", s.Name)
		}
	}
	for _, d := range bindertest.Differences() {
		if !seen[d.Scenario] {
			t.Errorf("a difference is declared for %q, which is no scenario", d.Scenario)
		}
	}
}
