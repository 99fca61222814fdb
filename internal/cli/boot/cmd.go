// SPDX-License-Identifier: Apache-2.0

// Package boot is `virtbinder boot`: it runs virtual machines in the foreground,
// from flags and a configuration file to exit code. What they come to is a
// config.Config; package machine makes it real.
//
// # Exit codes
//
//	0  the guest powered off
//	1  the machine could not be made or could not go on; the message says why
//	3  the guest rebooted
//	4  the guest's kernel panicked
//	5  triple fault
//	6  stopped from outside: ctrl-c, SIGTERM, SIGHUP, virtbinder stop --force
//
// Of several machines the first in the configuration that did not power off decides.
// A second signal ends the process at once: 128 and the signal's number.
package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"virtbinder/internal/config"
	"virtbinder/internal/logs"
	"virtbinder/internal/machine"
)

// Command is the command line. What is not given is left as the configuration file
// has it, or at its default.
type Command struct {
	Config string `placeholder:"FILE" help:"Read the machines from a YAML file; flags given as well win over it."`
	DryRun bool   `help:"Print the resolved configuration, as YAML, and boot nothing."`
	JSON   bool   `name:"json" help:"With --dry-run: print it as JSON."`

	vmFlags
	processFlags

	Stdout io.Writer `kong:"-"` // of --dry-run; os.Stdout if nil
}

// Help is shown with --help.
func (Command) Help() string {
	return `Examples:

  virtbinder boot -k vmlinuz -i initrd.cpio                   a machine called vm, on this terminal
  virtbinder boot -k vmlinuz -p 'root=/dev/vda' -m 2G -c 2 -d root.img --name debian
  virtbinder boot -k vmlinuz -d base.img,readonly -d data.img,direct --net user,forward=tcp:127.0.0.1:8022:22
  virtbinder boot --android-boot boot.img --vendor-boot vendor_boot.img --console hvc=pty
  virtbinder boot --config machines.yaml --dry-run            what that comes to
  virtbinder boot --config machine.yaml -m 4G                 with more memory

The exit code is 0 when the guest powered off, 3 when it rebooted, 4 when its kernel panicked, 5 after a triple
fault, 6 when it was stopped from outside, 1 when it could not be made or go on. docs/boot.md has the rest.`
}

// Run runs the machines with the terminal and the signals of this process. levels is
// the program's --log-level, nil if it was not given.
func (c *Command) Run(levels *config.Levels) error {
	cfg, err := c.resolve(levels)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.print(&cfg)
	}
	ctx, stop := catchSignals()
	defer stop()
	return run(ctx, cfg)
}

// print shows what would be booted.
func (c *Command) print(cfg *config.Config) error {
	text, err := cfg.YAML()
	if c.JSON {
		text, err = json.MarshalIndent(cfg, "", "  ")
		text = append(text, '\n')
	}
	if err != nil {
		return err
	}
	out := c.Stdout
	if out == nil {
		out = os.Stdout
	}
	_, err = out.Write(text)
	return err
}

// run runs the machines until each has ended or ctx does.
func run(ctx context.Context, cfg config.Config) (err error) {
	lines, err := logs.Open(cfg.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lines.Close()) }()
	log := lines.For("vmm", "", nil)
	slog.SetDefault(log)
	host := machine.Host{Logs: lines, EnterVCPU: vcpuJail(&cfg)}
	if cfg.UsesStdio() {
		restore, err := useTerminal(&host, os.Stdin, os.Stdout)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, restore()) }()
	}
	group, err := machine.New(cfg, host)
	if err != nil {
		return err
	}
	defer group.Close()
	if err := closeIn(&cfg, group.Dirs(), log); err != nil {
		return err
	}
	return outcome(group.Run(ctx))
}

// endError is the end of machines that did not all power off.
type endError struct {
	errs []error
	code int
}

// Error has a line for each.
func (e *endError) Error() string {
	lines := make([]string, len(e.errs))
	for i, err := range e.errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// ExitCode is the process's.
func (e *endError) ExitCode() int { return e.code }

// outcome is what the process ends with.
func outcome(ends []machine.End) error {
	var e endError
	for _, end := range ends {
		if err := end.Error(); err != nil {
			if len(e.errs) == 0 {
				e.code = machine.ExitCode(end.Exit)
			}
			e.errs = append(e.errs, err)
		}
	}
	if len(e.errs) == 0 {
		return nil
	}
	return &e
}

// flagError names the flags in an error about a machine that no file describes.
func flagError(err error) error {
	for _, e := range config.Fields(err) {
		e.Field = flagOf(e.Field)
	}
	return err
}

// flagOf is the flag that says what field is.
func flagOf(field string) string {
	field = strings.TrimPrefix(field, "vms[0].")
	for prefix, flag := range map[string]string{
		"name": "--name", "kernel": "--kernel", "android.boot": "--android-boot", "cmdline": "--cmdline", "memory": "--memory", "cpus": "--cpus",
		"affinity": "--affinity", "disks": "--disk", "net": "--net", "consoles": "--console", "vsock.cid": "--cid", "binder.doorbell": "--doorbell",
		"netlink.reports": "--reports", "timeouts.stop": "--stop-timeout", "log.format": "--log-format", "log.levels": "--log-level",
	} {
		if rest, ok := strings.CutPrefix(field, prefix); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return flag + ordinal(rest)
		}
	}
	return field
}

// ordinal turns an index into a repeated flag's place: [1].path into " (2nd) path".
func ordinal(rest string) string {
	index, rest, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]")
	if !ok {
		return strings.ReplaceAll(rest, ".", " ")
	}
	var n int
	if _, err := fmt.Sscan(index, &n); err != nil {
		return ""
	}
	return fmt.Sprintf(" (number %d)%s", n+1, strings.ReplaceAll(rest, ".", " "))
}
