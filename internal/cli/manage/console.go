// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/term"

	"virtbinder/vmm/api"
)

// ConsoleCmd is `virtbinder console`.
type ConsoleCmd struct {
	target
	Index int `arg:"" optional:"" default:"0" help:"Number of the console, as the VM's configuration lists them; 0 if not given."`

	Stdin io.Reader `kong:"-"` // os.Stdin if nil
}

// Help is shown with --help.
func (ConsoleCmd) Help() string {
	return `What the guest printed last comes first. Several may be attached at once, besides where the console leads by its
configuration. ctrl-] leaves; every other key, ctrl-c as well, goes to the guest. Input that is no terminal is sent
to its end, and output goes on until the VM's end or ctrl-c.

Examples:

  virtbinder console android
  virtbinder console android 1        its second console
  echo reboot | virtbinder console android`
}

// leaveKey is ctrl-].
const leaveKey = 0x1d

// errLeft is how leaving by the key ends the input.
var errLeft = errors.New("left")

// Run attaches this terminal.
func (c *ConsoleCmd) Run() error {
	ctx, stop, client, err := c.reach()
	if err != nil {
		return err
	}
	defer stop()
	conn, err := client.Console(ctx, c.Index)
	if err != nil {
		return err
	}
	defer conn.Close()
	restore, err := c.terminal(client)
	if err != nil {
		return err
	}
	defer restore()
	return c.join(ctx, conn)
}

// terminal makes a terminal on the standard input raw.
func (c *ConsoleCmd) terminal(client *api.Client) (restore func(), err error) {
	fd := int(os.Stdin.Fd())
	if c.Stdin != nil || !term.IsTerminal(fd) {
		return func() {}, nil
	}
	fmt.Fprintf(os.Stderr, "console %d of %s; ctrl-] leaves\r\n", c.Index, client.Name())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	return func() {
		_ = term.Restore(fd, old)
		fmt.Fprintln(os.Stderr)
	}, nil
}

// join carries bytes both ways until the VM's end, ctx's, or the key.
func (c *ConsoleCmd) join(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := c.Stdin
	if in == nil {
		in = os.Stdin
	}
	left := make(chan struct{})
	go func() {
		if _, err := io.Copy(conn, &leaving{in}); errors.Is(err, errLeft) {
			close(left)
			conn.Close()
		}
	}()
	_, err := io.Copy(stdout(c.Stdout), conn)
	select {
	case <-left:
		return nil
	default:
	}
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// leaving reads up to the key.
type leaving struct{ r io.Reader }

// Read ends with errLeft at the key.
func (l *leaving) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, b := range p[:n] {
		if b == leaveKey {
			return i, errLeft
		}
	}
	return n, err
}
