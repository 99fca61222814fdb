// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// say prints what happens on one kernel, as it happens.
type say struct {
	w      io.Writer
	kernel string
	begun  time.Time

	section string
	equal   int
}

func (s *say) line(format string, args ...any) {
	fmt.Fprintf(s.w, "%-5s %s\n", s.kernel, fmt.Sprintf(format, args...))
}

func (s *say) booted(release string) {
	s.line("guest %s is up after %.0f s", release, time.Since(s.begun).Seconds())
}

// outcome prints one that is not equal; the others are counted.
func (s *say) outcome(o *Outcome) {
	if section(o.Name) != s.section {
		s.flush()
		s.section = section(o.Name)
	}
	switch {
	case o.Result == Equal:
		s.equal++
	case o.Failed():
		s.line("DIFF  %s", o.Name)
		s.indent(o.Why)
		s.indent(o.Diff)
	default:
		s.line("%-5s %s: %s", o.Result, o.Name, o.Why)
	}
}

// flush prints the count of the section that ends.
func (s *say) flush() {
	if s.equal > 0 {
		s.line("equal %4d  %s", s.equal, s.section)
	}
	s.equal = 0
}

func (s *say) indent(text string) {
	for line := range strings.Lines(text) {
		s.line("          %s", strings.TrimRight(line, "\n"))
	}
}

func (s *say) summary(r *Results) {
	s.flush()
	s.line("%d scenarios in %.0f s: %d equal, %d different (%d unexplained), %d n/a", len(r.Scenarios), time.Since(s.begun).Seconds(),
		r.Count(Equal), r.Count(Different), len(r.Failed()), r.Count(NA))
}
