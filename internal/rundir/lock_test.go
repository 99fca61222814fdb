// SPDX-License-Identifier: Apache-2.0

package rundir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestStates(t *testing.T) {
	t.Setenv(envVar, t.TempDir())
	dir, err := Create("a")
	if err != nil {
		t.Fatal(err)
	}
	want := func(state State, pid int) {
		t.Helper()
		for range 2 { // looking changes nothing
			all, err := All()
			if err != nil || len(all) != 1 || all[0] != (Found{"a", dir, state, pid}) {
				t.Fatalf("found %+v, %v", all, err)
			}
		}
	}
	want(Ended, 0)
	path := filepath.Join(dir, PIDFile)
	if err := os.WriteFile(path, []byte("77\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(Stale, 77)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := Lock(f); err != nil {
		t.Fatal(err)
	}
	want(Running, 77)
	other, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := Lock(other); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	f.Close()
	want(Stale, 77)
}
