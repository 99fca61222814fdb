// SPDX-License-Identifier: Apache-2.0

package vsock

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// This file is the host's end of connections to the guest.

// handshakeTime is how long a host program may take to say where it wants to go.
const handshakeTime = 10 * time.Second

// listen opens the Unix socket, for its owner only. It replaces a socket file that
// was left behind by a process that is gone.
func listen(path string) (*net.UnixListener, error) {
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	l, err := net.ListenUnix("unix", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		if c, dialErr := net.DialUnix("unix", nil, addr); dialErr == nil {
			c.Close()
			return nil, fmt.Errorf("vsock: socket %s is in use by another process; stop it or choose another name for this VM", path)
		}
		if rmErr := os.Remove(path); rmErr != nil {
			return nil, fmt.Errorf("vsock: stale socket %s: %w", path, rmErr)
		}
		l, err = net.ListenUnix("unix", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("vsock: listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("vsock: %w", err)
	}
	return l, nil
}

func (d *Device) acceptLoop() {
	for {
		sock, err := d.listener.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				d.log.Error("vsock: accept", "err", err)
			}
			return
		}
		if d.hold(sock) {
			d.accepts.Go(func() { d.handshake(sock) })
		} else {
			sock.Close()
		}
	}
}

// hold keeps a connection until its handshake is done, so that Close can end it.
func (d *Device) hold(sock net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.closed || len(d.state.waiting) >= MaxConns {
		return false
	}
	d.state.waiting[sock] = struct{}{}
	return true
}

// handshake reads "CONNECT <port>" and asks the guest.
func (d *Device) handshake(sock *net.UnixConn) {
	port, rest, err := readConnect(sock)
	d.mu.Lock()
	s := &d.state
	delete(s.waiting, sock)
	switch {
	case err != nil:
		d.log.Debug("vsock: handshake", "err", err)
		sock.Close()
	case !s.active || s.closed:
		d.log.Debug("vsock: the guest has no socket driver yet", "port", port)
		sock.Close()
	case len(s.conns) >= MaxConns:
		d.log.Warn("vsock: too many connections to the guest", "limit", MaxConns)
		sock.Close()
	default:
		d.connectLocked(sock, port, rest)
	}
	k := d.serveLocked()
	d.mu.Unlock()
	k.interrupt()
}

func (d *Device) connectLocked(sock *net.UnixConn, port uint32, early []byte) {
	c := d.newConnLocked(connKey{hostPort: d.freePortLocked(), guestPort: port})
	c.state, c.fromHost = stateRequested, true
	c.send = sendRequest
	first, _ := c.out.reserve(len(early))
	copy(first, early)
	c.out.commit(len(early))
	d.startLocked(c, sock)
	d.wakeLocked(c)
}

// freePortLocked returns a local port that no connection uses.
func (d *Device) freePortLocked() uint32 {
	for {
		port := d.state.nextPort
		if d.state.nextPort++; d.state.nextPort < firstPort {
			d.state.nextPort = firstPort
		}
		used := false
		for key := range d.state.conns { // at most MaxConns
			used = used || key.hostPort == port
		}
		if !used {
			return port
		}
	}
}

// readConnect reads the first line; rest is what came after it.
func readConnect(sock net.Conn) (port uint32, rest []byte, err error) {
	const longest = len("CONNECT 4294967295\r\n")
	if err := sock.SetReadDeadline(time.Now().Add(handshakeTime)); err != nil {
		return 0, nil, err
	}
	line := make([]byte, 0, 4096)
	for {
		n, err := sock.Read(line[len(line):cap(line)])
		line = line[:len(line)+n]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			port, err := parseConnect(string(line[:end]))
			if err != nil {
				return 0, nil, err
			}
			return port, line[end+1:], sock.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return 0, nil, err
		}
		if len(line) > longest {
			return 0, nil, errors.New(`vsock: the first line is not "CONNECT <port>"`)
		}
	}
}

func parseConnect(line string) (uint32, error) {
	word, number, _ := strings.Cut(strings.TrimSuffix(line, "\r"), " ")
	port, err := strconv.ParseUint(number, 10, 32)
	if word != "CONNECT" || err != nil {
		return 0, fmt.Errorf(`vsock: the first line is %.40q, want "CONNECT <port>"`, line)
	}
	return uint32(port), nil
}
