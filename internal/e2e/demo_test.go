// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"virtbinder/internal/demo"
	"virtbinder/internal/lab"
	"virtbinder/netlink"
)

// runs are the combinations of host and guest kernels. Where guests run on this
// machine itself there is one host kernel, its own.
var runs = []struct {
	name, host, guest string
	mode              netlink.Mode // in the lab
}{
	{"host without the binder family", "6.12", "6.12", netlink.ModeFallback},
	{"host with the binder family", "7.x", "6.12", netlink.ModeGenuine},
	{"guest kernel 6.1", "6.12", "6.1", netlink.ModeFallback},
}

// TestDemo runs the demonstration and checks its exit code and all that it kept.
func TestDemo(t *testing.T) {
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	where := lab.Usable()
	hosts := map[string]bool{}
	for _, run := range runs {
		if where.Direct && hosts[run.guest] {
			t.Logf("%q is not run: guests run on this machine itself (%s), and its kernel is what it is", run.name, where.Reason)
			continue
		}
		hosts[run.guest] = true
		t.Run(run.name, func(t *testing.T) {
			out := filepath.Join(top, "build", "e2e", run.host+"-guest-"+run.guest)
			exit := runDemo(t, top, out, run.host, run.guest)
			r := readResult(t, out)
			if exit != 0 || !r.Passed || r.Error != "" {
				t.Fatalf("exit code %d, passed %t, error %q; everything is in %s", exit, r.Passed, r.Error, out)
			}
			checkSteps(t, r)
			checkReports(t, out, r)
			checkKept(t, out)
			if !strings.HasPrefix(r.Guest, run.guest+".") {
				t.Errorf("the guest ran %s, not %s", r.Guest, run.guest)
			}
			if where.Direct {
				return
			}
			if netlink.Mode(r.Mode) != run.mode {
				t.Errorf("reports went by mode %s (%s), not %s", r.Mode, r.ModeWhy, run.mode)
			}
			if !r.Nested || !strings.HasPrefix(r.Host, strings.TrimSuffix(run.host, "x")) {
				t.Errorf("nested %t on %s, not on %s", r.Nested, r.Host, run.host)
			}
		})
	}
}

// runDemo runs the program and returns its exit code. Its output goes to the test's.
func runDemo(t *testing.T, top, out, host, guest string) int {
	t.Helper()
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(top, "build", "bin", "virtbinder")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v; run `make images build initrd`", err)
	}
	cmd := exec.Command(program, "demo", "--kernel", host, "--guest", guest, "--out", out)
	cmd.Dir, cmd.Stdout, cmd.Stderr = top, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func readResult(t *testing.T, out string) *demo.Result {
	t.Helper()
	r, err := demo.ReadResult(filepath.Join(out, demo.ResultFile))
	if err != nil {
		t.Fatalf("the demonstration left no result: %v", err)
	}
	return r
}

// checkSteps makes sure that each step was there, with checks that succeeded.
func checkSteps(t *testing.T, r *demo.Result) {
	t.Helper()
	if len(r.Steps) != 6 {
		t.Fatalf("%d steps, not 6", len(r.Steps))
	}
	least := []int{3, 2, 9, 11, 12, 5} // checks in each step
	for i, s := range r.Steps {
		if s.Number != i+1 || len(s.Checks) < least[i] {
			t.Errorf("step %d is number %d, with %d checks; it has %d or more", i+1, s.Number, len(s.Checks), least[i])
		}
		for _, c := range s.Checks {
			if !c.OK {
				t.Errorf("step %d: %s: %s", s.Number, c.What, c.Detail)
			}
		}
	}
	if r.BootExit == nil || *r.BootExit != 0 || r.MonitorExit == nil || *r.MonitorExit != 0 {
		t.Errorf("exit codes of boot and monitor: %s, %s", code(r.BootExit), code(r.MonitorExit))
	}
}

func code(exit *int) string {
	if exit == nil {
		return "none"
	}
	return fmt.Sprint(*exit)
}

// checkReports states the two reports once more, independently of the demonstration's
// own comparison; only the pids come from it.
func checkReports(t *testing.T, out string, r *demo.Result) {
	t.Helper()
	if len(r.Reports) != 2 {
		t.Fatalf("%d reports, not 2: %v", len(r.Reports), r.Reports)
	}
	dead, failed := r.Reports[0], r.Reports[1]
	if dead.FromPID == 0 || failed.FromPID == 0 || failed.ToPID == nil || *failed.ToPID == 0 || failed.FromPID == *failed.ToPID {
		t.Fatalf("pids are missing: %v, %v", dead, failed)
	}
	want := []demo.Seen{
		{Kind: "report", Source: "netlink", Origin: "vm", VM: "android", ErrorName: "BR_DEAD_REPLY", Context: "binder@android",
			FromPID: dead.FromPID, FromTID: dead.FromPID, Flags: 0x10, Code: 1},
		{Kind: "report", Source: "netlink", Origin: "vm", VM: "android", ErrorName: "BR_FAILED_REPLY", Context: "binder@android",
			FromPID: failed.FromPID, FromTID: failed.FromPID, ToPID: failed.ToPID, Flags: 0x10, Code: 2, DataSize: 2_000_000},
	}
	if diff := cmp.Diff(want, r.Reports); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	log, err := os.ReadFile(filepath.Join(out, demo.CommandsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []string{
		fmt.Sprintf("holding demo.first pid %d\n", dead.FromPID),
		fmt.Sprintf("holding demo.second pid %d\n", failed.FromPID),
		fmt.Sprintf("registered demo.second pid %d\n", *failed.ToPID),
	} {
		if !bytes.Contains(log, []byte(pid)) {
			t.Errorf("no program in the guest said %q", pid)
		}
	}
}

// checkKept makes sure that there is something to look at afterwards.
func checkKept(t *testing.T, out string) {
	t.Helper()
	for _, name := range []string{demo.ConsoleFile, demo.BootLog, demo.MonitorFile, demo.MonitorLog, demo.CommandsFile, demo.ExitFile} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty: %v", name, err)
		}
	}
}
