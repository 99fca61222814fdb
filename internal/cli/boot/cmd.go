// SPDX-License-Identifier: Apache-2.0

// Package boot is `virtbinder boot`: it runs one virtual machine in the
// foreground, from flags to exit code.
//
// What is on the command line becomes a VM; the caller's Builder makes the
// devices for it; package vmm runs it. While it runs, its directory (package
// rundir) holds the pid file, which is locked, and the console log; the log
// stays after the end, until the next machine of that name.
//
// # Exit codes
//
//	0  the guest powered off
//	1  the machine could not be made or could not go on; the message says why
//	3  the guest rebooted
//	4  the guest's kernel panicked
//	5  triple fault
//	6  stopped from outside: ctrl-c, SIGTERM, SIGHUP
package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"virtbinder/virtio"
	"virtbinder/vmm"
)

// VM is what the command line says, resolved: what a Builder needs to know.
type VM struct {
	Name     string
	Dir      string // the runtime directory; exists
	CID      uint32 // vsock address of the guest
	CPUs     int
	Memory   uint64 // bytes
	Inline   bool
	Log      *slog.Logger
	Console  string // where the guest's output is kept
	kernel   string
	initrd   string
	cmdline  string
	where    consoleTarget
	consPath string
}

// Builder makes the devices of a machine. What it returns to close is closed
// after the machine has ended, also when the machine could not be made.
type Builder func(VM) (devices []virtio.Device, close func() error, err error)

// Cmd is the command line. The caller sets Build before Run; nil gives a machine
// without virtio devices.
type Cmd struct {
	Kernel   string `short:"k" required:"" placeholder:"FILE" help:"Kernel to boot: a bzImage (a distribution's vmlinuz) or an uncompressed vmlinux."`
	Initrd   string `short:"i" placeholder:"FILE" help:"Initial RAM file system: a cpio archive, bare or compressed."`
	Cmdline  string `short:"p" default:"console=ttyS0 panic=-1" help:"Kernel command line."`
	Memory   string `short:"m" default:"1G" placeholder:"SIZE" help:"Guest memory, as 512M or 2G; 1G if not given."`
	CPUs     int    `short:"c" name:"cpus" default:"1" help:"Number of vCPUs."`
	Name     string `default:"vm" help:"Name of the machine, for exec, monitor and its runtime directory."`
	CID      uint32 `name:"cid" default:"3" help:"The guest's vsock address."`
	Console  string `default:"stdio" placeholder:"WHERE" help:"Where the serial console leads: stdio, file:PATH or none. stdio if not given. The console log in the runtime directory gets it in any case."`
	Doorbell string `default:"inline" enum:"inline,worker" help:"Who serves a device's queues: inline, the vCPU that kicks; worker, a thread per queue."`

	Build Builder `kong:"-"`
}

// Run runs the machine with the terminal and the signals of this process. Its
// error is an *ExitError unless the guest powered off or the machine failed.
func (c *Cmd) Run() error {
	ctx, stop := catchSignals()
	defer stop()
	exit, err := c.RunContext(ctx, os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	return exitError(c.Name, exit)
}

// RunContext runs the machine until it ends or ctx does. in and out are what
// "stdio" means; a terminal is put into raw mode meanwhile.
func (c *Cmd) RunContext(ctx context.Context, in, out *os.File) (exit vmm.Exit, err error) {
	vm, err := c.resolve()
	if err != nil {
		return vmm.Failed, err
	}
	dir, err := claim(vm.Name)
	if err != nil {
		return vmm.Failed, err
	}
	defer dir.release()
	vm.Dir, vm.Console = dir.path, dir.log.Name()
	console, closeConsole, err := openConsole(vm, dir.log, in, out)
	if err != nil {
		return vmm.Failed, err
	}
	defer func() { err = errors.Join(err, closeConsole()) }()
	return c.run(ctx, vm, console)
}

func (c *Cmd) run(ctx context.Context, vm VM, console vmm.Console) (exit vmm.Exit, err error) {
	var devices []virtio.Device
	if c.Build != nil {
		built, closeDevices, err := c.Build(vm)
		if closeDevices != nil {
			defer func() {
				if cerr := closeDevices(); cerr != nil {
					vm.Log.Warn("closing devices", "err", cerr)
				}
			}()
		}
		if err != nil {
			return vmm.Failed, err
		}
		devices = built
	}
	m, err := vmm.New(vmm.Config{
		Name: vm.Name, Kernel: vm.kernel, Initrd: vm.initrd, Cmdline: vm.cmdline,
		MemoryBytes: vm.Memory, CPUs: vm.CPUs,
		Console: console, Devices: devices, Inline: vm.Inline, Log: vm.Log,
	})
	if err != nil {
		return vmm.Failed, err
	}
	defer m.Close()
	if err := dropPrivileges(vm.Log); err != nil {
		return vmm.Failed, err
	}
	exit, err = m.Run(ctx)
	vm.Log.Info("the machine has ended", "vm", vm.Name, "exit", exit.String(), "console", vm.Console)
	return exit, err
}

// ExitError is the end of a machine that is not a power off, with its exit code.
type ExitError struct {
	VM   string
	Exit vmm.Exit
}

func (e *ExitError) Error() string {
	text := map[vmm.Exit]string{
		vmm.Reboot:      "the guest rebooted; this program does not start it again",
		vmm.Panic:       "the guest's kernel panicked",
		vmm.TripleFault: "the guest ended in a triple fault",
		vmm.Stopped:     "stopped",
	}[e.Exit]
	return fmt.Sprintf("VM %s: %s", e.VM, text)
}

// ExitCode is the process's exit code; the package comment lists them.
func (e *ExitError) ExitCode() int { return ExitCode(e.Exit) }

// ExitCode returns the exit code of a machine's end.
func ExitCode(e vmm.Exit) int {
	switch e {
	case vmm.Poweroff:
		return 0
	case vmm.Reboot:
		return 3
	case vmm.Panic:
		return 4
	case vmm.TripleFault:
		return 5
	case vmm.Stopped:
		return 6
	}
	return 1
}

func exitError(name string, e vmm.Exit) error {
	if e == vmm.Poweroff {
		return nil
	}
	return &ExitError{VM: name, Exit: e}
}
