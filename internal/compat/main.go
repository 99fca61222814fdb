// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"strings"
	"text/template"

	"virtbinder/driver/bindertest"
)

//go:embed compat.md.tmpl
var page string

// closest is how many scenarios are named for a row.
const closest = 3

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compat FILE: write the comparison with the kernel's driver to FILE")
		os.Exit(2)
	}
	text, err := render()
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

// render makes the page.
func render() ([]byte, error) {
	ts := tables()
	all := collect(ts)
	t, err := template.New("compat.md").Funcs(template.FuncMap{
		"state": func(r row) string { return r.state(all) },
		"shown": func(r row) string { return r.shown(all) },
		"join":  strings.Join,
	}).Parse(page)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Tables":      ts,
		"Scenarios":   len(bindertest.Scenarios()),
		"Recorded":    len(all),
		"Differences": bindertest.Differences(),
	})
	return out.Bytes(), err
}

// state says how a row stands: virtbinder is held to every golden by the tests, so
// what is recorded is done.
func (r *row) state(all []*evidence) string {
	switch {
	case r.never != "":
		return "as the kernel's"
	case len(r.showing(all)) > 0:
		return "done"
	}
	return "not shown"
}

// shown names the scenarios with the rule that each pins.
func (r *row) shown(all []*evidence) string {
	if r.never != "" {
		return r.never
	}
	var out []string
	es := r.showing(all)
	for _, e := range es[:min(len(es), closest)] {
		out = append(out, fmt.Sprintf("`%s`: %s", e.Name, strings.ReplaceAll(e.Pins, "|", "\\|")))
	}
	if more := len(es) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, "<br>")
}
