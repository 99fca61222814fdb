// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"virtbinder/internal/lab"
	"virtbinder/vmm/api"
)

// TestBinderFS runs the tests of guest/binderfs in a guest of each kernel, and looks
// at what the host's own commands say of it.
func TestBinderFS(t *testing.T) {
	tests := testProgram(t, "binderfs", "guest", "./guest/binderfs")
	onLabHost(t, "6.12", func(t *testing.T) {
		for _, kernel := range []string{"6.12", "6.1"} {
			t.Run(kernel, func(t *testing.T) {
				vm := bootGuest(t, kernel, "--reports", "off")
				out, err := vm.runner(tests)(t.Context())
				t.Logf("in the guest:\n%s", out)
				if err != nil {
					t.Error(err)
				}
				commandsAnswer(t)
			})
		}
	})
}

// commandsAnswer runs `virtbinder state`, `stats` and `log` on the guest that runs.
func commandsAnswer(t *testing.T) {
	t.Helper()
	var state api.BinderState
	var stats api.BinderStats
	var log, failed api.BinderLog
	for _, c := range []struct {
		doc  any
		args []string
	}{{&state, []string{"state"}}, {&stats, []string{"stats", vmName}}, {&log, []string{"log"}}, {&failed, []string{"log", vmName, "--failed"}}} {
		b := command(t, append(c.args, "--json")...)
		if err := json.Unmarshal(b, c.doc); err != nil {
			t.Errorf("%v: %v in %s", c.args, err, b)
		}
		if text := command(t, c.args...); len(text) == 0 {
			t.Errorf("%v prints nothing", c.args)
		}
	}
	if state.VM != vmName || len(state.Processes) != 0 {
		t.Errorf("state after all has ended: %+v", state)
	}
	if stats.BC["BC_TRANSACTION"] == 0 || stats.Objects["proc"].Active != 0 || stats.Objects["proc"].Total == 0 {
		t.Errorf("stats: %+v", stats)
	}
	for _, e := range failed.Transactions {
		if e.Error == 0 || e.Time.IsZero() {
			t.Errorf("a failed transaction is %+v", e)
		}
	}
	if len(log.Transactions) < 8 || len(failed.Transactions) == 0 {
		t.Errorf("%d transactions in the log, %d that failed", len(log.Transactions), len(failed.Transactions))
	}
}

// command is the output of a virtbinder command.
func command(t *testing.T, args ...string) []byte {
	t.Helper()
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(top, "build", "bin", "virtbinder"), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v: %v", args, err)
	}
	return out
}
