// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"virtbinder/internal/lab/job"
)

const moduleDir = "/lib/l1"

type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

var baseMounts = []mount{
	{"proc", "/proc", "proc", unix.MS_NOSUID, ""},
	{"sys", "/sys", "sysfs", unix.MS_NOSUID, ""},
	{"dev", "/dev", "devtmpfs", unix.MS_NOSUID, ""},
	{"pts", "/dev/pts", "devpts", unix.MS_NOSUID, "mode=0620,ptmxmode=0666"},
	{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID, "mode=1777"},
	{"tmp", "/tmp", "tmpfs", unix.MS_NOSUID, "mode=1777"},
	{"run", "/run", "tmpfs", unix.MS_NOSUID, "mode=0755"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID, ""},
}

func mountBase() error {
	for _, m := range baseMounts {
		if err := m.do(); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		if err := os.Symlink("/proc/self/fd"+target, "/dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

func (m mount) do() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", m.fstype, m.target, err)
	}
	return nil
}

// insertModules inserts those of the order file and, when devices is not empty, the stock binder driver.
func insertModules(devices string) error {
	f, err := os.Open(filepath.Join(moduleDir, "order"))
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if err := insert(lines.Text(), ""); err != nil {
			return err
		}
	}
	if devices != "" {
		return insert("binder_linux.ko", "devices="+devices)
	}
	return nil
}

func insert(name, params string) error {
	f, err := os.Open(filepath.Join(moduleDir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("inserting %s: %w", name, err)
	}
	return nil
}

// prepare makes the system as a small Debian host would be: shares, users, /dev/kvm, loopback.
func prepare(j *job.Job) error {
	for _, s := range j.Shares {
		m := mount{s.Tag, s.Path, "9p", unix.MS_NOSUID, "trans=virtio,version=9p2000.L,msize=512000,cache=loose"}
		if s.ReadOnly {
			m.flags |= unix.MS_RDONLY
		}
		if err := m.do(); err != nil {
			return fmt.Errorf("share %s: %w", s.Path, err)
		}
	}
	if err := writeUsers(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("lab")); err != nil {
		return err
	}
	// Not fatal: the command says itself what it lacks.
	if err := os.Chmod("/dev/kvm", 0o666); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return loopbackUp()
}

func writeUsers() error {
	files := map[string]string{
		"/etc/passwd": fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\nuser:x:%d:%[1]d:an ordinary user:/home/user:/bin/sh\n", job.User),
		"/etc/group":  fmt.Sprintf("root:x:0:\nuser:x:%d:\n", job.User),
		"/etc/hosts":  "127.0.0.1 localhost lab\n",
	}
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/home/user", runtimeDir(job.User)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chown(dir, job.User, job.User); err != nil {
			return err
		}
	}
	return os.MkdirAll("/root", 0o755)
}

func runtimeDir(uid int) string { return fmt.Sprintf("/run/user/%d", uid) }

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}
