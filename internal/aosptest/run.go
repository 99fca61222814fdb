// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// run is one guest: its kernel, its security module, and how much is run in it.
type run struct {
	Guest    string // kernel series
	LSM      string
	CPUs     int // of the guest; 1 if 0
	Programs []program
	Figures  bool // measure, too
}

func (r run) name() string { return r.Guest + "-" + r.LSM }

// inGuest boots the guest and runs everything; out is the run's directory.
func (r run) inGuest(ctx context.Context, top, out string, progress io.Writer) (*raw, error) {
	say := func(format string, args ...any) {
		fmt.Fprintf(progress, "[%s %s %s] %s\n", time.Now().Format(time.TimeOnly), r.Guest, r.LSM, fmt.Sprintf(format, args...))
	}
	say("booting")
	m, err := start(ctx, r, top, out)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	drivers, err := m.serving(ctx, out, say)
	if err != nil {
		return nil, err
	}
	result := &raw{Guest: r.Guest, LSM: r.LSM}
	for _, p := range r.Programs {
		on := map[string]*ran{}
		for _, driver := range drivers {
			if on[driver], err = m.trial(ctx, p, driver, out); err != nil {
				return nil, err
			}
			say("%s on %s: %s", p.name, driver, on[driver])
		}
		result.Programs = append(result.Programs, rawProgram{Name: p.name, Least: p.least, On: on})
	}
	if r.Figures {
		if result.Figures, err = m.figures(ctx, r.Guest, out); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// serving are the drivers that can serve servicemanager in this guest: virtbinder has
// to, the stock driver needs a security module that it can get contexts from.
func (m *machine) serving(ctx context.Context, out string, say func(string, ...any)) ([]string, error) {
	nothing := program{name: "probe", command: []string{"sh", "-c", ". " + scriptDir + "checks.sh; begin 1; check probe.Session true; finish"},
		script: true}
	if _, err := m.trial(ctx, nothing, virtbinder, out); err != nil {
		return nil, err
	}
	switch _, err := m.trial(ctx, nothing, stock, out); {
	case errors.Is(err, errNoManager):
		say("the stock driver cannot serve servicemanager here")
		return []string{virtbinder}, nil
	case err != nil:
		return nil, err
	}
	return []string{virtbinder, stock}, nil
}

// String is passed/failed/skipped, the time, and what went wrong.
func (r *ran) String() string {
	text := fmt.Sprintf("%d/%d/%d in %.0f s", r.count(Passed), r.count(Failed), r.count(Skipped), r.Seconds)
	if failed := r.named(Failed); len(failed) > 0 {
		text += fmt.Sprintf(", failed: %v", failed)
	}
	if len(r.Retried) > 0 {
		text += fmt.Sprintf(", run again: %v", r.Retried)
	}
	if r.Error != "" {
		text += ": " + r.Error
	}
	return text
}
