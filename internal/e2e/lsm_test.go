// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
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

// checkDenied looks at the transcripts that a run of the oracle has left.
func checkDenied(t *testing.T, top string) {
	t.Helper()
	for _, kernel := range []string{"6.12", "6.1"} {
		for name, want := range denied {
			got, ok := goldenIn(filepath.Join(top, "build", "oracle", kernel, "golden", "lsm.txt"), "lsm/"+name)
			if !ok || !strings.Contains(got, want) {
				t.Errorf("lsm/%s on %s does not show %s:\n%s", name, kernel, want, got)
			}
		}
	}
}

// goldenIn finds a transcript in a file that bindertest.Record wrote.
func goldenIn(path, name string) (string, bool) {
	a, err := txtar.ParseFile(path)
	if err != nil {
		return err.Error(), false
	}
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data), true
		}
	}
	return "", false
}
