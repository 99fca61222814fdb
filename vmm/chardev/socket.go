// SPDX-License-Identifier: Apache-2.0

package chardev

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// keep is how much of what was printed while nobody was connected a client
	// gets to see.
	keep = 64 << 10
	// clientPatience is how long a client may read nothing before it is left.
	clientPatience = 10 * time.Second
)

// ListenUnix makes a socket to connect to, for one client at a time. A client
// first gets the end of what was printed before it came. A socket that nobody
// listens on any more is replaced.
func ListenUnix(path string) (*Device, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, syscall.EADDRINUSE) && removeStale(path) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	}
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("console: %w", err)
	}
	in, typed := io.Pipe()
	s := &socket{listener: l, typed: typed}
	s.loop.Go(s.accept)
	closeAll := func() error {
		in.Close() // before close waits: nobody may be reading
		return s.close()
	}
	return &Device{In: in, Out: s, Where: path, close: closeAll}, nil
}

// removeStale removes a socket that refuses connections, and nothing else.
func removeStale(path string) bool {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}

// socket is a console on a Unix socket.
type socket struct {
	listener *net.UnixListener
	typed    *io.PipeWriter
	loop     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	client net.Conn // nil while nobody is connected
	missed []byte   // printed meanwhile, the last of it
}

// accept serves one client after the other.
func (s *socket) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		if err != nil {
			return
		}
		if s.attach(c) {
			_, _ = io.Copy(s.typed, c)
		}
		s.detach(c)
	}
}

// attach makes c the client and shows it what it missed.
func (s *socket) attach(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.client = c
	missed := s.missed
	s.missed = nil
	s.printLocked(missed)
	return true
}

func (s *socket) detach(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == c {
		s.client = nil
	}
	c.Close()
}

// Write prints to the client, or keeps the end of it for the next one. It never
// fails: the guest has a console whether somebody looks or not.
func (s *socket) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.printLocked(b)
	return len(b), nil
}

func (s *socket) printLocked(b []byte) {
	if s.client != nil && len(b) > 0 {
		_ = s.client.SetWriteDeadline(time.Now().Add(clientPatience))
		n, err := s.client.Write(b)
		if err == nil {
			return
		}
		b = b[n:]
		s.client.Close() // its reader ends
		s.client = nil
	}
	s.missed = append(s.missed, b[max(0, len(b)-keep):]...)
	s.missed = s.missed[max(0, len(s.missed)-keep):]
}

func (s *socket) close() error {
	s.mu.Lock()
	s.closed = true
	if s.client != nil {
		s.client.Close()
	}
	s.mu.Unlock()
	err := s.listener.Close() // removes the socket
	s.loop.Wait()
	return err
}
