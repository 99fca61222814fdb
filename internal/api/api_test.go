// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/internal/rundir"
)

// env is a world around a core that nothing comes out of.
type env struct{ driver.Env }

func (env) Complete(*driver.Exec, *driver.Request) {}
func (env) Report(driver.Report)                   {}

// startVM makes a VM with one process and an answered call to nobody.
func startVM(t *testing.T, name string) (socket string) {
	t.Helper()
	dir, err := rundir.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	vm := driver.New(driver.Config{}).NewVM(name, env{})
	ctx, err := vm.NewContext("binder")
	if err != nil {
		t.Fatal(err)
	}
	var x driver.Exec
	id, err := vm.Open(&x, driver.OpenArgs{Context: ctx, PID: 7})
	if err != nil {
		t.Fatal(err)
	}
	tr := uapi.TransactionData{Code: 3}
	stream := tr.Append([]byte{0, 0x63, 0x40, 0x40}, false)
	vm.WriteRead(&x, &driver.Request{Proc: id, TID: 8, Stream: stream, Gather: make([]driver.Gather, 1)})
	socket = filepath.Join(dir, rundir.APISocket)
	s, err := Serve(socket, vm, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(socket); !os.IsNotExist(err) {
			t.Errorf("the socket after Close: %v", err)
		}
	})
	return socket
}

func TestAnswers(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	socket := startVM(t, "a")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
	c, err := Find("")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var state State
	if err := c.Get(ctx, "binder/state?pid=7", &state); err != nil {
		t.Fatal(err)
	}
	if state.VM != "a" || len(state.Processes) != 1 || state.Processes[0].Context != "binder" || state.Processes[0].Threads[0].TID != 8 {
		t.Errorf("state %+v", state)
	}
	state = State{}
	if err := c.Get(ctx, "binder/state?pid=8", &state); err != nil || state.Processes == nil || len(state.Processes) != 0 {
		t.Errorf("state of nobody %+v, %v", state, err)
	}
	state = State{}
	if err := c.Get(ctx, "binder/state?transactions=1", &state); err != nil || len(state.Processes) != 1 || state.Processes[0].Threads[0].Todo[0].Kind != driver.WorkError {
		t.Errorf("transactions %+v, %v", state, err)
	}
	var stats Stats
	if err := c.Get(ctx, "binder/stats", &stats); err != nil || stats.BC["BC_TRANSACTION"] != 1 || stats.Objects["proc"] != (driver.Count{Active: 1, Total: 1}) || stats.Processes[0].PID != 7 {
		t.Errorf("stats %+v, %v", stats, err)
	}
	for _, path := range []string{"binder/log", "binder/log?failed=1"} {
		var log Log
		if err := c.Get(ctx, path, &log); err != nil || len(log.Transactions) != 1 || log.Transactions[0].ErrorName() != "BR_DEAD_REPLY" {
			t.Errorf("%s %+v, %v", path, log, err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	c := NewClient("a", startVM(t, "a"))
	for path, want := range map[string]string{
		"binder/state?pid=x":          "give a process id",
		"binder/state?pid=0":          "give a process id",
		"binder/state?pid=4294967296": "give a process id",
		"binder/state?transactions=2": "give 0 or 1",
		"binder/log?failed=yes":       "give 0 or 1",
		"binder/nothing":              "404",
	} {
		if err := c.Get(t.Context(), path, &struct{}{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	resp, err := c.http.Post("http://vm/v1/binder/state", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered %s", resp.Status)
	}
}

// TestBusy: those who come while enough answers are being made are told so.
func TestBusy(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler), busy: make(chan struct{}, maxAtOnce)}
	for range maxAtOnce {
		s.busy <- struct{}{}
	}
	client, server := net.Pipe()
	go func() {
		_ = (&http.Server{Handler: s.Handler()}).Serve(&oneConn{server})
	}()
	if _, err := io.WriteString(client, "GET /v1/binder/log HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(client)
	if err != nil || !strings.Contains(string(answer), " 503 ") || !strings.Contains(string(answer), `{"error":"2 requests`) {
		t.Errorf("%q, %v", answer, err)
	}
}

// oneConn is a listener with one connection.
type oneConn struct{ net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	c := l.Conn
	l.Conn = nil
	if c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }
func (l *oneConn) Close() error   { return nil }

func TestFind(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	wantErr := func(name, want string) {
		t.Helper()
		if _, err := Find(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Find(%q): %v", name, err)
		}
	}
	wantErr("", "no VM runs")
	wantErr("a", `VM "a" does not run`)
	wantErr("../a", "begins with")
	startVM(t, "a")
	startVM(t, "b")
	wantErr("", "several VMs run, name one of them: a, b")
	c, err := Find("b")
	if err != nil {
		t.Fatal(err)
	}
	var log Log
	if err := c.Get(context.Background(), "binder/log", &log); err != nil || log.VM != "b" {
		t.Errorf("%+v, %v", log, err)
	}
	// What a killed VMM leaves.
	left := filepath.Join(rundir.VM("b"), rundir.APISocket) + "2"
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: left}); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if err := NewClient("b", left).Get(context.Background(), "binder/log", &log); err == nil || !strings.Contains(err.Error(), "does not run any more") {
		t.Errorf("a socket that was left: %v", err)
	}
}
