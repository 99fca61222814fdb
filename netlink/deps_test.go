// SPDX-License-Identifier: Apache-2.0

package netlink_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNeedsNothingOfTheProject: others can import these packages without virtbinder
// itself.
func TestNeedsNothingOfTheProject(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".", "./netlinktest").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if strings.HasPrefix(dep, "virtbinder/") && dep != "virtbinder/netlink" && dep != "virtbinder/netlink/netlinktest" {
			t.Errorf("%s is needed", dep)
		}
	}
}
