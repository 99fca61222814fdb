// SPDX-License-Identifier: Apache-2.0

package agentclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"virtbinder/guest/agent/server"
	"virtbinder/guest/agentclient"
	"virtbinder/guest/agentproto"
)

// TestMain catches what the agent catches as PID 1: a signal that is ignored, as under
// nohup, would stay so in each command.
func TestMain(m *testing.M) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	goleak.VerifyTestMain(m)
}

// guest is an agent that runs here, and a client of it.
type guest struct {
	*agentclient.Client
	ctx   context.Context
	dial  func(context.Context) (net.Conn, error)
	power chan string
	uid   uint32
	gid   uint32
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{power: make(chan string, 1), uid: uint32(os.Getuid()), gid: uint32(os.Getgid())}
	s := server.New(server.Config{
		Reaper: server.NewReaper(false), Log: slog.New(slog.DiscardHandler), Failures: []string{"a module is missing"},
		Power: func(action string) error { g.power <- action; return nil },
	})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	g.ctx = ctx
	g.dial = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	if g.Client, err = agentclient.New(ctx, g.dial); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *guest) sh(script string) agentclient.Cmd {
	return agentclient.Cmd{Path: "sh", Args: []string{"-c", script}, UID: g.uid, GID: g.gid}
}

func TestInfo(t *testing.T) {
	g := newGuest(t)
	info := g.Info()
	if info.Version != agentproto.Version || info.Kernel == "" || len(info.Failures) != 1 {
		t.Errorf("%+v", info)
	}
}

func TestExecCarriesStreamsAndStatus(t *testing.T) {
	g := newGuest(t)
	for name, c := range map[string]struct {
		script, in, out, errs string
		exit                  int
	}{
		"output":     {script: "echo hello", out: "hello\n"},
		"both":       {script: "echo a; echo b >&2", out: "a\n", errs: "b\n"},
		"exit code":  {script: "exit 7", exit: 7},
		"input":      {script: "tr a-z A-Z", in: "shout", out: "SHOUT"},
		"killed":     {script: "kill -9 $$", exit: 128 + 9},
		"no newline": {script: "printf x", out: "x"},
		"clean env":  {script: `echo "$PATH $HOME ${TERM:-none} $PWD"`, out: "/system/bin:/usr/bin:/bin:/usr/sbin:/sbin / none /\n"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := g.sh(c.script)
			var out, errs bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.in), &out, &errs
			exit, err := g.Exec(g.ctx, cmd)
			if err != nil || exit != c.exit || out.String() != c.out || errs.String() != c.errs {
				t.Errorf("exit %d, %q, %q, %v", exit, out.String(), errs.String(), err)
			}
		})
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	g := newGuest(t)
	dir := t.TempDir()
	cmd := g.sh(`echo "$A $HOME $(pwd)"`)
	cmd.Env, cmd.Dir = []string{"A=1", "A=2", "HOME=/x"}, dir
	var out bytes.Buffer
	cmd.Stdout = &out
	if _, err := g.Exec(g.ctx, cmd); err != nil || out.String() != "2 /x "+dir+"\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestBulkThroughACommand(t *testing.T) {
	g := newGuest(t)
	in := bytes.Repeat([]byte("all work and no play\n"), 200_000) // 4 MiB: many windows
	cmd := g.sh("cat")
	sum := sha256.New()
	cmd.Stdin, cmd.Stdout = bytes.NewReader(in), sum
	if exit, err := g.Exec(g.ctx, cmd); exit != 0 || err != nil {
		t.Fatal(exit, err)
	}
	if want := sha256.Sum256(in); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("other bytes came back")
	}
}

// TestSignalArrivesThoughInputIsStuck fills the window of a command that reads
// nothing, then signals it.
func TestSignalArrivesThoughInputIsStuck(t *testing.T) {
	g := newGuest(t)
	cmd := g.sh(`trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.01; done`)
	r, w := io.Pipe()
	var out lines
	cmd.Stdin, cmd.Stdout = r, &out
	p, err := g.Start(g.ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	go w.Write(make([]byte, 2*agentproto.StdinWindow))
	out.wait(t, g.ctx, "ready")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil || exit.Code != 3 || !strings.Contains(out.String(), "caught") {
		t.Errorf("%+v, %q, %v", exit, out.String(), err)
	}
	w.Close()
	if err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a command that has ended took a signal")
	}
}

// TestOutputOfTheDeadIsComplete has a command end with full pipes while a process
// that it left behind holds them open.
func TestOutputOfTheDeadIsComplete(t *testing.T) {
	g := newGuest(t)
	cmd := g.sh(`sleep 1000 & echo $!; head -c 60000 /dev/zero`)
	var out bytes.Buffer
	cmd.Stdout = &out
	exit, err := g.Exec(g.ctx, cmd)
	line, rest, _ := strings.Cut(out.String(), "\n")
	if err != nil || exit != 0 || len(rest) != 60000 {
		t.Errorf("exit %d, %d bytes, %v", exit, len(rest), err)
	}
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
}

