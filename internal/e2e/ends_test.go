// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"virtbinder/internal/rundir"
)

// testEnds goes through the ends of a machine that others do not go through: a
// machine of the same name and with the same disk each time, which the one before
// must have left free. What its guest wrote is on the disk then.
func testEnds(t *testing.T, top string) {
	disk := filepath.Join(t.TempDir(), "ends.raw")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		name, cmdline string
		by            func(p *process, c *terminal)
		code          int
	}{
		{"killed", "", func(p *process, _ *terminal) { p.signal(syscall.SIGKILL) }, -1},
		{"reboot", "", func(_ *process, c *terminal) { c.types("reboot\n") }, 3},
		{"triple fault", "reboot=triple", func(_ *process, c *terminal) { c.types("reboot\n") }, 5},
		{"forced", "", forced, 6},
	} {
		t.Run(end.name, func(t *testing.T) {
			p, c := bootToShell(t, top, disk, end.cmdline)
			c.run("echo " + end.name + " >/dev/vda && sync")
			end.by(p, c)
			p.exits(end.code)
			if got, err := os.ReadFile(disk); err != nil || !bytes.HasPrefix(got, []byte(end.name+"\n")) {
				t.Errorf("the disk begins with %.20q, %v", got, err)
			}
			vm, err := rundir.Look(rundir.VM(p.name))
			if stale := end.code == -1; err != nil || vm.State != rundir.Ended && !stale || vm.State != rundir.Stale && stale {
				t.Errorf("it is %s: %v", vm.State, err)
			}
		})
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "serial")
			p := startMachine(t, "ends", "-k", filepath.Join(top, "build", "images", "l1", "6.12", "vmlinux"), "-m", "256M", "--console", "unix:"+socket)
			p.connect(socket).await("Linux version 6.12")
			p.signal(s)
			p.exits(6)
		})
	}
}

// forced is the end of a guest that does not hear its power button.
func forced(p *process, _ *terminal) {
	p.t.Helper()
	if out, err := p.command("stop", p.name, "--timeout", "1s"); err == nil || !strings.Contains(out, "still runs after 1s") {
		p.t.Errorf("%v\n%s", err, out)
	}
	if out, err := p.command("stop", p.name, "--timeout", "1s", "--force"); err != nil || out != p.name+": stopped\n" {
		p.t.Errorf("%v\n%s", err, out)
	}
}

// bootToShell boots to the shell of Debian's initramfs, with a disk past the host's
// page cache.
func bootToShell(t *testing.T, top, disk, cmdline string) (*process, *terminal) {
	t.Helper()
	debian, socket := filepath.Join(top, "build", "debian"), filepath.Join(t.TempDir(), "serial")
	p := startMachine(t, "ends", "-k", filepath.Join(debian, "vmlinuz"), "-i", filepath.Join(debian, "initrd.img"), "-m", "256M", "-d", disk+",direct",
		"--console", "unix:"+socket, "-p", "console=ttyS0 quiet mitigations=off random.trust_cpu=on break=premount "+cmdline)
	c := p.connect(socket)
	c.await(`\(initramfs\) `)
	return p, c
}
