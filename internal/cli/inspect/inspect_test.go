// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"virtbinder/driver"
	"virtbinder/internal/control/controltest"
	"virtbinder/vmm/api"
)

// startVM makes a VM with two processes, in a runtime directory of the test.
func startVM(t *testing.T) {
	t.Helper()
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	vm := controltest.Start(t, "a").BinderVM
	ctx, err := vm.NewContext("binder")
	if err != nil {
		t.Fatal(err)
	}
	for pid := range uint32(2) {
		if _, err := vm.Open(new(driver.Exec), driver.OpenArgs{Context: ctx, PID: pid + 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a command line as main does and returns what it prints.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var c struct {
		State StateCmd `cmd:""`
		Stats StatsCmd `cmd:""`
		Log   LogCmd   `cmd:""`
	}
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c.State.Stdout, c.Stats.Stdout, c.Log.Stdout = &out, &out, &out
	if err := ctx.Run(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestText(t *testing.T) {
	startVM(t)
	for args, want := range map[string]string{
		"state":                  "binder state:\nproc 2\ncontext binder\nproc 1\ncontext binder\n",
		"state a --proc 1":       "binder state:\nproc 1\ncontext binder\n",
		"state a --transactions": "binder transactions:\n",
		"log":                    "",
		"log a --failed":         "",
	} {
		if got := run(t, strings.Fields(args)...); got != want {
			t.Errorf("%s prints %q, not %q", args, got, want)
		}
	}
	if got := run(t, "stats"); !strings.HasPrefix(got, "binder stats:\nproc: active 2 total 2\nproc 2\ncontext binder\n  threads: 0\n") {
		t.Errorf("stats prints %q", got)
	}
}

func TestJSON(t *testing.T) {
	startVM(t)
	var state api.BinderState
	if err := json.Unmarshal([]byte(run(t, "state", "a", "--json", "--proc", "2")), &state); err != nil || len(state.Processes) != 1 || state.Processes[0].PID != 2 {
		t.Errorf("%+v, %v", state, err)
	}
	var stats api.BinderStats
	if err := json.Unmarshal([]byte(run(t, "stats", "--json")), &stats); err != nil || len(stats.Processes) != 2 || stats.Objects["proc"].Active != 2 {
		t.Errorf("%+v, %v", stats, err)
	}
	if got := run(t, "log", "--json"); !strings.Contains(got, `"transactions": []`) {
		t.Errorf("log prints %s", got)
	}
}
