// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func on(results ...any) *ran {
	r := &ran{Results: map[string]Outcome{}}
	for i := 0; i < len(results); i += 2 {
		r.Results[results[i].(string)] = results[i+1].(Outcome)
	}
	return r
}

// Virtbinder is held to what the stock driver passes, test by test, under another
// security module too.
func TestCompare(t *testing.T) {
	both := func(v, s *ran) []rawProgram { return []rawProgram{{"p", 1, map[string]*ran{virtbinder: v, stock: s}}} }
	alone := func(v *ran) []rawProgram { return []rawProgram{{"p", 1, map[string]*ran{virtbinder: v}}} }
	for _, c := range []struct {
		name     string
		selinux  []rawProgram
		apparmor []rawProgram
		passed   bool
		worse    [][]string
	}{
		{"equal", both(on("a", Passed, "b", Failed), on("a", Passed, "b", Failed)), nil, true, [][]string{{}}},
		{"better", both(on("a", Passed, "b", Passed), on("a", Passed, "b", Failed)), nil, true, [][]string{{}}},
		{"failed", both(on("a", Failed, "b", Passed), on("a", Passed, "b", Passed)), nil, false, [][]string{{"a"}}},
		{"skipped", both(on("a", Skipped), on("a", Passed)), nil, false, [][]string{{"a"}}},
		{"never reached", both(on(), on("a", Passed, "b", Skipped)), nil, false, [][]string{{"a"}}},
		{"held to the other guest's", both(on("a", Passed), on("a", Passed)), alone(on("a", Failed)), false, [][]string{{}, {"a"}}},
		{"as good as the other guest's", both(on("a", Passed), on("a", Passed)), alone(on("a", Passed)), true, [][]string{{}, {}}},
		{"nothing to compare with", both(on("a", Passed), on("a", Failed)), nil, false, [][]string{{}}},
	} {
		runs := []*raw{{Guest: "6.12", LSM: "selinux", Programs: c.selinux}, {Guest: "6.12", LSM: "apparmor", Programs: c.apparmor}}
		r := compare(runs)
		var worse [][]string
		for _, p := range r.Programs {
			worse = append(worse, p.Worse)
		}
		if diff := cmp.Diff(c.worse, worse); diff != "" || r.Passed != c.passed {
			t.Errorf("%s: passed %t, worse (-want +got):\n%s", c.name, r.Passed, diff)
		}
	}
	if compare(nil).Passed {
		t.Error("without any run nothing has passed")
	}
}

func TestMedian50(t *testing.T) {
	us, err := median50("iterations per sec: 9000\naverage:0.1ms worst:2ms best:0.05ms\n50%: 0.117188 90%: 0.13 95%: 0.15 99%: 0.2 \n")
	if err != nil || us != 117.188 {
		t.Errorf("%g, %v", us, err)
	}
	for _, text := range []string{"", "50%: 1 90%: 2\n50%: 3 90%: 4\n"} {
		if _, err := median50(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}
