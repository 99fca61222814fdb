// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mount is one file system of the guest.
type mount struct {
	target, fstype, data string
	flags                uintptr
	mode                 os.FileMode // of the directory, if it must be made
	optional             bool        // its absence is no failure
}

const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

var mounts = []mount{
	{target: "/proc", fstype: "proc", flags: safe, mode: 0o555},
	{target: "/sys", fstype: "sysfs", flags: safe, mode: 0o555},
	{target: "/dev", fstype: "devtmpfs", flags: unix.MS_NOSUID, data: "mode=0755", mode: 0o755},
	{target: "/dev/pts", fstype: "devpts", flags: unix.MS_NOSUID | unix.MS_NOEXEC, data: "mode=0620,ptmxmode=0666", mode: 0o755},
	{target: "/dev/shm", fstype: "tmpfs", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=1777", mode: 0o1777},
	{target: "/tmp", fstype: "tmpfs", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=1777", mode: 0o1777},
	{target: "/run", fstype: "tmpfs", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=0755", mode: 0o755},
	{target: "/sys/fs/cgroup", fstype: "cgroup2", flags: safe, optional: true},
	{target: "/sys/kernel/debug", fstype: "debugfs", flags: safe, optional: true},
	{target: "/sys/kernel/security", fstype: "securityfs", flags: safe, optional: true},
}

// binderfs is where Android's libraries look for what the driver can do. The file
// system comes with the driver, and is missed only by them.
var binderfs = mount{target: "/dev/binderfs", fstype: "binder", flags: unix.MS_NOSUID | unix.MS_NOEXEC, mode: 0o755, optional: true}

// links are the names in /dev that programs expect and devtmpfs does not make.
var links = map[string]string{
	"/dev/fd":     "/proc/self/fd",
	"/dev/stdin":  "/proc/self/fd/0",
	"/dev/stdout": "/proc/self/fd/1",
	"/dev/stderr": "/proc/self/fd/2",
}

// Mount mounts the guest's file systems and returns what failed. What is mounted
// already stays.
func Mount() (failures []error) {
	for _, m := range mounts {
		if err := m.attach(); err != nil {
			failures = append(failures, err)
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
			failures = append(failures, err)
		}
	}
	return failures
}

// MountBinder mounts binderfs, if a driver that was loaded has one.
func MountBinder() error { return binderfs.attach() }

func (m *mount) attach() error {
	if m.mode != 0 {
		if err := os.MkdirAll(m.target, m.mode); err != nil {
			return err
		}
	}
	err := unix.Mount(m.fstype, m.target, m.fstype, m.flags, m.data)
	if err != nil && !m.optional && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
	}
	return nil
}
