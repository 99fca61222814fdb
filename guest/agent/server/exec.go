// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/guest/agentproto"
)

// hangupTime is how long a command that lost its client may take to end after
// SIGHUP before it is killed.
const hangupTime = 5 * time.Second

// exec serves one command from its request to its end.
func (s *Server) exec(pc *agentproto.Conn, payload []byte) error {
	var req agentproto.Exec
	if err := agentproto.ParseJSON(agentproto.TypeExec, payload, &req); err != nil {
		return err
	}
	if err := req.Check(); err != nil {
		return err
	}
	if req.Dir == "" {
		req.Dir = "/"
	}
	run := s.execAttached
	if req.Detach {
		run = s.execDetached
	}
	err := run(pc, &req)
	var e *agentproto.Error
	if errors.As(err, &e) {
		return pc.WriteJSON(agentproto.TypeError, e)
	}
	return err
}

// command is a process that runs for a client.
type command struct {
	pid    int
	status <-chan unix.WaitStatus
}

// start starts the program of a request. The error is an *agentproto.Error.
func (s *Server) start(req *agentproto.Exec, files []*os.File) (command, error) {
	env := environment(req.Env)
	path, err := lookup(req.Path, req.Dir, env)
	if err != nil {
		return command{}, err
	}
	attr := &os.ProcAttr{Dir: req.Dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if req.UID != uint32(os.Getuid()) || req.GID != uint32(os.Getgid()) || len(req.Groups) > 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: req.UID, Gid: req.GID, Groups: req.Groups}
	}
	pid, status, err := s.cfg.Reaper.Start(path, append([]string{req.Path}, req.Args...), attr)
	if err != nil {
		return command{}, startError(req, err)
	}
	s.cfg.Log.Debug("started", "pid", pid, "path", path)
	return command{pid: pid, status: status}, nil
}

// startError tells apart why a program that was found did not start.
func startError(req *agentproto.Exec, err error) error {
	kind := agentproto.ErrStart
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		kind = agentproto.ErrNotExecutable
	}
	msg := fmt.Sprintf("cannot start %s in %s as %d:%d: %v", req.Path, req.Dir, req.UID, req.GID, err)
	return &agentproto.Error{Kind: kind, Message: msg}
}

// execDetached starts a command and leaves it alone.
func (s *Server) execDetached(pc *agentproto.Conn, req *agentproto.Exec) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	out := null
	if req.Log != "" {
		if out, err = os.OpenFile(req.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
			return &agentproto.Error{Kind: agentproto.ErrStart, Message: err.Error()}
		}
		defer out.Close()
	}
	cmd, err := s.start(req, []*os.File{null, out, out})
	if err != nil {
		return err
	}
	return pc.WriteJSON(agentproto.TypeStarted, agentproto.Started{PID: cmd.pid})
}

// execAttached runs a command with its streams on the connection.
func (s *Server) execAttached(pc *agentproto.Conn, req *agentproto.Exec) error {
	var p pipes
	if err := p.open(); err != nil {
		return &agentproto.Error{Kind: agentproto.ErrStart, Message: err.Error()}
	}
	cmd, err := s.start(req, p.child[:])
	p.closeChild()
	if err != nil {
		p.closeOurs()
		return err
	}
	if err := pc.WriteJSON(agentproto.TypeStarted, agentproto.Started{PID: cmd.pid}); err != nil {
		s.cfg.Log.Debug("client went at once", "pid", cmd.pid)
	}
	return s.attend(pc, cmd, &p)
}

// attend carries the streams until the command has ended and all its output is
// sent.
func (s *Server) attend(pc *agentproto.Conn, cmd command, p *pipes) error {
	in := newStdin(p.ours[0], pc)
	outDone := make(chan struct{}, 2)
	for i, t := range []agentproto.Type{agentproto.TypeStdout, agentproto.TypeStderr} {
		go func() {
			copyOutput(pc, t, p.ours[i+1])
			outDone <- struct{}{}
		}()
	}
	lost := make(chan error, 1)
	go func() { lost <- s.listenTo(pc, cmd.pid, in) }()

	status, clientErr := s.await(cmd, lost)
	p.endOutput()
	<-outDone
	<-outDone
	in.close()
	p.closeOurs()
	if clientErr != nil {
		return clientErr
	}
	exit := agentproto.Exit{Code: status.ExitStatus()}
	if status.Signaled() {
		exit = agentproto.Exit{Signal: int(status.Signal())}
	}
	return pc.WriteJSON(agentproto.TypeExit, exit)
}

// await waits for the command's end. If the client is lost first, it hangs the
// command up, and kills it if it does not mind.
func (s *Server) await(cmd command, lost <-chan error) (status unix.WaitStatus, clientErr error) {
	select {
	case status = <-cmd.status:
		return status, nil
	case clientErr = <-lost:
	}
	s.cfg.Log.Debug("client lost; hanging up", "pid", cmd.pid, "err", clientErr)
	_ = s.cfg.Reaper.Signal(cmd.pid, unix.SIGHUP)
	_ = s.cfg.Reaper.Signal(cmd.pid, unix.SIGCONT)
	timer := time.NewTimer(hangupTime)
	defer timer.Stop()
	select {
	case status = <-cmd.status:
	case <-timer.C:
		_ = s.cfg.Reaper.Signal(cmd.pid, unix.SIGKILL)
		status = <-cmd.status
	}
	return status, clientErr
}

// listenTo serves the client's frames; it returns when the client is gone or at
// fault.
func (s *Server) listenTo(pc *agentproto.Conn, pid int, in *stdin) error {
	for {
		t, payload, err := pc.Read()
		if err != nil {
			in.end()
			return err
		}
		switch t {
		case agentproto.TypeStdin:
			if !in.add(payload) {
				return &agentproto.FrameError{Reason: "more standard input than the window allows"}
			}
		case agentproto.TypeStdinEnd:
			in.end()
		case agentproto.TypeSignal:
			n, err := agentproto.ParseUint32(t, payload)
			if err != nil || n == 0 || n > 64 {
				return &agentproto.FrameError{Reason: fmt.Sprintf("no such signal: % x", payload)}
			}
			if err := s.cfg.Reaper.Signal(pid, unix.Signal(n)); err != nil {
				s.cfg.Log.Debug("signal", "pid", pid, "signal", n, "err", err)
			}
		default:
			return &agentproto.FrameError{Reason: fmt.Sprintf("%s while a command runs", t)}
		}
	}
}
