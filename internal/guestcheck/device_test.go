// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guestcheck

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtbinder/guest/agentclient"
)

// This file is about the device and the module under the driver's users: there, not
// there, another one, loaded in another way.

const sysDriver = "/sys/bus/virtio/drivers/virtbinder"

// talk is a part of the storm's program that says when it is ready, waits for a line,
// and says at its end whether it passed.
type talk struct {
	*agentclient.Process
	seen *lines
	in   *io.PipeWriter
}

func (c *check) startTalk(t *testing.T, name string) *talk {
	t.Helper()
	in, w := io.Pipe()
	k := &talk{seen: &lines{more: make(chan struct{}, 1)}, in: w}
	var err error
	k.Process, err = c.Start(c.ctx, agentclient.Cmd{Path: "/storm", Args: []string{"/dev/binder", name}, Stdin: in, Stdout: k.seen, Stderr: k.seen})
	if err != nil {
		t.Fatal(err)
	}
	k.seen.await(t, "ready\n")
	return k
}

// goOn gives the program its line and waits for its end.
func (k *talk) goOn(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(k.in, "go on\n"); err != nil {
		t.Error(err)
	}
	k.in.Close()
	if exit, err := k.Wait(); err != nil || exit.Status() != 0 || !strings.HasSuffix(k.seen.String(), "passed\n") {
		t.Errorf("%v, exit code %d: %s", err, exit.Status(), k.seen)
	}
}

// crowd has more readers than the host keeps reads of.
func (c *check) crowd(t *testing.T) {
	begun := c.Binder.Stats().NoPark
	k := c.startTalk(t, "crowd")
	until(t, "a read is refused its place", func() error {
		if c.Binder.Stats().NoPark == begun {
			return fmt.Errorf("none of %d requests", c.Binder.Stats().Requests)
		}
		return nil
	})
	k.goOn(t)
	c.idle(t)
}

// boundDevice is the device's name in sysfs.
func (c *check) boundDevice(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(c.shell(t, "cd "+sysDriver+" && echo virtio*"))
}

// unbind takes the device away from a storm and gives it back. binderfs stays mounted
// meanwhile, on a device that does not come back.
func (c *check) unbind(t *testing.T) {
	witness := c.startTalk(t, "witness")
	storm := c.startStorm(t, endless, *seed)
	c.inTheMiddle(t)
	device := c.boundDevice(t)
	c.shell(t, "echo "+device+" >"+sysDriver+"/unbind")
	if n := c.endStorm(t, storm); n["gone"] != 1 || n["stuck"] != 0 {
		t.Errorf("the storm did not see its device go: %v", n)
	}
	witness.goOn(t)
	c.shell(t, `[ -c /dev/binderfs/binder ] && ! [ -e /dev/binder ] || exit
		(exec 3<>/dev/binderfs/binder) 2>&1 | grep "No such device" &&
		mkdir -p /mnt/gone && ! mount -t binder gone /mnt/gone`)
	until(t, "the device is unbound", func() error { return HostLeaks(c.Binder) })

	c.shell(t, "echo "+device+" >"+sysDriver+`/bind && [ -c /dev/binder ] || exit
		(exec 3<>/dev/binderfs/binder) 2>&1 | grep "No such device" &&
		umount /dev/binderfs && mount -t binder binder /dev/binderfs &&
		/storm /dev/binderfs/binder run 100 1 2`)
	if n := c.endStorm(t, c.startStorm(t, *length, *seed+1000)); n["replies"] == 0 {
		t.Errorf("nobody is answered after the device came back: %v", n)
	}
	c.idle(t)
}

// version gives the driver a device of another protocol's version: it has to refuse it,
// and both sides have to say so.
func (c *check) version(t *testing.T) {
	device := c.boundDevice(t)
	c.shell(t, "umount /dev/binderfs; echo "+device+" >"+sysDriver+"/unbind")
	c.versions.later.Store(1)
	c.shell(t, "if echo "+device+" >"+sysDriver+`/bind; then exit 1; fi
		dmesg | grep "device speaks protocol version .*, this driver .*: update the older one" && ! [ -e /dev/binder ]`)
	if log, err := os.ReadFile(c.Console); err != nil || !strings.Contains(string(log), "the driver gave up on the device") {
		t.Errorf("the host does not say that its device was refused (%v)", err)
	}
	c.versions.later.Store(0)
	c.shell(t, "echo "+device+" >"+sysDriver+"/bind && [ -c /dev/binder ] && mount -t binder binder /dev/binderfs")
	c.idle(t)
}

