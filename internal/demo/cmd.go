// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/term"

	"virtbinder/internal/lab"
	"virtbinder/internal/signals"
)

// labVar is set for whatever runs on the lab's host.
const labVar = "VIRTBINDER_IN_LAB"

// Cmd is the command line.
type Cmd struct {
	Kernel   string `enum:"6.12,7.x" default:"6.12" help:"Kernel of the nested lab's host: 6.12, which has no binder netlink family, or 7.x, which has (default ${default}). Without effect where guests run directly."`
	Guest    string `default:"6.12" placeholder:"SERIES" help:"Kernel of the guest: 6.12 or 6.1 (default ${default})."`
	CPUs     int    `name:"cpus" default:"1" help:"The guest's processors."`
	Memory   string `short:"m" default:"512M" help:"The guest's memory (default ${default})."`
	Doorbell string `default:"inline" enum:"inline,worker" help:"As for boot."`
	Name     string `default:"android" help:"The guest's name (default ${default})."`
	Out      string `type:"path" placeholder:"DIR" help:"Where logs and result.json go (default build/demo/HOST)."`
	Color    string `enum:"auto,always,never" default:"auto" help:"Colour the text: ${enum}."`
}

// ExitError is the exit code of the demonstration in the lab, which has said
// everything itself.
type ExitError struct{ Code int }

func (e ExitError) Error() string {
	return fmt.Sprintf("the demonstration in the lab ended with exit code %d", e.Code)
}

// ExitCode is the code that virtbinder should exit with.
func (e ExitError) ExitCode() int { return e.Code }

// Quiet says that the error needs no printing.
func (e ExitError) Quiet() bool { return true }

// Run runs the demonstration. It returns nil only if each step really happened.
func (c *Cmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), signals.Ending()...)
	defer stop()
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	inLab, where := os.Getenv(labVar) != "", lab.Usable()
	if c.Out == "" {
		c.Out = filepath.Join(top, "build", "demo", c.outName(inLab || !where.Direct))
	}
	colour := c.Color == "always" || c.Color == "auto" && term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
	t := &teller{w: os.Stdout, colour: colour, begun: time.Now(), result: &Result{Nested: inLab}}
	if inLab || where.Direct {
		d := &demo{Cmd: c, teller: t, top: top, inLab: inLab, where: where}
		return d.run(ctx)
	}
	return c.nested(ctx, stop, t, top, where)
}

// outName tells runs on different kernels apart.
func (c *Cmd) outName(nested bool) string {
	name := "direct"
	if nested {
		name = c.Kernel
	}
	if c.Guest != "6.12" {
		name += "-guest-" + c.Guest
	}
	return name
}

// clear makes the output directory and removes what an earlier run left in it.
func (c *Cmd) clear() error {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	for _, name := range outputs {
		if err := os.Remove(filepath.Join(c.Out, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// nested runs the demonstration inside the lab. The first interrupt is passed on; after
// stop the next one ends this process, and QEMU with it.
func (c *Cmd) nested(ctx context.Context, stop func(), t *teller, top string, where lab.Usability) error {
	if err := c.clear(); err != nil {
		return err
	}
	t.print("%s", t.paint("1", "virtbinder: Android's binder driver, outside of the guest"))
	t.step(1, "Images")
	if err := checkImages(t, top, c.Guest); err != nil {
		return err
	}
	t.step(2, "Host")
	t.note("not on this machine: %s", where.Reason)
	t.note("so in the nested lab: QEMU emulates a machine with AMD-V, Debian's kernel %s with KVM is the host there", c.Kernel)
	cfg := lab.Config{Top: top, Kernel: c.Kernel, Args: c.insideArgs(t.colour), Stdout: os.Stdout, Stderr: os.Stderr}
	if c.Kernel == "7.x" {
		// The stock driver with an empty list of devices: its netlink family and
		// nothing else. The quotes are the kernel's own.
		cfg.Binder = `""`
	}
	l, err := lab.Start(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return err
	}
	t.note("its console is kept in %s", l.Console)
	defer context.AfterFunc(ctx, func() {
		_ = l.Signal(syscall.SIGTERM)
		stop()
	})()
	code, err := l.Wait()
	if err != nil {
		return fmt.Errorf("demo: %w; logs are in %s", err, c.Out)
	}
	if err := os.WriteFile(filepath.Join(c.Out, ExitFile), fmt.Appendf(nil, "%d\n", code), 0o644); err != nil {
		return err
	}
	if code != 0 {
		return ExitError{code}
	}
	return nil
}

// insideArgs is the command line of the inner process.
func (c *Cmd) insideArgs(colour bool) []string {
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	args := []string{exe, "demo", "--kernel", c.Kernel, "--guest", c.Guest, "--cpus", fmt.Sprint(c.CPUs), "--memory", c.Memory,
		"--doorbell", c.Doorbell, "--name", c.Name, "--out", c.Out, "--color", "never"}
	if colour {
		args[len(args)-1] = "always"
	}
	return args
}
