// SPDX-License-Identifier: Apache-2.0

package rundir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBaseFor(t *testing.T) {
	for _, c := range []struct {
		name, env, xdg string
		uid            int
		want           string
	}{
		{"environment wins", "/x", "/run/user/1", 0, "/x"},
		{"root", "", "/run/user/0", 0, "/run/virtbinder"},
		{"user", "", "/run/user/7", 7, "/run/user/7/virtbinder"},
		{"user without a session", "", "", 7, filepath.Join(os.TempDir(), "virtbinder-7")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := baseFor(c.env, c.xdg, c.uid); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestCheckName(t *testing.T) {
	for _, ok := range []string{"a", "demo", "vm-1", "Pixel_8.a", strings.Repeat("n", maxName)} {
		if err := CheckName(ok); err != nil {
			t.Errorf("%q refused: %v", ok, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "../x", "a/b", "-v", "a b", "a@b", "a\x00", "é", strings.Repeat("n", maxName+1)} {
		if CheckName(bad) == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestCreateAndList(t *testing.T) {
	base := filepath.Join(t.TempDir(), "deep", "run")
	t.Setenv(envVar, base)

	dir, err := Create("demo")
	if err != nil {
		t.Fatal(err)
	}
	if dir != filepath.Join(base, "demo") || dir != VM("demo") {
		t.Errorf("directory is %s", dir)
	}
	if _, err := Create("demo"); err != nil {
		t.Errorf("second Create: %v", err)
	}
	if _, err := Create("../demo"); err == nil {
		t.Error("Create left the base directory")
	}
	if err := os.WriteFile(filepath.Join(base, "afile"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := List(base)
	if err != nil || !slices.Equal(names, []string{"demo"}) {
		t.Errorf("List gave %v, %v", names, err)
	}
	if names, err := List(filepath.Join(base, "absent")); err != nil || names != nil {
		t.Errorf("List of nothing gave %v, %v", names, err)
	}
	if s := Search(); !slices.Equal(s, []string{base}) {
		t.Errorf("Search gave %v", s)
	}
}
