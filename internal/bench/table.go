// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
)

// sections in the order in which they are shown.
var sections = []string{"core", "scale", "device", "guest", "call", "boot"}

// table is a section in Markdown.
func (r *Result) table(section string) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| what | figure | ratio | to | target |")
	fmt.Fprintln(&b, "|---|---|---|---|---|")
	commands := map[string]bool{}
	var said []string
	for i := range r.Figures {
		f := &r.Figures[i]
		if f.Section != section {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.Name, f.value(), f.ratio(), f.Against, f.target())
		if !commands[f.Command] {
			commands[f.Command] = true
			said = append(said, "`"+f.Command+"`")
		}
	}
	if said == nil {
		return "Not measured.\n"
	}
	fmt.Fprintf(&b, "\nMade by %s.\n", strings.Join(said, ", "))
	return b.String()
}

// has says whether something of a section was measured.
func (r *Result) has(section string) bool {
	return slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Section == section })
}

func (f *Figure) value() string {
	switch {
	case f.Unit == aCall:
		return fmt.Sprintf("%.2f %s", f.Value, f.Unit)
	case f.Unit != "ns":
		return fmt.Sprintf("%.0f %s", f.Value, f.Unit)
	case f.Value < 10e3:
		return fmt.Sprintf("%.2f µs", f.Value/1e3)
	default:
		return fmt.Sprintf("%.0f µs", f.Value/1e3)
	}
}

func (f *Figure) ratio() string {
	if f.Against == "" {
		return ""
	}
	return fmt.Sprintf("%.2f", f.Ratio)
}

func (f *Figure) target() string {
	if f.Target == nil {
		return ""
	}
	limit := fmt.Sprintf("%.2f", *f.Target)
	if f.Against == "" {
		limit = (&Figure{Value: *f.Target, Unit: f.Unit}).value()
	}
	if f.Met() {
		return "≤ " + limit + ": met"
	}
	return "≤ " + limit + ": **missed**"
}

// show puts the tables into a page, each between its section's marks. What this result
// has nothing of stays as it is.
func (r *Result) show(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, s := range sections {
		begin, end := []byte("<!-- "+s+" -->\n"), []byte("<!-- /"+s+" -->\n")
		i, j := bytes.Index(page, begin), bytes.Index(page, end)
		if i < 0 || j < i {
			return fmt.Errorf("%s: no place for the figures of %s between %q and %q", path, s, begin, end)
		}
		if r.has(s) {
			page = append(append(append([]byte{}, page[:i+len(begin)]...), r.table(s)...), page[j:]...)
		}
	}
	return os.WriteFile(path, page, 0o644)
}
