// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"virtbinder/internal/journal"
	"virtbinder/netlink"
)

// filter decides which reports are shown. Values of one kind are alternatives;
// each kind that has values must match.
type filter struct {
	errors   []uint32
	kinds    []journal.Kind // of what is virtbinder's own
	contexts []string       // patterns
	vms      []string
	pids     []uint32
	codes    []uint32
	names    []string // patterns, of processes
}

func (c *Cmd) filter() (filter, error) {
	f := filter{contexts: c.Context, vms: c.VM, pids: c.PID, names: c.Process}
	for _, name := range c.Error {
		if k := journal.Kind(strings.ToLower(name)); k.Known() && k != journal.KindReport {
			f.kinds = append(f.kinds, k)
			continue
		}
		code, err := netlink.ParseErrorName(name)
		if err != nil {
			return f, fmt.Errorf("--error: %w", err)
		}
		f.errors = append(f.errors, code)
	}
	for flag, patterns := range map[string][]string{"--context": c.Context, "--process": c.Process} {
		for _, p := range patterns {
			if _, err := path.Match(p, ""); err != nil {
				return f, fmt.Errorf("%s: pattern %q is malformed", flag, p)
			}
		}
	}
	for _, s := range c.Code {
		code, err := parseCode(s)
		if err != nil {
			return f, fmt.Errorf("--code: %w", err)
		}
		f.codes = append(f.codes, code)
	}
	return f, nil
}

// parseCode reads a number, or the four characters that Android packs into some
// codes, first character highest.
func parseCode(s string) (uint32, error) {
	if v, err := strconv.ParseUint(s, 0, 32); err == nil {
		return uint32(v), nil
	}
	if len(s) == 4 && printable4(s) {
		return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3]), nil
	}
	return 0, fmt.Errorf("%q is neither a number nor four characters", s)
}

func printable4(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// passes reports whether the event's report is wanted.
func (f *filter) passes(ev *event) bool {
	r := &ev.Report
	return f.passesError(ev) && wanted(f.codes, r.Code) && wanted(f.vms, ev.VM) &&
		f.passesPID(r) && f.passesContext(r.Context) && f.passesName(ev)
}

func (f *filter) passesError(ev *event) bool {
	switch {
	case len(f.errors) == 0 && len(f.kinds) == 0:
		return true
	case ev.own():
		return slices.Contains(f.kinds, ev.rec.Kind)
	}
	return slices.Contains(f.errors, ev.Report.Error)
}

func (f *filter) passesName(ev *event) bool {
	return len(f.names) == 0 || slices.ContainsFunc(f.names, func(p string) bool {
		from, _ := path.Match(p, ev.fromName) // patterns were checked
		to, _ := path.Match(p, ev.toName)
		return from && ev.fromName != "" || to && ev.toName != ""
	})
}

func wanted[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

func (f *filter) passesPID(r *netlink.Report) bool {
	return wanted(f.pids, r.FromPID) || r.HasToPID && wanted(f.pids, r.ToPID)
}

// passesContext matches the whole name, or what stands before the VM's.
func (f *filter) passesContext(name string) bool {
	if len(f.contexts) == 0 {
		return true
	}
	plain := name
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		plain = name[:i]
	}
	return slices.ContainsFunc(f.contexts, func(p string) bool {
		whole, _ := path.Match(p, name) // patterns were checked
		part, _ := path.Match(p, plain)
		return whole || part
	})
}
