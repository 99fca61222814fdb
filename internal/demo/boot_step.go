// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// guestCmdline keeps the guest's boot short; nothing in it has to do with binder.
const guestCmdline = "console=ttyS0 panic=-1 quiet mitigations=off cryptomgr.notests random.trust_cpu=on"

// stepBoot starts the monitor, then the guest, and looks at its devices.
func (d *demo) stepBoot(ctx context.Context) error {
	d.step(3, "The monitor, as an ordinary user; then the guest, under our own VMM")
	if err := d.startMonitor(ctx); err != nil {
		return err
	}
	if err := d.bootGuest(ctx); err != nil {
		return err
	}
	if err := d.checkMode(); err != nil {
		return err
	}
	return d.checkDevices(ctx)
}

// startMonitor returns when the monitor can miss nothing any more.
func (d *demo) startMonitor(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "virtbinder-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, ordinaryUser, ordinaryUser); err != nil {
		return err
	}
	ready := filepath.Join(dir, "ready")
	d.monitor, err = d.startHost(ordinaryUser, MonitorFile, MonitorLog, "monitor", "--json", "--ready-file", ready)
	if err != nil {
		return d.check(err, "monitor", "")
	}
	var listens []byte
	err = until(ctx, "waiting for the monitor's ready file", func() (bool, error) {
		if err := d.monitor.running(); err != nil {
			return false, err
		}
		listens, err = os.ReadFile(ready)
		return err == nil, nil
	})
	text := strings.ReplaceAll(strings.TrimSpace(string(listens)), "\n", "; ")
	return d.check(err, fmt.Sprintf("`virtbinder monitor` listens, as uid %d", ordinaryUser), text)
}

// bootGuest boots the guest and waits for its agent.
func (d *demo) bootGuest(ctx context.Context) error {
	images := filepath.Join(d.top, "build", "guest", d.Guest)
	begun := time.Now()
	var err error
	d.boot, err = d.startHost(0, BootLog, BootLog, "boot", "--name", d.Name,
		"-k", filepath.Join(images, "vmlinuz"), "-i", filepath.Join(images, "initrd.cpio"),
		"-p", guestCmdline, "-m", d.Memory, "-c", fmt.Sprint(d.CPUs), "--doorbell", d.Doorbell,
		"--console", "file:"+d.path(ConsoleFile))
	if err != nil {
		return d.check(err, "boot", "")
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	go func() { // no use waiting for the agent of a machine that has ended
		select {
		case <-d.boot.ended:
			cancel()
		case <-wait.Done():
		}
	}()
	client, err := agentclient.Wait(wait, filepath.Join(rundir.VM(d.Name), rundir.VsockSocket))
	if err != nil {
		if ended := d.boot.running(); ended != nil {
			err = ended
		}
		return d.check(err, "the guest boots, and its agent answers over vsock", "")
	}
	took := time.Since(begun)
	d.guest = &guest{Client: client, tell: d.teller, log: d.log}
	info := client.Info()
	d.result.Guest = info.Kernel
	d.ok("the guest boots, and its agent answers over vsock", "kernel %s", info.Kernel)
	d.figure("from `virtbinder boot` to the agent's answer", took.Seconds(), "s")
	if len(info.Failures) > 0 {
		err = fmt.Errorf("%s", strings.Join(info.Failures, "; "))
	}
	return d.check(err, "nothing failed while it booted", "")
}

// checkMode looks at how the VMM says that its reports leave.
func (d *demo) checkMode() error {
	s, err := netlink.ReadStatus(filepath.Join(rundir.VM(d.Name), rundir.NetlinkFile))
	if err == nil {
		d.result.Mode, d.result.ModeWhy = string(s.Mode), s.Why
		if s.Mode != netlink.ModeGenuine && s.Mode != netlink.ModeFallback {
			err = fmt.Errorf("reports do not go to netlink, but: %s (%s)", s.Mode.Describe(), s.Why)
		}
	}
	return d.check(err, "failure reports go to the host's netlink",
		fmt.Sprintf("mode %s, %s, family %d, group %d: %s", s.Mode, s.Mode.Describe(), s.Family, s.Group, s.Why))
}

// devices are the binder devices that Android wants.
var devices = []string{"binder", "hwbinder", "vndbinder"}

// checkDevices looks at what serves binder in the guest.
func (d *demo) checkDevices(ctx context.Context) error {
	for _, name := range devices {
		out, err := d.guest.run(ctx, "stat", "-c", "%F, mode %a, device %t:%T", "/dev/"+name)
		if err == nil && !strings.HasPrefix(out, "character special file") {
			err = fmt.Errorf("it is %s", strings.TrimSpace(out))
		}
		if err := d.check(err, "/dev/"+name, strings.TrimSpace(out)); err != nil {
			return err
		}
	}
	modules, err := d.guest.run(ctx, "cat", "/proc/modules")
	if err == nil && !hasModule(modules, "virtbinder") {
		err = fmt.Errorf("it is not in /proc/modules")
	}
	if err := d.check(err, "our guest driver is loaded", "virtbinder"); err != nil {
		return err
	}
	for _, stock := range []string{"binder_linux", "rust_binder"} {
		if err == nil && hasModule(modules, stock) {
			err = fmt.Errorf("%s is loaded", stock)
		}
	}
	if err := d.check(err, "no stock binder module is", ""); err != nil {
		return err
	}
	out, err := d.guest.run(ctx, "cat", "/proc/misc")
	if err == nil {
		err = unclaimed(out)
	}
	return d.check(err, "each device is there once", "")
}

func hasModule(modules, name string) bool {
	for line := range strings.Lines(modules) {
		if strings.HasPrefix(line, name+" ") {
			return true
		}
	}
	return false
}

// unclaimed makes sure that no second driver has devices of these names.
func unclaimed(misc string) error {
	for _, name := range devices {
		n := 0
		for line := range strings.Lines(misc) {
			if f := strings.Fields(line); len(f) == 2 && f[1] == name {
				n++
			}
		}
		if n > 1 {
			return fmt.Errorf("/proc/misc has %s %d times", name, n)
		}
	}
	return nil
}
