// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/guest/agentproto"
)

// Config is what a Server needs.
type Config struct {
	Reaper   *Reaper
	Log      *slog.Logger
	Failures []string                  // what to tell clients about booting
	Power    func(action string) error // takes the machine down; nil refuses
}

// Server serves clients until its listener is closed.
type Server struct {
	cfg Config

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// New makes a Server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Server{cfg: cfg, conns: map[net.Conn]struct{}{}}
}

// Serve accepts clients until l is closed; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("agent: accept: %w", err)
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() { s.serveConn(c) })
	}
}

// Close ends all connections, which kills what runs for them, and waits.
func (s *Server) Close() {
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) serveConn(c net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		c.Close()
		if r := recover(); r != nil { // one client's bug must not take PID 1 down
			s.cfg.Log.Error("panic while serving", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	pc := agentproto.NewConn(c)
	t, payload, err := pc.Read()
	if err != nil {
		s.protocolError(pc, err)
		return
	}
	switch t {
	case agentproto.TypeInfo:
		err = pc.WriteJSON(agentproto.TypeInfoReply, s.info())
	case agentproto.TypePower:
		err = s.power(c, pc, payload)
	case agentproto.TypeExec:
		err = s.exec(pc, payload)
	case agentproto.TypePush:
		err = s.push(pc, payload)
	case agentproto.TypePull:
		err = s.pull(pc, payload)
	default:
		err = &agentproto.FrameError{Reason: fmt.Sprintf("a request cannot begin with %s", t)}
	}
	if err != nil {
		s.protocolError(pc, err)
	}
}

// protocolError tells the client, if it is at fault, and the log.
func (s *Server) protocolError(pc *agentproto.Conn, err error) {
	var fe *agentproto.FrameError
	if errors.As(err, &fe) {
		s.cfg.Log.Warn("client", "err", err)
		_ = pc.WriteJSON(agentproto.TypeError, agentproto.Error{Kind: agentproto.ErrProtocol, Message: fe.Error()})
		return
	}
	s.cfg.Log.Debug("client", "err", err)
}

func (s *Server) info() agentproto.Info {
	info := agentproto.Info{Version: agentproto.Version, Failures: s.cfg.Failures}
	info.Hostname, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		info.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return info
}

// goodbye is how long a client that asked for power off may take to hang up.
const goodbye = time.Second

// power takes the machine down, once the client has read that it will.
func (s *Server) power(c net.Conn, pc *agentproto.Conn, payload []byte) error {
	var p agentproto.Power
	if err := agentproto.ParseJSON(agentproto.TypePower, payload, &p); err != nil {
		return err
	}
	if s.cfg.Power == nil || p.Action != agentproto.PowerOff && p.Action != agentproto.PowerReboot {
		return &agentproto.FrameError{Reason: fmt.Sprintf("no power action %q", p.Action)}
	}
	if err := pc.Write(agentproto.TypeDone, nil); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(goodbye))
	_, _, _ = pc.Read() // returns when the client hangs up
	return s.cfg.Power(p.Action)
}
