// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseModules(t *testing.T) {
	list, err := ParseModules(strings.NewReader(`
# the transport first
/lib/modules/vsock.ko
/lib/modules/virtbinder.ko  devices=binder,hwbinder  debug=1
-/lib/modules/pvpanic.ko.xz
`))
	want := []Module{
		{Path: "/lib/modules/vsock.ko"},
		{Path: "/lib/modules/virtbinder.ko", Params: "devices=binder,hwbinder  debug=1"},
		{Path: "/lib/modules/pvpanic.ko.xz", Optional: true},
	}
	if err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(want, list); d != "" {
		t.Error(d)
	}
	if _, err := ParseModules(strings.NewReader("vsock\n")); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a bare name: %v", err)
	}
}

func TestLoadModulesReportsEachFailure(t *testing.T) {
	list := filepath.Join(t.TempDir(), "modules")
	if err := os.WriteFile(list, []byte("/no/such/a.ko\n-/no/such/b.ko\n/no/such/c.ko.xz\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	failures := LoadModules(list)
	if len(failures) != 2 || !strings.Contains(failures[0].Error(), "a.ko") || !strings.Contains(failures[1].Error(), "c.ko.xz") {
		t.Errorf("%v", failures)
	}
	if f := LoadModules("/no/such/list"); f != nil {
		t.Errorf("no list: %v", f)
	}
}
