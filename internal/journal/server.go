// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
)

const (
	maxClients = 64
	maxPath    = 107 // of a unix socket's address
)

// Server offers a journal on a unix socket.
type Server struct {
	j      *Journal
	ln     *net.UnixListener
	hello  Hello
	suffix string
	log    *slog.Logger
	wg     sync.WaitGroup

	mu      sync.Mutex
	clients map[*net.UnixConn]struct{} // guarded by mu
	closed  bool                       // guarded by mu
}

// Serve listens at path, for this user alone. Contexts get suffix, so that they are
// called as in reports on the host; hello is what each client is told, but for the
// counts.
func Serve(j *Journal, path string, hello Hello, suffix string, log *slog.Logger) (*Server, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("journal socket %s: the path has %d bytes, a unix socket's at most %d: use a shorter runtime directory", path, len(path), maxPath)
	}
	ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("journal socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, fmt.Errorf("journal socket: %w", err)
	}
	s := &Server{j: j, ln: ln, hello: hello, suffix: suffix, log: log, clients: map[*net.UnixConn]struct{}{}}
	s.wg.Go(s.accept)
	return s, nil
}

func (s *Server) accept() {
	for {
		conn, err := s.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("journal socket", "err", err)
			continue
		}
		if !s.add(conn) {
			conn.Close()
			continue
		}
		r := s.j.Reader()
		s.wg.Go(func() { s.serve(conn, r) })
		s.wg.Go(func() { s.awaitEnd(conn, r) })
	}
}

// add takes a client in, unless there are too many.
func (s *Server) add(conn *net.UnixConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if len(s.clients) >= maxClients {
		s.log.Warn("journal socket refuses a client: too many", "clients", maxClients)
		return false
	}
	s.clients[conn] = struct{}{}
	return true
}

// serve writes to one client; a slow one makes only this goroutine wait.
func (s *Server) serve(conn *net.UnixConn, r *Reader) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.clients, conn)
		s.mu.Unlock()
	}()
	hello := s.hello
	hello.Counts = s.j.Counts()
	if !s.write(conn, message{Kind: kindHello, Version: Version, Hello: &hello}) {
		return
	}
	batch := make([]Record, 64)
	for {
		n, lost, ok := r.Next(batch)
		if !ok || lost > 0 && !s.write(conn, message{Kind: kindGap, Lost: lost}) {
			return
		}
		for i := range n {
			b, err := batch[i].JSON(s.suffix)
			if err == nil {
				_, err = conn.Write(b)
			}
			if err != nil {
				return // the client has gone
			}
		}
	}
}

func (s *Server) write(conn *net.UnixConn, m message) bool {
	b, err := json.Marshal(&m)
	if err == nil {
		_, err = conn.Write(b)
	}
	return err == nil
}

// awaitEnd waits for the client to hang up.
func (s *Server) awaitEnd(conn *net.UnixConn, r *Reader) {
	var b [1]byte
	for {
		if n, err := conn.Read(b[:]); n == 0 || err != nil {
			r.Stop()
			return
		}
	}
}

// Close ends the server. The journal should be closed before, so that clients get
// what is in it; one that does not read loses what its socket has no room for.
func (s *Server) Close() {
	s.ln.Close()
	s.mu.Lock()
	s.closed = true
	for conn := range s.clients {
		_ = conn.SetWriteDeadline(aMoment())
	}
	s.mu.Unlock()
	s.wg.Wait()
}
