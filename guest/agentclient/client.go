// SPDX-License-Identifier: Apache-2.0

package agentclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"virtbinder/guest/agentproto"
)

// Client reaches the agent of one guest.
type Client struct {
	dial func(ctx context.Context) (net.Conn, error)
	info agentproto.Info
}

// dialTime bounds how long one attempt to reach the agent may take.
const dialTime = 5 * time.Second

// Dial reaches the agent behind a hybrid vsock socket. It tries once; see Wait.
func Dial(sock string) (*Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	return Connect(ctx, sock)
}

// Connect is Dial within ctx.
func Connect(ctx context.Context, sock string) (*Client, error) { return New(ctx, hybrid(sock)) }

// Wait reaches the agent behind a hybrid vsock socket, trying again until it serves
// or ctx ends. It is for a guest that boots.
func Wait(ctx context.Context, sock string) (*Client, error) {
	for pause := 25 * time.Millisecond; ; {
		attempt, cancel := context.WithTimeout(ctx, dialTime)
		c, err := New(attempt, hybrid(sock))
		cancel()
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the last attempt: %w", ctx.Err(), err)
		case <-time.After(pause):
			pause = min(2*pause, 400*time.Millisecond)
		}
	}
}

// New makes a client of any way to connect to an agent, and asks the agent who it
// is.
func New(ctx context.Context, dial func(ctx context.Context) (net.Conn, error)) (*Client, error) {
	c := &Client{dial: dial}
	err := c.request(ctx, agentproto.TypeInfo, nil, func(t agentproto.Type, payload []byte) error {
		if t != agentproto.TypeInfoReply {
			return unexpected(t, payload)
		}
		return agentproto.ParseJSON(t, payload, &c.info)
	})
	if err != nil {
		return nil, fmt.Errorf("guest agent: %w", err)
	}
	return c, nil
}

// Info is what the agent said about itself and its boot.
func (c *Client) Info() agentproto.Info { return c.info }

// Poweroff asks the guest to power off, and returns when the agent has agreed.
func (c *Client) Poweroff(ctx context.Context) error { return c.power(ctx, agentproto.PowerOff) }

// Reboot asks the guest to reboot, and returns when the agent has agreed.
func (c *Client) Reboot(ctx context.Context) error { return c.power(ctx, agentproto.PowerReboot) }

func (c *Client) power(ctx context.Context, action string) error {
	err := c.request(ctx, agentproto.TypePower, agentproto.Power{Action: action}, func(t agentproto.Type, payload []byte) error {
		if t != agentproto.TypeDone {
			return unexpected(t, payload)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("guest agent: %s: %w", action, err)
	}
	return nil
}

// request sends one frame and takes the one that answers it.
func (c *Client) request(ctx context.Context, t agentproto.Type, body any, answer func(agentproto.Type, []byte) error) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer closeOn(ctx, conn)()
	pc := agentproto.NewConn(conn)
	if body == nil {
		err = pc.Write(t, nil)
	} else {
		err = pc.WriteJSON(t, body)
	}
	if err != nil {
		return ctxError(ctx, err)
	}
	reply, payload, err := pc.Read()
	if err != nil {
		return ctxError(ctx, noEOF(err))
	}
	return answer(reply, payload)
}

// closeOn closes conn when ctx ends, until the returned function is called.
func closeOn(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.Close() })
}

// ctxError prefers the context's reason over the error that it caused.
func ctxError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// noEOF makes an end of the stream an error with words.
func noEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the connection ended; the guest went down, or has no agent")
	}
	return err
}

// unexpected is the error for a frame that does not answer the request: the agent's
// own error, if it is one.
func unexpected(t agentproto.Type, payload []byte) error {
	if t != agentproto.TypeError {
		return &agentproto.FrameError{Reason: fmt.Sprintf("%s does not answer the request", t)}
	}
	var e agentproto.Error
	if err := agentproto.ParseJSON(t, payload, &e); err != nil {
		return err
	}
	return &e
}

// hybrid connects through a hybrid vsock socket to the agent's port.
func hybrid(sock string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", sock)
		if err != nil {
			return nil, socketError(sock, err)
		}
		stop := closeOn(ctx, conn)
		err = handshake(conn)
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			conn.Close()
			return nil, ctxError(ctx, err)
		}
		return conn, nil
	}
}

// socketError says what a failure to reach a VM's socket means.
func socketError(sock string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("no VM is running there: %s does not exist", sock)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no VM is running there: %s was left behind by one that is gone", sock)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s belongs to another user; run this as the user who started the VM: %w", sock, err)
	}
	return err
}

// handshake asks for the agent's port. The answer is read byte by byte: what
// follows it belongs to the stream.
func handshake(conn net.Conn) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", agentproto.Port); err != nil {
		return err
	}
	var line []byte
	for b := make([]byte, 1); len(line) < 32; line = append(line, b[0]) {
		if _, err := conn.Read(b); err != nil {
			if err == io.EOF {
				return errors.New("the guest's agent does not answer; the guest may still be booting")
			}
			return err
		}
		if b[0] == '\n' {
			break
		}
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return fmt.Errorf("not a hybrid vsock socket: it answered %.40q", line)
	}
	return nil
}
