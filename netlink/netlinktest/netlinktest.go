// SPDX-License-Identifier: Apache-2.0

// Package netlinktest has fakes for programs that send or receive binder
// failure reports. They stand at the level of messages: a Recorder in place of
// an Emitter, and a Source in place of an emitting process.
package netlinktest

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"virtbinder/netlink"
)

// Recorder keeps what it is given. It has the Emit method of *netlink.Emitter
// and may be used from several goroutines.
type Recorder struct {
	mu      sync.Mutex
	reports []netlink.Report // guarded by mu
}

// Emit records r.
func (c *Recorder) Emit(r netlink.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports = append(c.reports, r)
}

// Reports returns a copy of what was recorded, in order.
func (c *Recorder) Reports() []netlink.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.reports)
}

// Source is a unix socket that serves whatever messages a test wants, good or
// bad, to one Listener.
type Source struct {
	t    testing.TB
	Path string // of the socket
	ln   *net.UnixListener
	conn *net.UnixConn // nil before Accept
}

// NewSource listens on a socket in a directory of the test's own. It is closed
// when the test ends.
func NewSource(t testing.TB) *Source {
	t.Helper()
	dir, err := os.MkdirTemp("", "nlt") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{t: t, Path: filepath.Join(dir, "reports.sock")}
	if s.ln, err = net.ListenUnix("unixpacket", &net.UnixAddr{Name: s.Path, Net: "unixpacket"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		os.RemoveAll(dir)
	})
	return s
}

// Accept waits for the listener.
func (s *Source) Accept() {
	s.t.Helper()
	conn, err := s.ln.AcceptUnix()
	if err != nil {
		s.t.Fatal(err)
	}
	s.conn = conn
}

// Send sends a report as a VMM would. Call Accept before.
func (s *Source) Send(r netlink.Report) {
	s.t.Helper()
	s.SendRaw(r.AppendMessage(nil, netlink.FallbackType))
}

// SendRaw sends one datagram as it is. Call Accept before.
func (s *Source) SendRaw(b []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

// SendOverrun says that n reports were lost. Call Accept before.
func (s *Source) SendOverrun(n uint64) {
	s.t.Helper()
	const length, overrun = 24, 4 // NLMSG_OVERRUN with a u64
	b := binary.NativeEndian.AppendUint32(nil, length)
	b = binary.NativeEndian.AppendUint16(b, overrun)
	b = append(b, make([]byte, 10)...)
	s.SendRaw(binary.NativeEndian.AppendUint64(b, n))
}

// Close hangs up.
func (s *Source) Close() {
	s.ln.Close()
	if s.conn != nil {
		s.conn.Close()
	}
}
