// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// unixSource is one connection to an emitter's unix socket.
type unixSource struct {
	path string
	vm   string // "" when not known
	conn *net.UnixConn
}

func (s *unixSource) close() { s.conn.Close() }

// openSocket connects to path and starts to read it.
func (l *Listener) openSocket(path, vm string) error {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return err
	}
	s := &unixSource{path: path, vm: vm, conn: conn}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.closed || l.state.sockets[path] != nil {
		conn.Close()
		return nil
	}
	l.state.sockets[path] = s
	delete(l.state.noticed, path)
	l.wg.Add(1)
	go l.readUnix(s)
	return nil
}

// readUnix is the goroutine of a unix source.
func (l *Listener) readUnix(s *unixSource) {
	defer l.wg.Done()
	defer s.close()
	base := Event{Source: "unix:" + s.path, VM: s.vm}
	err := l.readDatagrams(s, base)
	l.mu.Lock()
	delete(l.state.sockets, s.path)
	l.mu.Unlock()
	if !l.closed() && !errors.Is(err, net.ErrClosed) {
		l.notice(base.Source, "the emitter has hung up", err)
	}
}

// readDatagrams reads until the end, which is a nil error.
func (l *Listener) readDatagrams(s *unixSource, base Event) error {
	buf := make([]byte, maxDatagram)
	for {
		n, _, flags, _, err := s.conn.ReadMsgUnix(buf, nil)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case flags&unix.MSG_TRUNC != 0:
			ev := base
			ev.Kind = EventBad
			ev.Err = fmt.Errorf("%w: datagram of more than %d bytes", ErrOversized, maxDatagram)
			if !l.put(ev) {
				return nil
			}
		case n == 0:
			return nil
		default:
			if !l.datagram(buf[:n], base, nil) {
				return nil
			}
		}
	}
}

// scanner looks for VMs that came.
func (l *Listener) scanner() {
	defer l.wg.Done()
	tick := time.NewTicker(l.opts.ScanInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
			l.scan()
		}
	}
}

// scan reads the runtime files once and connects where netlink does not serve.
func (l *Listener) scan() {
	ports := map[uint32]string{}
	for _, dir := range l.opts.RuntimeDirs {
		paths, _ := filepath.Glob(filepath.Join(dir, "*", "netlink.json")) // fails only on a bad pattern
		for _, path := range paths {
			l.consider(path, ports)
		}
	}
	l.mu.Lock()
	l.state.byPort = ports
	l.mu.Unlock()
}

// consider decides about one runtime file.
func (l *Listener) consider(path string, ports map[uint32]string) {
	st, err := ReadStatus(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.complain(path, "runtime file cannot be read", err)
		}
		return
	}
	if l.served(&st) {
		if st.PortID != 0 {
			ports[st.PortID] = st.VM
		}
		l.hangUp(st.Socket)
		return
	}
	if st.Socket == "" {
		l.complain(path, fmt.Sprintf("reports of VM %s cannot be heard here: they go to %s, and it offers no unix socket", st.VM, st.Mode.Describe()), nil)
		return
	}
	l.mu.Lock()
	open := l.state.sockets[st.Socket] != nil
	l.mu.Unlock()
	if open {
		return
	}
	switch err := l.openSocket(st.Socket, st.VM); {
	case err == nil:
		l.tell("unix:"+st.Socket, "listening to VM "+st.VM+" over its unix socket", nil)
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		// A VM that ended without removing its files.
	default:
		l.complain(st.Socket, "reports of VM "+st.VM+" cannot be heard", err)
	}
}

// served reports whether the emitter's messages reach our netlink sockets.
func (l *Listener) served(st *Status) bool {
	sameNS := l.netNS == "" || st.Namespace.Net == "" || st.Namespace.Net == l.netNS
	switch st.Mode {
	case ModeGenuine, ModeFallback:
		return l.netlink != nil && sameNS
	case ModeUserSock:
		return l.userSock != nil && sameNS
	}
	return false
}

// hangUp closes a scanned socket whose VM has meanwhile taken to netlink; those
// that the caller named stay.
func (l *Listener) hangUp(path string) {
	for _, named := range l.opts.Sockets {
		if named == path {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.state.sockets[path]; s != nil {
		s.close()
	}
}

// complain makes a notice once for each path and text.
func (l *Listener) complain(path, text string, err error) {
	all := text
	if err != nil {
		all += err.Error()
	}
	l.mu.Lock()
	known := l.state.noticed[path] == all
	l.mu.Unlock()
	if known || !l.tell(path, text, err) {
		return // told, or tried again at the next scan
	}
	l.mu.Lock()
	l.state.noticed[path] = all
	l.mu.Unlock()
}

// tell is notice for the scan, which also runs before anybody can receive: it
// gives up when the queue is full.
func (l *Listener) tell(source, text string, err error) bool {
	select {
	case l.events <- Event{Kind: EventNotice, Time: time.Now(), Source: source, Text: text, Err: err}:
		return true
	default:
		return false
	}
}
