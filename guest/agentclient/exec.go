// SPDX-License-Identifier: Apache-2.0

package agentclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"virtbinder/guest/agentproto"
)

// Cmd is a command to run in the guest. Streams that are nil are empty, or
// discarded.
type Cmd struct {
	Path   string   // program; without a slash it is looked up in the guest's PATH
	Args   []string // arguments after the program's name
	Env    []string // NAME=VALUE, on top of the agent's clean environment
	Dir    string   // working directory; / if empty
	UID    uint32
	GID    uint32
	Groups []uint32
	Detach bool   // leave it running; only Start makes sense, and streams are not used
	Log    string // detached: append output to this file in the guest

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Process is a command that runs in the guest.
type Process struct {
	// PID is its process id in the guest.
	PID int

	conn net.Conn
	pc   *agentproto.Conn
	cmd  *Cmd
	stop func() bool // stops watching the context
	ctx  context.Context

	window *window
	done   chan struct{} // closed when exit and err are final
	exit   agentproto.Exit
	err    error
}

// Exec runs a command and returns its exit status as a shell would: its code, or
// 128 plus the signal that killed it. If ctx ends, the command is killed.
// The error is an *agentproto.Error if the command could not be started.
func (c *Client) Exec(ctx context.Context, cmd Cmd) (exit int, err error) {
	p, err := c.Start(ctx, cmd)
	if err != nil {
		return -1, err
	}
	status, err := p.Wait()
	if err != nil {
		return -1, err
	}
	return status.Status(), nil
}

// Start starts a command. Its end comes with Wait, which must be called unless it
// was detached.
func (c *Client) Start(ctx context.Context, cmd Cmd) (*Process, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	p := &Process{conn: conn, pc: agentproto.NewConn(conn), cmd: &cmd, ctx: ctx, done: make(chan struct{})}
	p.window = newWindow(agentproto.StdinWindow)
	p.stop = closeOn(ctx, conn)
	if err := p.begin(); err != nil {
		p.stop()
		conn.Close()
		return nil, ctxError(ctx, err)
	}
	if cmd.Detach {
		p.stop()
		conn.Close()
		close(p.done)
		return p, nil
	}
	go p.sendInput()
	go p.receive()
	return p, nil
}

// begin sends the request and reads the answer.
func (p *Process) begin() error {
	cmd := p.cmd
	req := agentproto.Exec{
		Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir,
		UID: cmd.UID, GID: cmd.GID, Groups: cmd.Groups, Detach: cmd.Detach, Log: cmd.Log,
	}
	if err := req.Check(); err != nil {
		return err
	}
	if err := p.pc.WriteJSON(agentproto.TypeExec, req); err != nil {
		return err
	}
	t, payload, err := p.pc.Read()
	if err != nil {
		return noEOF(err)
	}
	if t != agentproto.TypeStarted {
		return unexpected(t, payload)
	}
	var started agentproto.Started
	if err := agentproto.ParseJSON(t, payload, &started); err != nil {
		return err
	}
	p.PID = started.PID
	return nil
}

// Wait returns when the command has ended and all its output was written. A read of
// Cmd.Stdin that is still waiting then is left waiting.
func (p *Process) Wait() (agentproto.Exit, error) {
	<-p.done
	return p.exit, p.err
}

// Signal sends a signal to the command's process group.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return errors.New("guest agent: the command has ended")
	default:
		return p.pc.WriteUint32(agentproto.TypeSignal, uint32(sig))
	}
}

// receive takes the agent's frames until the command's end.
func (p *Process) receive() {
	exit, err := p.receiveAll()
	p.stop()
	p.conn.Close()
	p.window.close()
	p.exit, p.err = exit, err
	if err != nil {
		p.err = ctxError(p.ctx, err)
	}
	close(p.done)
}

func (p *Process) receiveAll() (exit agentproto.Exit, err error) {
	for {
		t, payload, err := p.pc.Read()
		if err != nil {
			return exit, noEOF(err)
		}
		switch t {
		case agentproto.TypeStdout:
			err = write(p.cmd.Stdout, payload)
		case agentproto.TypeStderr:
			err = write(p.cmd.Stderr, payload)
		case agentproto.TypeStdinAck:
			var n uint32
			if n, err = agentproto.ParseUint32(t, payload); err == nil {
				p.window.open(int(n))
			}
		case agentproto.TypeExit:
			return exit, agentproto.ParseJSON(t, payload, &exit)
		default:
			err = unexpected(t, payload)
		}
		if err != nil {
			return exit, err
		}
	}
}

// write passes output on. If that fails, as it does when a reader has gone, the
// command is hung up by closing the connection.
func write(w io.Writer, b []byte) error {
	if w == nil {
		return nil
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write the command's output: %w", err)
	}
	return nil
}

// sendInput sends Cmd.Stdin within the window.
func (p *Process) sendInput() {
	if p.cmd.Stdin != nil {
		buf := make([]byte, agentproto.MaxData)
		for {
			n, err := p.cmd.Stdin.Read(buf)
			if !p.window.take(n) || n > 0 && p.pc.Write(agentproto.TypeStdin, buf[:n]) != nil {
				return // the command has ended
			}
			if err != nil {
				break
			}
		}
	}
	_ = p.pc.Write(agentproto.TypeStdinEnd, nil)
}

// window counts how many bytes of input may be sent.
type window struct {
	mu     sync.Mutex
	cond   sync.Cond // on mu
	left   int
	closed bool
}

func newWindow(n int) *window {
	w := &window{left: n}
	w.cond.L = &w.mu
	return w
}

// take waits for room for n bytes; it reports false when there will be none.
func (w *window) take(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.left < n && !w.closed {
		w.cond.Wait()
	}
	w.left -= n
	return !w.closed
}

func (w *window) open(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = min(w.left+n, agentproto.StdinWindow)
	w.cond.Broadcast()
}

func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.cond.Broadcast()
}
