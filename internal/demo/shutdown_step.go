// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"virtbinder/internal/rundir"
)

// stepShutdown powers the guest down and accounts for everything.
func (d *demo) stepShutdown(ctx context.Context) error {
	d.step(6, "Shutdown")
	if err := d.check(d.guest.Poweroff(ctx), "the guest is asked to power off", ""); err != nil {
		return err
	}
	exit, err := d.boot.await()
	if err == nil {
		d.result.BootExit = &exit
		if exit != 0 {
			err = fmt.Errorf("its exit code is %d", exit)
		}
	}
	if err := d.check(err, "`virtbinder boot` says that it did", "exit code 0"); err != nil {
		return err
	}
	exit, err = d.monitor.signal(syscall.SIGTERM)
	if err == nil {
		d.result.MonitorExit = &exit
		if exit != 0 {
			err = fmt.Errorf("its exit code is %d", exit)
		}
	}
	if err := d.check(err, "`virtbinder monitor` ends when told to", "exit code 0"); err != nil {
		return err
	}
	if err := d.check(d.compareAll(), "no report besides those two, none lost", ""); err != nil {
		return err
	}
	return d.check(d.leftovers(), "nothing is left in the runtime directory but logs", "")
}

func (d *demo) compareAll() error {
	seen, err := readSeen(d.path(MonitorFile))
	if err != nil {
		return err
	}
	return compare(d.result.Expected, seen)
}

// leftovers looks for what a machine that has ended should have removed.
func (d *demo) leftovers() error {
	entries, err := os.ReadDir(rundir.VM(d.Name))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".log" {
			return fmt.Errorf("%s is still there", e.Name())
		}
	}
	return nil
}
