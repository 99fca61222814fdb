// SPDX-License-Identifier: Apache-2.0

package hardware

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"virtbinder/internal/config"
)

func logger(string) *slog.Logger { return slog.Default() }

func file(t *testing.T, name string, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	path := file(t, "d.raw", 1<<20)
	vm := config.DefaultVM()
	vm.CPUs = 8
	vm.Disks = []config.Disk{{Path: path}, {Path: file(t, "ro.raw", 4096), ReadOnly: true}}
	vm.Net = []config.Net{{User: &config.UserNet{}}}
	h, err := Open(&vm, []Port{{Out: new(bytes.Buffer)}, {}}, logger)
	if err != nil {
		t.Fatal(err)
	}
	var types []uint16
	for _, d := range h.Devices {
		types = append(types, d.Type())
	}
	if want := []uint16{2, 2, 1, 3, 3, 4}; !slices.Equal(types, want) {
		t.Errorf("devices %v, want %v", types, want)
	}
	if n := len(h.Devices[0].QueueSizes()); n != maxDiskQueues {
		t.Errorf("a disk has %d queues", n)
	}
	if _, err := Open(&vm, nil, logger); err == nil || !strings.Contains(err.Error(), "disks[0]: disk "+path+" is in use") {
		t.Errorf("a second machine with the same disk: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	again, err := Open(&vm, nil, logger)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	again.Close()
}

// TestErrors: each names the field, and leaves nothing open.
func TestErrors(t *testing.T) {
	good := file(t, "d.raw", 4096)
	for want, change := range map[string]func(*config.VM){
		"disks[1]: disk: open": func(vm *config.VM) { vm.Disks = append(vm.Disks, config.Disk{Path: "/nonexistent"}) },
		"net[0]: network: file descriptor 1000": func(vm *config.VM) {
			fd := 1000
			vm.Net = []config.Net{{TapFD: &fd}}
		},
		"net[0]: user-mode network: forward 192.0.2.1:80": func(vm *config.VM) {
			vm.Net = []config.Net{{User: &config.UserNet{Forwards: []config.Forward{{Host: "192.0.2.1:80", Guest: 1}}}}}
		},
	} {
		vm := config.DefaultVM()
		vm.Disks = []config.Disk{{Path: good}}
		change(&vm)
		if _, err := Open(&vm, nil, logger); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

func TestAddress(t *testing.T) {
	a, b := Address("a", 0), Address("b", 0)
	if bytes.Equal(a, b) || bytes.Equal(a, Address("a", 1)) || !bytes.Equal(a, Address("a", 0)) || a[0]&3 != 2 {
		t.Errorf("%v, %v", a, b)
	}
}
