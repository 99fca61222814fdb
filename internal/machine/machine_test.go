// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"virtbinder/internal/config"
	"virtbinder/internal/logs"
	"virtbinder/internal/rundir"
	"virtbinder/vmm"
)

// TestNothingIsLeft: a machine that cannot be made leaves its name free and nothing
// open, and the error says which machine and what file.
func TestNothingIsLeft(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	cfg := config.Default()
	for _, name := range []string{"first", "second"} {
		vm := config.DefaultVM()
		vm.Name, vm.Kernel = name, "/nonexistent/vmlinuz"
		cfg.VMs = append(cfg.VMs, vm)
	}
	if err := cfg.Resolve(); err != nil {
		t.Fatal(err)
	}
	lines, err := logs.Open(cfg.Log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg, Host{Logs: lines}); err == nil || !strings.Contains(err.Error(), "VM first: ") {
		t.Errorf("error %v", err)
	}
	all, err := rundir.All()
	if err != nil || len(all) != 1 || all[0].State != rundir.Ended {
		t.Errorf("left: %+v, %v", all, err)
	}
	left, err := filepath.Glob(filepath.Join(rundir.VM("first"), "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v; want the two logs", left, err)
	}
}

func TestClaim(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	if err := os.MkdirAll(rundir.VM("a"), 0o755); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(rundir.VM("a"), rundir.VsockSocket)
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := claim("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a socket of a dead VM was left")
	}
	if _, err := claim("a"); err == nil || !strings.Contains(err.Error(), "pid "+strconv.Itoa(os.Getpid())) || !strings.Contains(err.Error(), "--name") {
		t.Errorf("the second claim: %v", err)
	}
	other, err := claim("b")
	if err != nil {
		t.Errorf("another name: %v", err)
	} else {
		other.release()
	}
	first.release()
	again, err := claim("a")
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again.release()
	if _, err := os.Stat(filepath.Join(rundir.VM("a"), rundir.PIDFile)); err == nil {
		t.Error("the pid file was left")
	}
}

// TestLogIsCapped: the beginning is kept, the rest is dropped with one notice.
func TestLogIsCapped(t *testing.T) {
	var kept bytes.Buffer
	w := &cappedWriter{w: &kept, left: 10}
	for range 5 {
		if n, err := w.Write([]byte("12345678")); n != 8 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if got := kept.String(); !strings.HasPrefix(got, "1234567812\r\n[") || strings.Count(got, "full") != 1 {
		t.Errorf("kept %q", got)
	}
}

func TestExitCodes(t *testing.T) {
	seen := map[int]vmm.Exit{}
	for _, e := range []vmm.Exit{vmm.Poweroff, vmm.Failed, vmm.Reboot, vmm.Panic, vmm.TripleFault, vmm.Stopped} {
		code := ExitCode(e)
		if other, taken := seen[code]; taken {
			t.Errorf("%v and %v share exit code %d", e, other, code)
		}
		seen[code] = e
	}
	if err := (End{VM: "x", Exit: vmm.Poweroff}).Error(); err != nil {
		t.Errorf("power off is an error: %v", err)
	}
	var coder kong.ExitCoder
	if err := (End{VM: "x", Exit: vmm.Panic}).Error(); !errors.As(err, &coder) || coder.ExitCode() != 4 {
		t.Errorf("panic gives %v", err)
	}
}
