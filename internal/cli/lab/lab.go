// SPDX-License-Identifier: Apache-2.0

// Package lab is the command `virtbinder lab`: it runs a command on the nested lab's host.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"virtbinder/internal/lab"
	"virtbinder/internal/signals"
)

// Cmd runs a command on a host with KVM that QEMU emulates, and exits with its exit code.
type Cmd struct {
	Kernel string   `help:"Kernel of the lab's host." enum:"6.12,7.x" default:"6.12"`
	SMP    int      `help:"Processors of the lab's host; more than one is slower." default:"1" name:"smp"`
	Mem    int      `help:"Memory of the lab's host, in MiB." default:"2048"`
	Binder string   `help:"Load the host's own binder driver with these devices (its netlink family comes with it on 7.x)." placeholder:"NAME,..."`
	User   bool     `help:"Run as an ordinary user (uid 1000) instead of root."`
	TTY    bool     `help:"Give the command a terminal." short:"t" name:"tty"`
	Env    []string `help:"Environment for the command." short:"e" placeholder:"NAME=VALUE" sep:"none"`
	Dir    string   `help:"Working directory; the source tree if not given." short:"C"`
	Args   []string `arg:"" passthrough:"" name:"command" help:"Command and arguments."`
}

// ExitError is the exit code of the command that ran; its text needs no printing when that is all there is to say.
type ExitError struct{ Code int }

func (e ExitError) Error() string { return fmt.Sprintf("the command ended with exit code %d", e.Code) }

// ExitCode is the code that virtbinder should exit with.
func (e ExitError) ExitCode() int { return e.Code }

// Run runs the command. A non-zero exit code comes back as an ExitError.
func (c *Cmd) Run() error {
	args := c.Args
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	cfg := lab.Config{
		Kernel: c.Kernel, CPUs: c.SMP, Memory: c.Mem, Binder: c.Binder,
		Args: args, Env: c.Env, Dir: c.Dir, User: c.User, TTY: c.TTY,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if c.TTY {
		restore, err := rawTerminal(&cfg)
		if err != nil {
			return err
		}
		defer restore()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := lab.Start(ctx, cfg)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	go forwardSignals(l, cancel, done)
	code, err := l.Wait()
	if errors.Is(err, context.Canceled) {
		return ExitError{128 + int(syscall.SIGINT)}
	}
	if err == nil && code != 0 {
		err = ExitError{code}
	}
	return err
}

// forwardSignals passes the first interrupt to the command; the second one ends the lab.
func forwardSignals(l *lab.Lab, cancel func(), done <-chan struct{}) {
	caught := make(chan os.Signal, 2)
	signal.Notify(caught, signals.Ending()...)
	defer signal.Stop(caught)
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case s := <-caught:
			if n > 0 {
				cancel()
				return
			}
			if l.Signal(s.(syscall.Signal)) != nil {
				cancel()
				return
			}
			fmt.Fprintln(os.Stderr, "virtbinder lab: passed the interrupt on; once more ends the lab")
		}
	}
}

func rawTerminal(cfg *lab.Config) (restore func(), err error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, errors.New("--tty needs standard input to be a terminal")
	}
	if cols, rows, err := term.GetSize(fd); err == nil {
		cfg.Rows, cfg.Cols = uint16(rows), uint16(cols)
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, err
	}
	return func() { term.Restore(fd, old) }, nil
}