// suspend asks the guest to suspend, which the driver refuses before any device sleeps:
// the agent's connection, over vsock, outlives that. A kernel that went on would stop at
// its devices and come back. Debian's kernels can suspend, the sanitizing one cannot.
func (c *check) suspend(t *testing.T) {
	if strings.HasSuffix(c.Info().Kernel, "-sanitize") {
		c.shell(t, "! [ -e /sys/power/state ]")
		c.say(t, "this kernel cannot suspend")
		return
	}
	c.shell(t, `cd /sys/power && echo devices >pm_test || exit
		for i in 1 2 3 4 5 6 7 8 9 10; do
			(echo freeze >state) 2>&1 | grep "resource busy" || exit
		done
		dmesg | grep "suspending would end every open binder file" && echo none >pm_test`)
	c.idle(t)
}

// load unloads and loads the module; not while binderfs is mounted, which is so since
// the guest's boot, or a file is open.
func (c *check) load(t *testing.T) {
	c.shell(t, "if rmmod virtbinder; then exit 1; fi; umount /dev/binderfs")
	c.shell(t, "exec 3<>/dev/binder && if rmmod virtbinder; then exit 1; fi")
	c.idle(t)
	c.shell(t, fmt.Sprintf(`i=0
		while [ $i -lt %d ]; do
			rmmod virtbinder && ! [ -e /dev/binder ] && ! grep -q vbinder_call /proc/slabinfo || exit
			insmod /lib/modules/virtbinder.ko && [ -c /dev/binder ] || exit
			/storm /dev/binder run 0 $i 2 >/dev/null || exit
			i=$((i + 1))
		done`, *loads))
	c.say(t, "the module was unloaded and loaded %d times", *loads)
	c.idle(t)
}

// parameters loads the module under other names, under such as are taken, under more than
// there are low minor numbers for (6.1 has no others, and runs into those of its own devices
// with a trace), and where the kernel reports failures itself.
func (c *check) parameters(t *testing.T) {
	c.bring(t, filepath.Join(c.ko, "family.ko"))
	c.shell(t, `reload() { rmmod virtbinder && insmod /lib/modules/virtbinder.ko "$@"; }
		reload devices=one,two fstype=other reports=0 &&
		[ -c /dev/one ] && [ -c /dev/two ] && ! [ -e /dev/binder ] && ! grep -w binder /proc/filesystems &&
		mkdir -p /mnt/other && mount -t other other /mnt/other &&
		[ -c /mnt/other/one ] && ! [ -e /mnt/other/features/transaction_report ] &&
		/storm /dev/two run 50 1 2 && /storm /mnt/other/two run 50 2 2 && umount /mnt/other || exit

		reload devices=one,two,one && ! [ -e /dev/one ] && ! [ -e /dev/two ] &&
		dmesg | grep "/dev/one belongs to another driver: .*devices=" || exit

		reload fstype=tmpfs && [ -c /dev/binder ] &&
		dmesg | grep "this kernel has a .tmpfs. file system.*fstype=" &&
		/storm /dev/binder run 50 3 2 && reload && mount -t tmpfs x /mnt/other && umount /mnt/other || exit

		reload devices=$(seq -s, 1001 1100) && [ -c /dev/1001 ] && [ -c /dev/1100 ] || exit
		case $(uname -r) in 6.1.*) ;; *) reload devices=$(seq -s, 1001 1200) && [ -c /dev/1001 ] && [ -c /dev/1200 ] ;; esac || exit
		rmmod virtbinder && insmod /family.ko && insmod /lib/modules/virtbinder.ko &&
		dmesg | grep "the netlink family .binder. is the kernel's own" && mount -t binder binder /dev/binderfs &&
		! [ -e /dev/binderfs/features/transaction_report ] && /storm /dev/binder run 50 4 2 &&
		umount /dev/binderfs && rmmod virtbinder && rmmod family && insmod /lib/modules/virtbinder.ko || exit

		[ -c /dev/binder ] && mount -t binder binder /dev/binderfs && [ -e /dev/binderfs/features/transaction_report ] && umount /dev/binderfs`)
	c.idle(t)
}
