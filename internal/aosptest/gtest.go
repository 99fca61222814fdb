// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// Outcome is how a test ended.
type Outcome string

const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// transcript follows a program's output as it comes, in gtest's text format: a
// program that crashes or hangs has no other.
type transcript struct {
	Results map[string]Outcome
	Order   []string // in which tests began
	Planned int      // how many tests the program said that it would run
	Ended   bool     // it said that all of them were run

	current string // the test that runs
	partial []byte // a line's beginning
}

// The marks need not begin a line: processes that a test has started write to the
// same output.
var (
	mark    = regexp.MustCompile(`\[( RUN      |       OK |  FAILED  |  SKIPPED )\] ([^ ,]+)`)
	planned = regexp.MustCompile(`^\[==========\] Running (\d+) tests? from`)
	ended   = regexp.MustCompile(`^\[==========\] \d+ tests? from .* ran\.`)
)

// Write takes output.
func (t *transcript) Write(b []byte) (int, error) {
	t.partial = append(t.partial, b...)
	for {
		i := bytes.IndexByte(t.partial, '\n')
		if i < 0 {
			return len(b), nil
		}
		t.line(string(t.partial[:i]))
		t.partial = t.partial[i+1:]
	}
}

func (t *transcript) line(l string) {
	if m := planned.FindStringSubmatch(l); m != nil {
		t.Planned, _ = strconv.Atoi(m[1])
		return
	}
	if ended.MatchString(l) {
		t.Ended = true
		return
	}
	m := mark.FindStringSubmatch(l)
	if m == nil || t.Ended { // after the end failures are listed once more
		return
	}
	name := m[2]
	switch strings.TrimSpace(m[1]) {
	case "RUN":
		t.finish()
		t.current = name
		t.Order = append(t.Order, name)
	case "OK":
		t.end(name, Passed)
	case "FAILED":
		t.end(name, Failed)
	case "SKIPPED":
		t.end(name, Skipped)
	}
}

// end takes the end of the test that runs; others' are not the program's own words.
func (t *transcript) end(name string, o Outcome) {
	if name == t.current {
		t.Results[name] = o
		t.current = ""
	}
}

// finish says that no more output of the running test will come: if its end was not
// seen, it has failed.
func (t *transcript) finish() {
	if t.current != "" {
		t.Results[t.current] = Failed
		t.current = ""
	}
}

// complete says whether each test that was planned has an outcome.
func (t *transcript) complete() bool { return t.Ended && len(t.Results) == t.Planned }
