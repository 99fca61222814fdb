// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// teller prints the demonstration and collects its result. Its methods may be
// called from several goroutines.
type teller struct {
	w      io.Writer
	colour bool
	begun  time.Time

	mu     sync.Mutex
	result *Result // guarded by mu
}

const steps = 6

func (t *teller) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *teller) print(format string, args ...any) {
	fmt.Fprintf(t.w, format+"\n", args...)
}

// step begins a step.
func (t *teller) step(number int, title string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Steps = append(t.result.Steps, &Step{Number: number, Title: title})
	t.print("\n%s %s", t.paint("1;36", fmt.Sprintf("[%d/%d]", number, steps)), t.paint("1", title))
}

// note prints something that is no check.
func (t *teller) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.print("      "+format, args...)
}

// check records and prints a check. It returns err, wrapped with what was checked,
// so that callers can end with it.
func (t *teller) check(err error, what string, detail string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := Check{What: what, OK: err == nil, Detail: detail}
	if err != nil {
		c.Detail = err.Error()
	}
	s := t.result.Steps[len(t.result.Steps)-1]
	s.Checks = append(s.Checks, c)
	if err != nil {
		t.print("  %s %s", t.paint("1;31", "NO "), what)
		return fmt.Errorf("%s: %w", what, err)
	}
	if detail != "" {
		what += t.paint("2", ": "+detail)
	}
	t.print("  %s %s", t.paint("32", "ok "), what)
	return nil
}

// ok is a check that has just succeeded.
func (t *teller) ok(what, format string, args ...any) {
	_ = t.check(nil, what, fmt.Sprintf(format, args...))
}

func (t *teller) figure(name string, value float64, unit string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Figures = append(t.result.Figures, Figure{name, value, unit})
	t.print("  %s %s: %.4g %s", t.paint("34", "fig"), name, value, unit)
}

// command prints a guest's command and the first lines of its output.
func (t *teller) command(line string, output []byte) {
	const shown = 14
	t.mu.Lock()
	defer t.mu.Unlock()
	t.print("      %s", t.paint("1", "# "+line))
	output = bytes.TrimRight(output, "\n")
	if len(output) == 0 {
		return
	}
	lines := strings.Split(string(output), "\n")
	for i, l := range lines {
		if i == shown && len(lines) > shown+1 {
			t.print("      %s", t.paint("2", fmt.Sprintf("  ... %d more lines", len(lines)-i)))
			return
		}
		t.print("      %s", t.paint("2", "  "+printable(l)))
	}
}

// printable makes a guest's line safe for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return '?'
	}, s)
}
