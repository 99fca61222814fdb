// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Mode c. A client connects to a SOCK_SEQPACKET unix socket and reads the same
// messages that netlink would carry, one a datagram; it sends nothing. What a
// client leaves unread is bounded by its socket's buffer; reports beyond that
// are lost for this client alone, and the next datagram that fits says how many:
// a message of type overrunType whose payload is one u64.

const (
	// overrunType is netlink's own NLMSG_OVERRUN.
	overrunType = 4
	overrunLen  = nlHeaderLen + 8
	maxClients  = 64
	// maxSocketPath is what a unix socket's address has room for.
	maxSocketPath = 107
)

// appendOverrun appends the message that says that n reports were lost.
func appendOverrun(b []byte, n uint64) []byte {
	b = binary.NativeEndian.AppendUint32(b, overrunLen)
	b = binary.NativeEndian.AppendUint16(b, overrunType)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return binary.NativeEndian.AppendUint64(b, n)
}

// parseOverrun is the reverse, given a message's header and payload.
func parseOverrun(h nlHeader, payload []byte) (n uint64, ok bool) {
	if h.typ != overrunType || len(payload) != 8 {
		return 0, false
	}
	return binary.NativeEndian.Uint64(payload), true
}

// unixServer accepts clients and hands every message to each of them.
type unixServer struct {
	ln   *net.UnixListener
	path string
	log  *slog.Logger
	done chan struct{} // closed when accept has ended

	mu      sync.Mutex
	clients []*unixClient // guarded by mu
	lost    uint64        // guarded by mu: reports lost by slow clients, ever
}

// listenUnix makes the socket at path with the given mode. A socket that a dead
// process left there is replaced; one that is served is an error.
func listenUnix(path string, mode os.FileMode, log *slog.Logger) (*unixServer, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("report socket %s: the path has %d bytes, a unix socket's at most %d: use a shorter runtime directory", path, len(path), maxSocketPath)
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("report socket: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		ln.Close()
		return nil, fmt.Errorf("report socket: %w", err)
	}
	s := &unixServer{ln: ln, path: path, log: log, done: make(chan struct{})}
	go s.accept()
	return s, nil
}

// clearStale removes a socket at path that nobody serves.
func clearStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("report socket: %w", err)
	}
	if st.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("report socket %s: a file that is no socket is there: remove it", path)
	}
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err == nil {
		c.Close()
		return fmt.Errorf("report socket %s is served by a running process: is a VM of this name running already?", path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("report socket %s is taken: %w", path, err)
	}
	return os.Remove(path)
}

func (s *unixServer) accept() {
	defer close(s.done)
	for {
		conn, err := s.ln.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.log.Error("report socket accepts no more clients", "socket", s.path, "err", err)
			}
			return
		}
		s.add(conn)
	}
}

func (s *unixServer) add(conn *net.UnixConn) {
	c, err := newUnixClient(conn)
	if err != nil {
		conn.Close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(func(c *unixClient) bool { return c.gone() })
	if len(s.clients) >= maxClients {
		conn.Close()
		s.log.Warn("report socket refuses a client: too many", "socket", s.path, "clients", maxClients)
		return
	}
	s.clients = append(s.clients, c)
}

// dropLocked closes and forgets the clients that gone picks.
func (s *unixServer) dropLocked(gone func(*unixClient) bool) {
	keep := s.clients[:0]
	for _, c := range s.clients {
		if gone(c) {
			c.conn.Close()
			continue
		}
		keep = append(keep, c)
	}
	clear(s.clients[len(keep):])
	s.clients = keep
}

// send offers msg to every client; it never blocks.
func (s *unixServer) send(msg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(func(c *unixClient) bool {
		lost, err := c.offer(msg)
		if lost {
			s.lost++
		}
		return err != nil
	})
}

// miss tells every client, as soon as it reads, that n reports never reached
// this server.
func (s *unixServer) miss(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.missed += n
	}
}

// settle tells clients of their losses where there is room now; it reports
// whether some have still to be told.
func (s *unixServer) settle() (pending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(func(c *unixClient) bool { return c.settle() != nil })
	for _, c := range s.clients {
		pending = pending || c.missed > 0
	}
	return pending
}

func (s *unixServer) counts() (clients int, lost uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients), s.lost
}

// close ends the server; the socket's file goes with it.
func (s *unixServer) close() {
	s.ln.Close()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(func(*unixClient) bool { return true })
}

// unixClient is one connection; its methods run under the server's mutex.
type unixClient struct {
	conn   *net.UnixConn
	raw    syscall.RawConn
	missed uint64 // reports lost and not yet told
	buf    [overrunLen]byte

	// What write, a closure made once, sends, and how that went.
	out   []byte
	err   error
	write func(fd uintptr) bool
}

func newUnixClient(conn *net.UnixConn) (*unixClient, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &unixClient{conn: conn, raw: raw}
	c.write = func(fd uintptr) bool {
		c.err = unix.Send(int(fd), c.out, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return true
	}
	return c, nil
}

// put sends one datagram; full means that the client's buffer has no room.
func (c *unixClient) put(b []byte) (full bool, err error) {
	c.out = b
	if err := c.raw.Write(c.write); err != nil {
		return false, err
	}
	c.out = nil
	switch c.err {
	case nil:
		return false, nil
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS, unix.ENOMEM:
		return true, nil
	}
	return false, c.err
}

// offer sends msg, after what is owed; an error means that the client is gone.
func (c *unixClient) offer(msg []byte) (lost bool, err error) {
	if err := c.settle(); err != nil {
		return false, err
	}
	full := c.missed > 0
	if !full {
		if full, err = c.put(msg); err != nil {
			return false, err
		}
	}
	if full {
		c.missed++
	}
	return full, nil
}

// settle tells the client how many reports it lost, if any and if there is room.
func (c *unixClient) settle() error {
	if c.missed == 0 {
		return nil
	}
	full, err := c.put(appendOverrun(c.buf[:0], c.missed))
	if err == nil && !full {
		c.missed = 0
	}
	return err
}

// gone reports whether the client has hung up.
func (c *unixClient) gone() bool {
	hup := false
	err := c.raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(p, 0)
		hup = err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return err != nil || hup
}
