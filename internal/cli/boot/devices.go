// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"path/filepath"

	"virtbinder/driver"
	"virtbinder/internal/api"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder"
	"virtbinder/virtio/vsock"
)

// binderID is the virtio id of the binder device. The guest driver knows the
// device by its config space as well; 63 is the highest id that VMMs have room for.
const binderID = 63

// Command is the command line of `virtbinder boot`: a machine (Cmd) with the
// devices that make it one of virtbinder's.
type Command struct {
	Cmd

	Reports       string `default:"auto" enum:"auto,usersock,off" help:"Where failure reports go besides the unix socket in the runtime directory: auto, the kernel's binder netlink group or the one that stands in for it; usersock, NETLINK_USERSOCK; off."`
	PlainContexts bool   `help:"Report contexts as the guest calls them, binder instead of binder@NAME. Refused where the host has binder devices of its own."`
}

// Run is Cmd.Run with virtbinder's devices.
func (c *Command) Run() error {
	want, err := netlink.ParseWant(c.Reports)
	if err != nil {
		return fmt.Errorf("--reports: %w", err)
	}
	c.Build = func(vm VM) ([]virtio.Device, func() error, error) { return c.devices(vm, want) }
	return c.Cmd.Run()
}

// closers is what has been opened, to be closed in reverse order.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}

// devices makes the machine's vsock and binder devices. The way of failures comes first,
// while the process has all its privileges, and is closed last, so that reports of
// the end still leave.
func (c *Command) devices(vm VM, want netlink.Want) ([]virtio.Device, func() error, error) {
	var opened closers
	failures, err := openFailures(vm, want, c.PlainContexts)
	if err != nil {
		return nil, opened.close, err
	}
	opened.add(failures.close)
	sock, err := vsock.New(vsock.Config{CID: uint64(vm.CID), Path: filepath.Join(vm.Dir, rundir.VsockSocket), Log: vm.Log})
	if err != nil {
		return nil, opened.close, err
	}
	opened.add(sock.Close)
	binder, err := vbinder.New(vbinder.Config{
		Name: vm.Name, Core: driver.New(driver.Config{Log: vm.Log}), ID: binderID, RequestQueues: vm.CPUs, Inline: vm.Inline,
		Report: failures.report, Notice: failures.notice,
		Log: vm.Log,
	})
	if err != nil {
		return nil, opened.close, err
	}
	opened.add(func() error { binder.Close(); return nil })
	server, err := api.Serve(filepath.Join(vm.Dir, rundir.APISocket), binder.VM(), vm.Log, api.Route{Pattern: "GET /metrics", Handler: failures.metrics})
	if err != nil {
		return nil, opened.close, err
	}
	opened.add(server.Close)
	return []virtio.Device{sock, binder}, opened.close, nil
}
