// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"virtbinder/internal/lab"
)

// TestVMM runs the tests of package vmm with those among them that boot guests.
func TestVMM(t *testing.T) {
	tests := testProgram(t, "vmm", "guest", "./vmm")
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	onLabHost(t, "6.12", func(t *testing.T) {
		cmd := exec.Command(tests)
		cmd.Dir = filepath.Join(top, "vmm")
		cmd.Env = append(os.Environ(), "VIRTBINDER_TEST_KERNELS="+filepath.Join(top, "build", "images", "guest", "6.12", "vmlinuz"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
