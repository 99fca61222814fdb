// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// lastWords is how long a client that does not read holds up the end of its machine.
const lastWords = 200 * time.Millisecond

func aMoment() time.Time { return time.Now().Add(lastWords) }

// maxDatagram bounds a datagram.
const maxDatagram = 64 << 10

// Client reads a machine's journal.
type Client struct {
	Hello Hello
	conn  *net.UnixConn
	buf   []byte
}

// Dial connects to the socket at path and reads its hello.
func Dial(path string) (*Client, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, buf: make([]byte, maxDatagram)}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	m, err := c.Next()
	_ = conn.SetReadDeadline(time.Time{})
	if err == nil && m.Hello == nil {
		err = fmt.Errorf("%w: no hello", ErrMalformed)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	c.Hello = *m.Hello
	return c, nil
}

// Next waits for a message. Errors that match ErrMalformed are of one message, and
// more can come; io.EOF is the machine's end.
func (c *Client) Next() (Message, error) {
	n, _, flags, _, err := c.conn.ReadMsgUnix(c.buf, nil)
	switch {
	case err != nil:
		if errors.Is(err, net.ErrClosed) {
			err = io.EOF
		}
		return Message{}, err
	case n == 0:
		return Message{}, io.EOF
	case flags&unix.MSG_TRUNC != 0:
		return Message{}, fmt.Errorf("%w: more than %d bytes", ErrMalformed, maxDatagram)
	}
	return Decode(c.buf[:n])
}

// Close ends it; Next returns io.EOF.
func (c *Client) Close() error { return c.conn.Close() }
