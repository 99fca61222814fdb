// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"virtbinder/guest/agentclient"
)

// Exit codes of session.sh that are not the program's.
const (
	exitNoManager = 97
	exitNotEnded  = 98
)

// errNoManager says that a driver does not serve servicemanager.
var errNoManager = errors.New("servicemanager does not get its calls")

// attempts is how often a test may be run until it passes.
const attempts = 3

// trial runs one program on one driver, and again what did not pass of it.
func (m *machine) trial(ctx context.Context, p program, driver, logDir string) (*ran, error) {
	log, err := os.Create(filepath.Join(logDir, strings.NewReplacer(" ", "", ",", "-").Replace(p.name)+"."+driver+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	begun := time.Now()
	all, filter := &transcript{Results: map[string]Outcome{}}, p.filter
	out := &ran{Results: all.Results}
	for n := range attempts {
		var t *transcript
		if t, out.Error, err = m.session(ctx, p, filter, driver, log); err != nil {
			return nil, err
		}
		if n > 0 {
			out.Retried = append(out.Retried, t.Order...)
		}
		all.add(t)
		var more bool
		if more, filter = all.again(p); !more {
			break
		}
	}
	slices.Sort(out.Retried)
	out.Retried = slices.Compact(out.Retried)
	out.Seconds = time.Since(begun).Seconds()
	return out, nil
}

// add takes what a later session has found out.
func (t *transcript) add(later *transcript) {
	for _, name := range later.Order {
		if _, known := t.Results[name]; !known {
			t.Order = append(t.Order, name)
		}
		t.Results[name] = later.Results[name]
	}
	t.Planned = max(t.Planned, later.Planned)
	t.Ended = len(t.Results) == t.Planned
}

// again says whether there is something to run again, and gtest's filter for it:
// what failed, and what was never reached.
func (t *transcript) again(p program) (bool, string) {
	failed := t.named(Failed)
	switch {
	case t.complete() && len(failed) == 0:
		return false, ""
	case p.script:
		return true, ""
	case t.complete():
		return true, strings.Join(failed, ":")
	}
	filter := p.filter
	if filter == "" {
		filter = "*"
	}
	done := slices.Concat(t.named(Passed), t.named(Skipped))
	if len(done) == 0 {
		return true, filter
	}
	return true, filter + "-" + strings.Join(done, ":")
}

// named returns the tests that ended in a way, in order.
func (t *transcript) named(o Outcome) []string {
	var names []string
	for _, name := range t.Order {
		if t.Results[name] == o {
			names = append(names, name)
		}
	}
	return names
}

// session runs a program once. fault is what is wrong with the program as a whole.
func (m *machine) session(ctx context.Context, p program, filter, driver string, log io.Writer) (t *transcript, fault string, err error) {
	t = &transcript{Results: map[string]Outcome{}}
	tail := &tail{lines: 15}
	both := io.MultiWriter(log, tail) // the client writes both streams from one goroutine
	args := append([]string{"-m", "sh", scriptDir + "session.sh", driver}, p.command...)
	if filter != "" {
		args = append(args, "--gtest_filter="+filter)
	}
	fmt.Fprintf(log, "# %s %s\n", driver, strings.Join(args[4:], " "))
	limit, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := alarm{time.AfterFunc(patience, cancel)}
	defer silence.Stop()
	both = io.MultiWriter(both, silence)
	exit, err := m.Exec(limit, agentclient.Cmd{Path: "unshare", Args: args, Env: slices.Concat(p.env, p.shard), Stdout: io.MultiWriter(both, t), Stderr: both})
	t.finish()
	fmt.Fprintf(log, "# exit %d\n", exit)
	switch {
	case ctx.Err() != nil:
		return nil, "", ctx.Err()
	case limit.Err() != nil:
		fault = fmt.Sprintf("nothing more said in %v", patience)
		if err := m.do(ctx, nil, "sh", "-c", ". "+scriptDir+"lib.sh && end_all"); err != nil {
			return nil, "", fmt.Errorf("%s on %s hangs, and so does the guest: %w", p.name, driver, err)
		}
	case err != nil:
		return nil, "", fmt.Errorf("%s on %s: %w", p.name, driver, err)
	case exit == exitNoManager:
		return nil, "", fmt.Errorf("%s on %s: %w", p.name, driver, errNoManager)
	case exit == exitNotEnded:
		return nil, "", fmt.Errorf("%s on %s: not all of its processes could be killed", p.name, driver)
	case !t.complete():
		fault = fmt.Sprintf("exit code %d after %d of %d tests", exit, len(t.Results), t.Planned)
	}
	if fault != "" {
		fault += "; its last lines: " + tail.String()
	}
	return t, fault, nil
}

// alarm goes off when nothing is written to it for patience.
type alarm struct{ *time.Timer }

func (a alarm) Write(b []byte) (int, error) {
	a.Reset(patience)
	return len(b), nil
}

// tail keeps the last lines of what is written.
type tail struct {
	lines int
	text  string
}

func (t *tail) Write(b []byte) (int, error) {
	all := strings.SplitAfter(t.text+string(b), "\n")
	t.text = strings.Join(all[max(0, len(all)-t.lines):], "")
	return len(b), nil
}

func (t *tail) String() string { return strings.TrimSpace(t.text) }
