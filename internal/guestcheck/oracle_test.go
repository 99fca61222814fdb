// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guestcheck

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"virtbinder/driver/bindertest"
	"virtbinder/guest/agentclient"
	"virtbinder/internal/oracle"
)

var (
	scenarios = flag.String("scenarios", "", "run the oracle's scenarios that this regular expression matches")
	programs  = flag.Int("programs", 0, "run as many of the oracle's random programs")
)

// oracleCmdline is what the oracle's part needs the guest booted with: it loads a policy.
func oracleCmdline() string {
	if *scenarios == "" && *programs == 0 {
		return ""
	}
	return "security=selinux selinux=1 enforcing=1"
}

// scenarios runs the oracle's scenarios for what the kernel says of it. What they do
// here is held against what `make oracle` recorded.
func (c *check) scenarios(t *testing.T) {
	run, missing := 0, 0
	c.oracle(t, func(l oracle.Line) {
		switch {
		case l.Scenario == "" || l.Begin:
		case l.NA != "":
			missing++
			c.say(t, "scenario %s: %s", l.Scenario, l.NA)
		case l.Error != "":
			t.Errorf("scenario %s: %s", l.Scenario, l.Error)
		default:
			run++
			c.progress(t, run, l.Scenario)
			want, from, _ := bindertest.Recorded(l.Scenario)
			if diff := cmp.Diff(want, l.Transcript); diff != "" {
				t.Errorf("scenario %s (-recorded in %s +here):\n%s", l.Scenario, from, diff)
			}
		}
	}, "--only", *scenarios)
	c.say(t, "%d scenarios, %d that cannot be run here", run, missing)
	if run == 0 {
		t.Error("no scenario was run")
	}
}

func (c *check) programs(t *testing.T) {
	run := 0
	c.oracle(t, func(l oracle.Line) {
		switch p := l.Program; {
		case p == nil || p.Result == "":
		case p.Result == oracle.Broken:
			t.Errorf("program %d: %s", p.Seed, p.Diff)
		default:
			run++
			c.progress(t, run, fmt.Sprintf("program %d", p.Seed))
		}
	}, "--seed", strconv.FormatUint(*seed, 10), "--seeds", strconv.Itoa(*programs))
	c.say(t, "%d random programs", run)
	if run != *programs {
		t.Errorf("%d programs were run, not %d", run, *programs)
	}
}

// oracle runs the oracle's part in the guest and takes in what it says.
func (c *check) oracle(t *testing.T, take func(oracle.Line), args ...string) {
	t.Helper()
	for _, name := range []string{"oracle", "puppet", "policy"} {
		c.bring(t, filepath.Join("oracle", name))
	}
	out, w := io.Pipe()
	var errs strings.Builder
	go func() {
		exit, err := c.Exec(c.ctx, agentclient.Cmd{Path: "/oracle", Args: append([]string{"guest", "/puppet", "--alone"}, args...), Stdout: w, Stderr: &errs})
		if err == nil && exit != 0 {
			err = fmt.Errorf("exit code %d: %s", exit, errs.String())
		}
		w.CloseWithError(err)
	}()
	for d := json.NewDecoder(out); ; {
		var l oracle.Line
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the oracle's part in the guest: %v", err)
		}
		take(l)
	}
	c.idle(t)
}

// bring copies a file of build/ into the root of the guest.
func (c *check) bring(t *testing.T, name string) {
	t.Helper()
	program, err := os.Open(filepath.Join(top, "build", name))
	if err != nil {
		t.Fatalf("%v; run `make storm oracle-programs`", err)
	}
	defer program.Close()
	to := "/" + filepath.Base(name)
	if _, err := c.Run(c.ctx, program, "sh", "-c", "cat >"+to+" && chmod 755 "+to); err != nil {
		t.Fatal(err)
	}
}
