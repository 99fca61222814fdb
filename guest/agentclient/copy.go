// SPDX-License-Identifier: Apache-2.0

package agentclient

import (
	"context"
	"fmt"
	"net"
	"path"
	"path/filepath"

	"virtbinder/guest/agentproto"
	"virtbinder/guest/treecopy"
)

// CopyTo copies a file or a directory of the host to an absolute path of the guest:
// into it, if that is a directory.
func (c *Client) CopyTo(ctx context.Context, local, remote string) (s treecopy.Summary, err error) {
	name, err := filepath.Abs(local) // of "." and ".." too
	if err != nil {
		return s, err
	}
	err = c.transfer(ctx, agentproto.TypePush, &agentproto.Push{Path: remote, Name: filepath.Base(name)}, func(conn net.Conn, pc *agentproto.Conn) error {
		s, err = push(conn, pc, local)
		return err
	})
	return s, err
}

// push sends while it waits for the agent's answer, which may be an error at any time.
func push(conn net.Conn, pc *agentproto.Conn, local string) (treecopy.Summary, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := treecopy.Pack(pc.DataWriter(), local)
		if err != nil {
			conn.Close() // not an end that the agent could take for the whole
		} else {
			err = pc.Write(agentproto.TypeDataEnd, nil)
		}
		sent <- err
	}()
	t, payload, err := pc.Read()
	if err != nil {
		if sendErr := <-sent; sendErr != nil {
			return treecopy.Summary{}, sendErr // what made the agent hang up, or us
		}
		return treecopy.Summary{}, noEOF(err)
	}
	s, err := copied(t, payload)
	if err != nil {
		conn.Close() // stop sending
	}
	<-sent
	return s, err
}

// CopyFrom copies a file or a directory of the guest to the host: into local, if that
// is a directory.
func (c *Client) CopyFrom(ctx context.Context, remote, local string) (s treecopy.Summary, err error) {
	dst, err := treecopy.Target(local, path.Base(path.Clean(remote)))
	if err != nil {
		return s, err
	}
	err = c.transfer(ctx, agentproto.TypePull, &agentproto.Pull{Path: remote}, func(_ net.Conn, pc *agentproto.Conn) error {
		s, err = pull(pc, dst)
		return err
	})
	return s, err
}

func pull(pc *agentproto.Conn, dst string) (treecopy.Summary, error) {
	data := agentproto.NewDataReader(pc)
	made, err := treecopy.Unpack(data, dst)
	if err != nil && data.Type == 0 {
		return made, err
	}
	if endErr := data.End(agentproto.TypeCopied); endErr != nil && data.Type == 0 {
		return made, endErr
	}
	sent, said := copied(data.Type, data.Payload)
	if said != nil {
		return made, said // the reason, rather than what came of it here
	}
	made.Left, made.Skipped = sent.Left, sent.Skipped
	return made, err
}

// transfer makes a request whose answer is more than one frame.
func (c *Client) transfer(ctx context.Context, t agentproto.Type, body interface{ Check() error }, do func(net.Conn, *agentproto.Conn) error) error {
	if err := body.Check(); err != nil {
		return err
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer closeOn(ctx, conn)()
	pc := agentproto.NewConn(conn)
	if err := pc.WriteJSON(t, body); err != nil {
		return ctxError(ctx, err)
	}
	if err := do(conn, pc); err != nil {
		return ctxError(ctx, fmt.Errorf("copy: %w", err))
	}
	return nil
}

// copied reads the answer that ends a copy.
func copied(t agentproto.Type, payload []byte) (s treecopy.Summary, err error) {
	if t != agentproto.TypeCopied {
		return s, unexpected(t, payload)
	}
	return s, agentproto.ParseJSON(t, payload, &s)
}
