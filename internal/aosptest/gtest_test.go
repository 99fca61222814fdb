// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// follow gives a transcript its text byte by byte, the hardest way.
func follow(text string) *transcript {
	t := &transcript{Results: map[string]Outcome{}}
	for i := range len(text) {
		_, _ = t.Write([]byte{text[i]})
	}
	t.finish()
	return t
}

const whole = `Note: Google Test filter = *
[==========] Running 4 tests from 2 test suites.
[----------] Global test environment set-up.
[ RUN      ] A.Passes
[       OK ] A.Passes (3 ms)
[ RUN      ] A.Fails
x.cpp:1: Failure
a child's unfinished line[  FAILED  ] A.Fails (0 ms)
[ RUN      ] P/B.Param/0
[  FAILED  ] P/B.Param/0, where GetParam() = 4-byte object <00-00 00-00> (1 ms)
[ RUN      ] B.Skips
x.cpp:2: Skipped
[  SKIPPED ] B.Skips (0 ms)
[==========] 4 tests from 2 test suites ran. (4 ms total)
[  PASSED  ] 1 test.
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] B.Skips
[  FAILED  ] 2 tests, listed below:
[  FAILED  ] A.Fails
`

func TestTranscript(t *testing.T) {
	got := follow(whole)
	want := map[string]Outcome{"A.Passes": Passed, "A.Fails": Failed, "P/B.Param/0": Failed, "B.Skips": Skipped}
	if diff := cmp.Diff(want, got.Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if !got.complete() {
		t.Error("it is complete")
	}
	if diff := cmp.Diff([]string{"A.Fails", "P/B.Param/0"}, got.named(Failed)); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
}

// However early the output stops, no test passes that was not said to, and the one
// that ran has failed.
func TestTranscriptOfACrash(t *testing.T) {
	end := strings.Index(whole, "[==========] 4 tests")
	for n := range end {
		got := follow(whole[:n])
		if got.complete() {
			t.Fatalf("complete after %q", whole[:n])
		}
		begun := strings.Count(whole[:n], "[ RUN      ] ")
		if len(got.Results) > begun || slices.Contains(slices.Collect(maps.Values(got.Results)), "") {
			t.Fatalf("results %v after %q", got.Results, whole[:n])
		}
		for name, o := range got.Results {
			if ok := "[       OK ] " + name; o == Passed && !strings.Contains(whole[:n], ok) {
				t.Fatalf("%s passed after %q", name, whole[:n])
			}
		}
	}
	if got := follow("[==========] Running 2 tests from 1 test suite.\n[ RUN      ] A.Hangs\n"); got.Results["A.Hangs"] != Failed {
		t.Error("a test without an end has not failed")
	}
}

// The words of a process that a test has started are not the program's own.
func TestTranscriptOfAnother(t *testing.T) {
	got := follow("[==========] Running 1 test from 1 test suite.\n[ RUN      ] A.Parent\n[       OK ] A.Child (0 ms)\n[  FAILED  ] A.Parent (0 ms)\n")
	if diff := cmp.Diff(map[string]Outcome{"A.Parent": Failed}, got.Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestAgain(t *testing.T) {
	crash := whole[:strings.Index(whole, "[ RUN      ] B.Skips")]
	gtest, script, filtered := program{}, program{script: true}, program{filter: "A.*:P/*"}
	for _, c := range []struct {
		name   string
		text   string
		p      program
		again  bool
		filter string
	}{
		{"failures by name", whole, gtest, true, "A.Fails:P/B.Param/0"},
		{"a script as a whole", whole, script, true, ""},
		{"after a crash all but what is settled", crash, gtest, true, "*-A.Passes"},
		{"within the program's filter", crash, filtered, true, "A.*:P/*-A.Passes"},
		{"after a crash at once everything", "", gtest, true, "*"},
		{"nothing", "[==========] Running 1 test from 1 test suite.\n[ RUN      ] A.B\n[       OK ] A.B (0 ms)\n[==========] 1 test from 1 test suite ran. (0 ms total)\n", gtest, false, ""},
	} {
		again, filter := follow(c.text).again(c.p)
		if again != c.again || filter != c.filter {
			t.Errorf("%s: %t, %q, not %t, %q", c.name, again, filter, c.again, c.filter)
		}
	}
}

func TestTail(t *testing.T) {
	tail := &tail{lines: 3}
	for _, s := range []string{"one\ntw", "o\nthree\n", "four"} {
		_, _ = tail.Write([]byte(s))
	}
	if got := tail.String(); got != "two\nthree\nfour" {
		t.Errorf("%q", got)
	}
}

// A second session fills in what the first did not get to, and settles failures.
func TestTranscriptOfTwoSessions(t *testing.T) {
	all := &transcript{Results: map[string]Outcome{}}
	all.add(follow(whole[:strings.Index(whole, "[ RUN      ] B.Skips")]))
	if again, _ := all.again(program{}); !again || all.complete() {
		t.Fatal("a crash is not the end")
	}
	all.add(follow("[==========] Running 2 tests from 1 test suite.\n[ RUN      ] A.Fails\n[       OK ] A.Fails (0 ms)\n" +
		"[ RUN      ] P/B.Param/0\n[       OK ] P/B.Param/0 (0 ms)\n[==========] 2 tests from 1 test suite ran. (0 ms total)\n"))
	if again, filter := all.again(program{}); !again || filter != "*-A.Passes:A.Fails:P/B.Param/0" {
		t.Fatalf("again %t, %q", again, filter)
	}
	all.add(follow("[==========] Running 1 test from 1 test suite.\n[ RUN      ] B.Skips\n[  SKIPPED ] B.Skips (0 ms)\n[==========] 1 test from 1 test suite ran. (0 ms total)\n"))
	if again, _ := all.again(program{}); again || len(all.Results) != 4 {
		t.Fatalf("again %t, %v", again, all.Results)
	}
}