func TestStartErrorsAreTold(t *testing.T) {
	g := newGuest(t)
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("not a program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cmd  agentclient.Cmd
		kind string
	}{
		"nowhere in PATH": {agentclient.Cmd{Path: "no-such-program-here"}, agentproto.ErrNotFound},
		"no such file":    {agentclient.Cmd{Path: "/no/such/file"}, agentproto.ErrNotFound},
		"a directory":     {agentclient.Cmd{Path: "/etc"}, agentproto.ErrNotExecutable},
		"not executable":  {agentclient.Cmd{Path: file}, agentproto.ErrNotExecutable},
		"no such dir":     {agentclient.Cmd{Path: "sh", Dir: "/no/such/dir"}, agentproto.ErrNotExecutable},
	} {
		c.cmd.UID, c.cmd.GID = g.uid, g.gid
		_, err := g.Exec(g.ctx, c.cmd)
		var e *agentproto.Error
		if !errors.As(err, &e) || e.Kind != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := g.Exec(g.ctx, agentclient.Cmd{Path: "sh", Env: []string{"x"}}); err == nil {
		t.Error("an environment without NAME=VALUE was accepted")
	}
}

func TestDetachedCommandOutlivesItsClient(t *testing.T) {
	g := newGuest(t)
	log := filepath.Join(t.TempDir(), "log")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := g.sh("read line <" + fifo + "; echo got $line; echo end >" + fifo)
	cmd.Detach, cmd.Log = true, log
	p, err := g.Start(g.ctx, cmd)
	if err != nil || p.PID == 0 {
		t.Fatal(p, err)
	}
	if err := os.WriteFile(fifo, []byte("it\n"), 0); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(fifo); err != nil || string(b) != "end\n" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != "got it\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestLostClientEndsTheCommand closes the connection under a command that traps the
// hang-up to say so.
func TestLostClientEndsTheCommand(t *testing.T) {
	g := newGuest(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(g.ctx)
	cmd := g.sh(`trap 'echo hup >` + fifo + `; exit' HUP; echo ready; while :; do sleep 0.01; done`)
	var out lines
	cmd.Stdout = &out
	p, err := g.Start(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	out.wait(t, g.ctx, "ready")
	cancel()
	if _, err := p.Wait(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if b, err := os.ReadFile(fifo); err != nil || string(b) != "hup\n" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestPower(t *testing.T) {
	g := newGuest(t)
	if err := g.Poweroff(g.ctx); err != nil {
		t.Fatal(err)
	}
	if a := <-g.power; a != agentproto.PowerOff {
		t.Error(a)
	}
	if err := g.Reboot(g.ctx); err != nil {
		t.Fatal(err)
	}
	if a := <-g.power; a != agentproto.PowerReboot {
		t.Error(a)
	}
}

// TestClientsThatMisbehave speaks to the agent directly.
func TestClientsThatMisbehave(t *testing.T) {
	g := newGuest(t)
	exec := agentproto.Exec{Path: "sh", Args: []string{"-c", "sleep 1000"}, UID: g.uid, GID: g.gid}
	for name, talk := range map[string]func(c *agentproto.Conn){
		"a reply as request": func(c *agentproto.Conn) { c.Write(agentproto.TypeDone, nil) },
		"exec of nothing":    func(c *agentproto.Conn) { c.WriteJSON(agentproto.TypeExec, agentproto.Exec{}) },
		"exec without json":  func(c *agentproto.Conn) { c.Write(agentproto.TypeExec, []byte("{")) },
		"power to fly":       func(c *agentproto.Conn) { c.WriteJSON(agentproto.TypePower, agentproto.Power{Action: "fly"}) },
		"signal 0": func(c *agentproto.Conn) {
			c.WriteJSON(agentproto.TypeExec, exec)
			c.WriteUint32(agentproto.TypeSignal, 0)
		},
		"signal of two bytes": func(c *agentproto.Conn) {
			c.WriteJSON(agentproto.TypeExec, exec)
			c.Write(agentproto.TypeSignal, []byte{9, 0})
		},
		"input beyond the window": func(c *agentproto.Conn) {
			c.WriteJSON(agentproto.TypeExec, exec)
			for range 3 {
				c.Write(agentproto.TypeStdin, make([]byte, agentproto.StdinWindow))
			}
		},
		"exec within exec": func(c *agentproto.Conn) {
			c.WriteJSON(agentproto.TypeExec, exec)
			c.WriteJSON(agentproto.TypeExec, exec)
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := g.dial(g.ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := agentproto.NewConn(conn)
			talk(c)
			for {
				typ, payload, err := c.Read()
				if err != nil {
					t.Fatal("the agent hung up without a word:", err)
				}
				if typ == agentproto.TypeError {
					var e agentproto.Error
					if err := agentproto.ParseJSON(typ, payload, &e); err != nil || e.Kind != agentproto.ErrProtocol {
						t.Error(e, err)
					}
					return
				}
			}
		})
	}
	if exit, err := g.Exec(g.ctx, g.sh("true")); exit != 0 || err != nil {
		t.Error("the agent is no longer of use:", exit, err)
	}
}

func TestDialErrorsSayWhatToDo(t *testing.T) {
	_, err := agentclient.Dial("/no/such.sock")
	if err == nil || !strings.Contains(err.Error(), "no VM is running") {
		t.Error(err)
	}
}

// lines is a writer that can be waited on.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) wait(t *testing.T, ctx context.Context, text string) {
	t.Helper()
	for !strings.Contains(l.String(), text) {
		if ctx.Err() != nil {
			t.Fatalf("no %q in %q", text, l.String())
		}
		time.Sleep(time.Millisecond)
	}
}
