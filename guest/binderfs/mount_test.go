// SPDX-License-Identifier: Apache-2.0

//go:build guest

package binderfs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

func TestMountHasDevicesAndFeatures(t *testing.T) {
	dir := mount(t, "")
	if got := names(t, dir); got != "binder binder-control features hwbinder vndbinder" {
		t.Errorf("a mount has %s", got)
	}
	for _, name := range []string{"binder", "binder-control"} {
		if got := stat(t, filepath.Join(dir, name)); got != "20600 uid 0 gid 0" {
			t.Errorf("%s is %s", name, got)
		}
	}
	features := filepath.Join(dir, "features")
	if got := names(t, features); got != "extended_error freeze_notification oneway_spam_detection transaction_report" {
		t.Errorf("features are %s", got)
	}
	for name := range strings.FieldsSeq(names(t, features)) {
		b, err := os.ReadFile(filepath.Join(features, name))
		if err != nil || string(b) != "1\n" {
			t.Errorf("feature %s: %q, %v", name, b, err)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.BINDERFS_SUPER_MAGIC {
		t.Errorf("type of file system %#x, %v", st.Type, err)
	}
	if _, err := os.Stat("/dev/binder"); err != nil {
		t.Errorf("the static nodes: %v", err)
	}
}

func TestAdd(t *testing.T) {
	dir := mount(t, "max=5")
	d, err := add(dir, "one")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "one"), &st); err != nil || st.Rdev != unix.Mkdev(d.major, d.minor) || st.Mode != unix.S_IFCHR|0o600 {
		t.Errorf("device %d:%d is %+v, %v", d.major, d.minor, st, err)
	}
	wantErr := func(name string, want error) {
		t.Helper()
		if _, err := add(dir, name); !errors.Is(err, want) {
			t.Errorf("add %q: %v, not %v", name, err, want)
		}
	}
	wantErr("one", unix.EEXIST)
	wantErr("features", unix.EEXIST)
	wantErr("a/b", unix.EACCES)
	wantErr("..", unix.EACCES)
	wantErr("", unix.EACCES)
	long := strings.Repeat("x", 255)
	if _, err := add(dir, long); err != nil {
		t.Errorf("a name of 255 bytes: %v", err)
	}
	wantErr("sixth", unix.ENOSPC)
	if err := os.Remove(filepath.Join(dir, long)); err != nil {
		t.Error(err)
	}
	if _, err := add(dir, "sixth"); err != nil {
		t.Errorf("after one is gone: %v", err)
	}
	control := open(t, filepath.Join(dir, "binder-control"))
	if errno := control.ioctl(binderCtlAdd, nil); errno != unix.EFAULT {
		t.Errorf("add from nowhere: %v", errno)
	}
	if errno := control.ioctl(uapi.BINDER_VERSION, nil); errno != unix.EINVAL {
		t.Errorf("another ioctl of binder-control: %v", errno)
	}
	const node = "/dev/binder-copy"
	if err := unix.Mknod(node, unix.S_IFCHR|0o600, int(st.Rdev)); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(node)
	if f, err := os.Open(node); !errors.Is(err, unix.ENXIO) {
		t.Errorf("a copy of the node opens: %v", err)
		f.Close()
	}
}

func TestRenameAndUnlink(t *testing.T) {
	dir := mount(t, "")
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Rename(at("binder"), at("b")), os.Remove(at("hwbinder"))); err != nil {
		t.Error(err)
	}
	for _, err := range []error{os.Remove(at("binder-control")), os.Rename(at("binder-control"), at("c")), os.Rename(at("b"), at("binder-control"))} {
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("binder-control: %v", err)
		}
	}
	if err := os.WriteFile(at("file"), nil, 0o600); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		t.Errorf("a plain file can be made: %v", err)
	}
	if got := names(t, dir); got != "b binder-control features vndbinder" {
		t.Errorf("left are %s", got)
	}
	open(t, at("b"))
}

func TestRemount(t *testing.T) {
	dir := mount(t, "")
	if got := options(t, dir); !strings.HasSuffix(got, ",max=1048576") {
		t.Errorf("mounted with %s", got)
	}
	if err := unix.Mount("binder", dir, "binder", unix.MS_REMOUNT, "max=3"); err != nil {
		t.Error(err)
	}
	if _, err := add(dir, "fourth"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("add past the new max: %v", err)
	}
	if err := unix.Mount("binder", dir, "binder", unix.MS_REMOUNT, "max=4,stats=global"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("stats= by a remount: %v", err)
	}
	if got := options(t, dir); !strings.HasSuffix(got, ",max=3") {
		t.Errorf("options are %s", got)
	}
	for _, bad := range []string{"max=1048577", "max=x", "stats=all", "other=1"} {
		if err := unix.Mount("binder", t.TempDir(), "binder", 0, bad); !errors.Is(err, unix.EINVAL) {
			t.Errorf("mount with %s: %v", bad, err)
		}
	}
	logs := mount(t, "stats=global")
	if err := unix.Mount("binder", logs, "binder", unix.MS_REMOUNT, "max=9"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a remount without stats=: %v", err)
	}
	if err := unix.Mount("binder", logs, "binder", unix.MS_REMOUNT, "max=9,stats=global"); err != nil {
		t.Error(err)
	}
	if got := options(t, logs); !strings.HasSuffix(got, ",max=9,stats=global") {
		t.Errorf("options are %s", got)
	}
}

// TestMountsAreApart: devices of one name are contexts of their own, and one that is
// unlinked lives on with who has it open.
func TestMountsAreApart(t *testing.T) {
	a, b := mount(t, ""), mount(t, "")
	open(t, a+"/binder").setManager(0)
	open(t, b+"/binder").setManager(0)
	open(t, a+"/binder").setManager(unix.EBUSY)
	other := open(t, a+"/binder")
	if err := os.Remove(a + "/binder"); err != nil {
		t.Fatal(err)
	}
	other.setManager(unix.EBUSY)
	if _, err := add(a, "binder"); err != nil {
		t.Fatal(err)
	}
	open(t, a+"/binder").setManager(0)
}

// TestUserNamespace: root of a user namespace mounts an instance of its own, without
// stats=, and its devices are its.
func TestUserNamespace(t *testing.T) {
	const script = `
		set -e
		mount -t binder binder $0
		set -- "$0" $(ls -ln $0/binder)
		echo $2 $4 $5
		exec 3<>$1/binder
		echo opened
		if mount -t binder -o stats=global binder $1 2>/dev/null; then echo stats; fi`
	out, err := exec.Command("unshare", "-Urm", "sh", "-c", script, t.TempDir()).CombinedOutput()
	if want := "crw------- 0 0\nopened\n"; err != nil || string(out) != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}

// TestAndroid: AOSP's servicemanager and a libgbinder service, unmodified, on a device
// of a mount that stands in /dev/binder's place.
func TestAndroid(t *testing.T) {
	dir := mount(t, "stats=global")
	const script = `
		set -e
		mount --bind $0/binder /dev/binder
		servicemanager &
		manager=$!
		until grep -q '^  thread' $0/binder_logs/state; do sleep 0.1; done
		gbinder-service demo.binderfs >/tmp/service.log &
		service=$!
		until grep -q ^registered /tmp/service.log; do sleep 0.1; done
		service list
		kill $service $manager
		wait || true`
	out, err := exec.Command("unshare", "-m", "sh", "-c", script, dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "demo.binderfs") || !strings.Contains(string(out), "manager: [android.os.IServiceManager]") {
		t.Errorf("%v\n%s", err, out)
	}
}
