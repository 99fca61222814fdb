// SPDX-License-Identifier: Apache-2.0

// Package exec is the command `virtbinder exec`: it runs a command in a running VM.
package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/guest/agentproto"
	"virtbinder/internal/rundir"
)

// Exit codes for a command that did not run, as shells and env(1) have them.
const (
	exitFailed        = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// Cmd runs a command in a VM with this terminal's streams, and exits with its exit
// code: 128 plus the signal if one killed it, 127 if there is no such program, 126 if it cannot be run,
// 125 if the VM could not be reached.
type Cmd struct {
	Name   string        `arg:"" help:"Name of the VM."`
	UID    uint32        `help:"Run as this user id." name:"uid" short:"u"`
	GID    *uint32       `help:"Run as this group id; the user id if not given." name:"gid" short:"g"`
	Env    []string      `help:"Environment for the command." short:"e" placeholder:"NAME=VALUE" sep:"none"`
	Dir    string        `help:"Working directory in the guest." short:"C" default:"/"`
	Detach bool          `help:"Leave the command running and print its process id in the guest." short:"d"`
	Log    string        `help:"With --detach: append the command's output to this file in the guest." placeholder:"PATH"`
	Wait   time.Duration `help:"Wait this long for a guest that is still booting." default:"0s"`
	Args   []string      `arg:"" passthrough:"" name:"command" help:"Command and arguments, after --."`

	// Streams of the command; this process's own if nil.
	Stdin          io.Reader `kong:"-"`
	Stdout, Stderr io.Writer `kong:"-"`
}

// Help is shown with --help.
func (Cmd) Help() string {
	return `The exit code is the command's; 128 plus the signal if one killed it; 127 if there is no such program, 126 if it
cannot be run, 125 if the VM could not be reached.

Examples:

  virtbinder exec android -- service list
  virtbinder exec android --wait 60s -u 1000 -- id        once it has booted
  virtbinder exec android -d --log /data/top.log -- top   left running`
}

// ExitError is the exit code to end with. Err is nil when that is all there is to
// say, because the command ran and ended with the code.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("the command ended with exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode is the code that virtbinder should exit with.
func (e *ExitError) ExitCode() int { return e.Code }

// Quiet says that the error needs no printing.
func (e *ExitError) Quiet() bool { return e.Err == nil }

// Run runs the command. Whatever is not exit code 0 comes back as an *ExitError.
func (c *Cmd) Run() error {
	if err := rundir.CheckName(c.Name); err != nil {
		return &ExitError{exitFailed, err}
	}
	args := c.Args
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return &ExitError{exitFailed, fmt.Errorf("say what to run: virtbinder exec %s -- COMMAND [ARGUMENT...]", c.Name)}
	}
	client, err := c.reach()
	if err != nil {
		return &ExitError{exitFailed, fmt.Errorf("VM %q: %w", c.Name, err)}
	}
	if c.Detach {
		return c.detach(client, args)
	}
	return c.attach(client, args)
}

// reach connects to the VM's agent.
func (c *Cmd) reach() (*agentclient.Client, error) {
	sock := filepath.Join(rundir.VM(c.Name), rundir.VsockSocket)
	for _, base := range rundir.Search() { // a VM of root is visible to others
		at := filepath.Join(base, c.Name, rundir.VsockSocket)
		if _, err := os.Stat(at); err == nil {
			sock = at
			break
		}
	}
	if c.Wait <= 0 {
		return agentclient.Dial(sock)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Wait)
	defer cancel()
	return agentclient.Wait(ctx, sock)
}

// command is what the flags say.
func (c *Cmd) command(args []string) agentclient.Cmd {
	cmd := agentclient.Cmd{
		Path: args[0], Args: args[1:], Env: c.Env, Dir: c.Dir, UID: c.UID, GID: c.UID,
		Detach: c.Detach, Log: c.Log,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
	}
	if c.GID != nil {
		cmd.GID = *c.GID
	}
	if cmd.Stdin == nil {
		cmd.Stdin = os.Stdin
	}
	if cmd.Stdout == nil {
		cmd.Stdout = os.Stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	return cmd
}

func (c *Cmd) detach(client *agentclient.Client, args []string) error {
	cmd := c.command(args)
	p, err := client.Start(context.Background(), cmd)
	if err != nil {
		return startError(err)
	}
	fmt.Fprintln(cmd.Stdout, p.PID)
	return nil
}

// forwarded are the signals that go to the command instead of ending this process.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
}

// impatient is how many of SIGINT or SIGTERM in a row make this process give up on
// a command that does not end by them; it is killed then.
const impatient = 3

func (c *Cmd) attach(client *agentclient.Client, args []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	p, err := client.Start(ctx, c.command(args))
	if err != nil {
		return startError(err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go forward(p, signals, ended, cancel)
	exit, err := p.Wait()
	if err != nil {
		return &ExitError{exitFailed, fmt.Errorf("VM %q: %s: %w", c.Name, strings.Join(args, " "), err)}
	}
	if status := exit.Status(); status != 0 {
		return &ExitError{Code: status}
	}
	return nil
}

// forward passes signals on until the command has ended.
func forward(p *agentclient.Process, signals <-chan os.Signal, ended <-chan struct{}, giveUp func()) {
	urgent := 0
	for {
		select {
		case <-ended:
			return
		case s := <-signals:
			if s == syscall.SIGINT || s == syscall.SIGTERM {
				urgent++
			}
			if urgent >= impatient || p.Signal(s.(syscall.Signal)) != nil {
				giveUp()
			}
		}
	}
}

// startError gives an error of starting a command its exit code.
func startError(err error) error {
	code := exitFailed
	var e *agentproto.Error
	if errors.As(err, &e) {
		switch e.Kind {
		case agentproto.ErrNotFound:
			code = exitNotFound
		case agentproto.ErrNotExecutable:
			code = exitNotExecutable
		}
	}
	return &ExitError{code, err}
}
