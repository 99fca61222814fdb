// SPDX-License-Identifier: Apache-2.0

// Command virtbinder runs virtual machines whose Android binder driver is outside
// of them, in this program.
//
// Exit codes are the subcommand's own: that of the command which exec and lab ran,
// that of the machine's end for boot; otherwise 0, or 1 with one line that says
// what was wrong and what to do.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"virtbinder/internal/cli/boot"
	"virtbinder/internal/cli/cp"
	"virtbinder/internal/cli/doctor"
	"virtbinder/internal/cli/exec"
	"virtbinder/internal/cli/inspect"
	"virtbinder/internal/cli/lab"
	"virtbinder/internal/cli/manage"
	"virtbinder/internal/cli/monitor"
	"virtbinder/internal/config"
	"virtbinder/internal/demo"
)

const description = `Android's Binder, moved out of the guest kernel: a VMM whose guests get /dev/binder from a device, and a
monitor for the calls that fail.

Examples:

  virtbinder demo                          see all of it work, in the nested lab if need be
  virtbinder doctor                        what is there, what is missing, what to do about it
  virtbinder boot -k build/guest/6.12/vmlinuz -i build/guest/6.12/initrd.cpio --name android
  virtbinder exec android -- service list  run a command in that machine
  virtbinder state android                 what its binder processes have and do
  virtbinder log android --failed          its last failed transactions
  virtbinder monitor                       print every failed transaction, as it happens
  virtbinder lab --kernel 7.x -- uname -r  run a command on the nested lab's host`

type cli struct {
	LogLevel *config.Levels `name:"log-level" placeholder:"LEVEL" help:"What goes to the log on standard error: debug, info, warn or error; info if not given. For boot also of a component: warn,vmm=debug."`

	Boot    boot.Command      `cmd:"" help:"Run virtual machines."`
	List    manage.ListCmd    `cmd:"" help:"List virtual machines."`
	Exec    exec.Cmd          `cmd:"" help:"Run a command in a virtual machine."`
	Cp      cp.Cmd            `cmd:"" help:"Copy files to or from a virtual machine."`
	Console manage.ConsoleCmd `cmd:"" help:"Attach this terminal to a virtual machine's console."`
	Logs    manage.LogsCmd    `cmd:"" help:"Print what a virtual machine's guest printed, or its VMM logged."`
	Events  manage.EventsCmd  `cmd:"" help:"Print what happens to a virtual machine."`
	Pause   manage.PauseCmd   `cmd:"" help:"Hold a virtual machine's processors."`
	Resume  manage.ResumeCmd  `cmd:"" help:"Let a paused virtual machine go on."`
	Stop    manage.StopCmd    `cmd:"" help:"Power a virtual machine off."`
	Monitor monitor.Cmd       `cmd:"" help:"Print failed transactions as they happen."`
	State   inspect.StateCmd  `cmd:"" help:"Print what binder processes have and do: threads, calls, objects, handles, buffers."`
	Stats   inspect.StatsCmd  `cmd:"" help:"Print how many commands and objects there were, by process."`
	Log     inspect.LogCmd    `cmd:"" help:"Print the last transactions, or those that failed."`
	Doctor  doctor.Cmd        `cmd:"" help:"Check what is needed here."`
	Demo    demo.Cmd          `cmd:"" help:"Show the whole of it: a guest, Android's own programs on it, failures on netlink."`
	Lab     lab.Cmd           `cmd:"" help:"Run a command on the nested lab's host."`
	Version versionCmd        `cmd:"" help:"Print the version."`
}

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("virtbinder"), kong.Description(description), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel.All()})))
	os.Exit(finish(ctx.Run(c.LogLevel)))
}

// finish prints what there is to say about err and returns the exit code.
func finish(err error) int {
	if err == nil {
		return 0
	}
	var quiet interface{ Quiet() bool }
	var ran lab.ExitError
	if !errors.As(err, &ran) && (!errors.As(err, &quiet) || !quiet.Quiet()) {
		fmt.Fprintln(os.Stderr, "virtbinder:", err)
	}
	var coder kong.ExitCoder
	if errors.As(err, &coder) {
		return coder.ExitCode()
	}
	return 1
}

type versionCmd struct{}

// Run prints the module's version and the commit it was built from.
func (versionCmd) Run() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this program was built without its build information")
	}
	revision, modified := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	_, err := fmt.Printf("virtbinder %s (commit %s%s, %s)\n", info.Main.Version, revision, modified, info.GoVersion)
	return err
}
