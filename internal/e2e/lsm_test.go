// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"virtbinder/internal/lab"
)

// denied is what the stock driver's transcript of a scenario has to show: without it
// the scenario compares nothing.
var denied = map[string]string{
	"context-manager": "= EACCES",
	"call":            "BR_FAILED_REPLY -1",
	"call-order":      "BR_FAILED_REPLY -1",
	"stream-stops":    "BR_FAILED_REPLY",
	"another-target":  "BR_FAILED_REPLY -1",
	"binder":          "BR_FAILED_REPLY -1",
	"second-binder":   "BR_FAILED_REPLY -1",
	"handle":          "BR_FAILED_REPLY -1",
	"file":            "BR_FAILED_REPLY -1",
	"file-array":      "BR_FAILED_REPLY -1",
	"reply":           "BR_FAILED_REPLY -1",
	"reply-nested":    "BR_REPLY",
	"label":           "753a723a636c69656e745f7400", // u:r:client_t, NUL
}

// TestLSM runs the scenarios of what a security module denies, on our driver and on the
// kernel's own, in guests with SELinux.
func TestLSM(t *testing.T) {
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(top, "build", "oracle", "oracle"), "run", "--only", "^lsm/")
	cmd.Dir, cmd.Stdout, cmd.Stderr = top, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v; `make oracle-programs` builds it, build/oracle.json says what differs", err)
	}
	for _, kernel := range []string{"6.12", "6.1"} {
		for name, want := range denied {
			path := filepath.Join(top, "build", "oracle", kernel, "golden", "lsm", name+".txt")
			if got, err := os.ReadFile(path); err != nil || !strings.Contains(string(got), want) {
				t.Errorf("%s does not show %s (%v):\n%s", path, want, err, got)
			}
		}
	}
}
