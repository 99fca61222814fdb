// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/internal/control/controltest"
	"virtbinder/internal/journal"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
	"virtbinder/vmm/api"
)

func find(t *testing.T, name string) *api.Client {
	t.Helper()
	c, err := api.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLife(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	m := controltest.Start(t, "a")
	socket := filepath.Join(m.Dir, rundir.APISocket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
	c, ctx := find(t, ""), t.Context()
	for _, step := range []struct {
		do   func(context.Context) (api.VM, error)
		want api.State
	}{{c.VM, api.Running}, {c.Pause, api.Paused}, {c.Resume, api.Running}} {
		if vm, err := step.do(ctx); err != nil || vm.State != step.want || vm.Name != "a" || vm.PID != os.Getpid() {
			t.Errorf("%+v, %v", vm, err)
		}
	}
	if doc, err := c.Config(ctx); err != nil || string(doc) != `{"name":"a"}` {
		t.Errorf("%s, %v", doc, err)
	}
	if doc, err := c.Metrics(ctx); err != nil || len(doc.Metrics) != 2 {
		t.Errorf("%+v, %v", doc, err)
	}
	if doc, err := c.BinderState(ctx, api.StateQuery{PID: 7, Transactions: true}); err != nil || doc.VM != "a" {
		t.Errorf("%+v, %v", doc, err)
	}
	if vm, err := c.Stop(ctx, api.Stop{}); err != nil || vm.State != api.Ended {
		t.Errorf("%+v, %v", vm, err)
	}
}

// TestEvents: a reader gets what was, what comes, and the end last.
func TestEvents(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	m := controltest.Start(t, "a")
	c := find(t, "a")
	seen, started := make(chan []api.Event), make(chan struct{})
	go func() {
		var all []api.Event
		err := c.Events(t.Context(), true, func(e api.Event) bool {
			if all = append(all, e); len(all) == 1 {
				close(started)
			}
			return true
		})
		if err != nil {
			t.Error(err)
		}
		seen <- all
	}()
	<-started
	if _, err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Journal.Append(journal.Record{Kind: journal.KindReport, Report: netlink.Report{Error: netlink.BRDeadReply, Context: "binder"}})
	m.End("panic", 4)
	all := <-seen
	var kinds []api.EventKind
	for _, e := range all {
		kinds = append(kinds, e.Kind)
		if e.Kind == api.EventFailure && !strings.Contains(string(e.Failure), `"context":"binder@a"`) {
			t.Errorf("%s", e.Failure)
		}
	}
	last := all[len(all)-1]
	if kinds[0] != api.EventStarted || last.Kind != api.EventEnded || last.Code != 4 || last.Exit != "panic" || last.VM != "a" ||
		!slices.Contains(kinds, api.EventFailure) || !slices.Contains(kinds, api.EventPaused) {
		t.Errorf("%v, the last %+v", kinds, last)
	}
}

// TestEventsWithoutFailures also stops reading early.
func TestEventsWithoutFailures(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	m := controltest.Start(t, "a")
	m.Journal.Append(journal.Record{Kind: journal.KindReport})
	c := find(t, "a")
	if _, err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	var kinds []api.EventKind
	err := c.Events(t.Context(), false, func(e api.Event) bool {
		kinds = append(kinds, e.Kind)
		return e.Kind != api.EventPaused
	})
	if err != nil || !slices.Equal(kinds, []api.EventKind{api.EventStarted, api.EventPaused}) {
		t.Errorf("%v, %v", kinds, err)
	}
}

func TestConsole(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	m := controltest.Start(t, "a")
	c := find(t, "a")
	io.WriteString(m.Hub, "login: ")
	conn, err := c.Console(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got := make([]byte, 7)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "login: " {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := io.WriteString(conn, "root\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(m.Hub, got[:5]); err != nil || string(got[:5]) != "root\n" {
		t.Errorf("%q, %v", got, err)
	}
	var f *api.Failure
	if _, err := c.Console(t.Context(), 3); !errors.As(err, &f) || f.Field != "index" {
		t.Error(err)
	}
	m.End("poweroff", 0)
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestFind(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	wantErr := func(name, want string) {
		t.Helper()
		if _, err := api.Find(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Find(%q): %v", name, err)
		}
	}
	wantErr("", "no VM runs")
	wantErr("a", `VM "a" does not run`)
	wantErr("../a", "begins with")
	controltest.Start(t, "a")
	controltest.Start(t, "b")
	wantErr("", "several VMs run, name one of them: a, b")
	// What a killed VMM leaves.
	dir, err := rundir.Create("killed")
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, rundir.APISocket)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: left}), unix.Close(fd), os.WriteFile(filepath.Join(dir, rundir.PIDFile), []byte("99\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	wantErr("", "several VMs run, name one of them: a, b")
	wantErr("killed", `VM "killed" does not run any more: its process (pid 99) was killed`)
	if _, err := api.NewClient("killed", left).VM(t.Context()); err == nil || !strings.Contains(err.Error(), "does not run any more") {
		t.Errorf("a socket that was left: %v", err)
	}
	if err := find(t, "b").Events(t.Context(), false, func(e api.Event) bool {
		if e.VM != "b" {
			t.Errorf("%+v", e)
		}
		return false
	}); err != nil {
		t.Error(err)
	}
}

func TestNoAnswer(t *testing.T) {
	c := api.NewClient("a", filepath.Join(t.TempDir(), "none.sock"))
	if _, err := c.VM(t.Context()); err == nil || !strings.Contains(err.Error(), "VM a: ") {
		t.Error(err)
	}
	if _, err := c.Console(t.Context(), 0); err == nil {
		t.Error("attached to nothing")
	}
}
