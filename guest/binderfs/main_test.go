// SPDX-License-Identifier: Apache-2.0

//go:build guest

package binderfs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roleVar says in a child's environment which process of the scene it is.
const roleVar = "BINDERFS_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		runtime.LockOSThread()
		play(role, os.Getenv("BINDERFS_TEST_DEVICE"))
		return
	}
	os.Exit(m.Run())
}

// mount makes a binderfs mount that goes with the test.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("binder", dir, "binder", 0, options); err != nil {
		t.Fatalf("mount -t binder -o %q: %v", options, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
	return dir
}

// device is struct binderfs_device.
type device struct {
	name         [256]byte
	major, minor uint32
}

const binderCtlAdd = 0xc1086201

func add(dir, name string) (device, error) {
	f, err := os.OpenFile(filepath.Join(dir, "binder-control"), os.O_RDWR, 0)
	if err != nil {
		return device{}, err
	}
	defer f.Close()
	var d device
	copy(d.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), binderCtlAdd, uintptr(unsafe.Pointer(&d))); errno != 0 {
		return d, errno
	}
	return d, nil
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// options are those that /proc/mounts shows of a mount.
func options(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[1] == dir {
			return f[3]
		}
	}
	t.Fatalf("%s is not mounted", dir)
	return ""
}

func stat(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return fmt.Sprintf("%o uid %d gid %d", st.Mode, st.Uid, st.Gid)
}
