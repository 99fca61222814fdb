// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"virtbinder/internal/aosptest"
	"virtbinder/internal/lab"
)

// TestAOSP runs AOSP's own tests on both drivers: all of them in one guest, those
// that do not take long in the others. `make aosp-tests` runs everything everywhere.
func TestAOSP(t *testing.T) {
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(top, "build", "bin", "aosp-tests"), "--brief")
	cmd.Dir, cmd.Stdout, cmd.Stderr = top, os.Stdout, os.Stderr
	err = cmd.Run()
	b, rerr := os.ReadFile(filepath.Join(top, "build", "aosp.json"))
	var r aosptest.Result
	if rerr == nil {
		rerr = json.Unmarshal(b, &r)
	}
	if err != nil || rerr != nil {
		t.Fatalf("aosp-tests: %v; its result: %v", err, rerr)
	}
	for _, p := range r.Programs {
		if p.Virtbinder == nil || (p.Stock == nil) != (p.LSM == "apparmor") {
			t.Errorf("%s, guest %s, %s: not run on the drivers that can serve: %+v", p.Name, p.Guest, p.LSM, p)
		}
	}
	// That it can say no is tested where nothing takes long; here, that it looked.
	for _, want := range []aosptest.Program{
		{Name: "binderLibTest", Guest: "6.12", LSM: "selinux"},
		{Name: "libbinder_ndk_unit_test", Guest: "6.12", LSM: "selinux"},
		{Name: "binderLibTest", Guest: "6.12", LSM: "apparmor"},
		{Name: "binderLibTest", Guest: "6.1", LSM: "selinux"},
	} {
		if !slices.ContainsFunc(r.Programs, func(p aosptest.Program) bool {
			return p.Name == want.Name && p.Guest == want.Guest && p.LSM == want.LSM && p.Virtbinder.Passed >= 40
		}) {
			t.Errorf("%s on guest %s with %s was not run, or hardly", want.Name, want.Guest, want.LSM)
		}
	}
}
