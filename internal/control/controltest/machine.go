// SPDX-License-Identifier: Apache-2.0

// Package controltest has a machine that pretends: it has a runtime directory, an API
// socket and a binder core, and no guest.
package controltest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"virtbinder/driver"
	"virtbinder/internal/console"
	"virtbinder/internal/control"
	"virtbinder/internal/journal"
	"virtbinder/internal/rundir"
	"virtbinder/vmm/api"
)

// Machine pretends. Fields are set before it is used.
type Machine struct {
	Name        string
	Dir         string
	BinderVM    *driver.VM   // nil: it has no binder
	Hub         *console.Hub // its only console
	Journal     *journal.Journal
	IgnoresStop bool // it does not react to its power button

	events *control.Events
	ended  chan struct{}
	once   sync.Once

	mu    sync.Mutex
	state api.State // guarded by mu
}

// New makes a machine that nobody can reach.
func New(name string) *Machine {
	m := &Machine{
		Name: name, Dir: "/nowhere", BinderVM: driver.New(driver.Config{}).NewVM(name, nil), Hub: console.NewHub(), Journal: journal.New(16),
		events: control.NewEvents(name), ended: make(chan struct{}), state: api.Running,
	}
	m.events.Started()
	return m
}

// Start makes a machine with a runtime directory and a socket in it, until the end of
// the test or of the machine.
func Start(t *testing.T, name string) *Machine {
	t.Helper()
	m := New(name)
	var err error
	if m.Dir, err = rundir.Create(name); err != nil {
		t.Fatal(err)
	}
	pid, err := os.OpenFile(filepath.Join(m.Dir, rundir.PIDFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(pid, os.Getpid())
	if err := rundir.Lock(pid); err != nil {
		t.Fatal(err)
	}
	s, err := control.Serve(filepath.Join(m.Dir, rundir.APISocket), m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var closing sync.WaitGroup
	closing.Go(func() {
		<-m.ended
		if err := errors.Join(s.Close(), m.Hub.Close(), os.Remove(pid.Name()), pid.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		m.End("stopped", 6)
		closing.Wait()
	})
	return m
}

// End is the machine's.
func (m *Machine) End(exit string, code int) {
	m.once.Do(func() {
		m.set(api.Ended)
		m.Journal.Close()
		m.events.Ended(exit, code, nil)
		close(m.ended)
	})
}

func (m *Machine) set(s api.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
}

// Describe says what was set.
func (m *Machine) Describe() api.VM {
	m.mu.Lock()
	defer m.mu.Unlock()
	return api.VM{
		Name: m.Name, PID: os.Getpid(), State: m.state, Begun: time.Now(), CPUs: 1, Memory: 1 << 30, StopSeconds: 60, Dir: m.Dir,
		Consoles: []api.Console{{Type: "serial", To: "none"}},
	}
}

// Configuration is next to nothing.
func (m *Machine) Configuration() any { return map[string]any{"name": m.Name} }

// Pause pretends to.
func (m *Machine) Pause(context.Context) error {
	if m.Describe().State == api.Ended {
		return errors.New("the machine has ended")
	}
	m.set(api.Paused)
	m.events.Paused()
	return nil
}

// Resume pretends to.
func (m *Machine) Resume() error {
	m.set(api.Running)
	m.events.Resumed()
	return nil
}

// Stop ends it, as its guest or by force.
func (m *Machine) Stop(force bool) error {
	switch {
	case force:
		m.End("stopped", 6)
		return nil
	case m.Describe().State == api.Paused:
		return errors.New("the machine is paused")
	}
	m.events.Stopping()
	if !m.IgnoresStop {
		m.End("poweroff", 0)
	}
	return nil
}

// Events is its story.
func (m *Machine) Events() *control.Events { return m.events }

// Failures reads its journal.
func (m *Machine) Failures() (*journal.Reader, string) { return m.Journal.Reader(), "@" + m.Name }

// Console is its only one.
func (m *Machine) Console(index int) *console.Hub {
	if index != 0 {
		return nil
	}
	return m.Hub
}

// Binder is what was set.
func (m *Machine) Binder() *driver.VM { return m.BinderVM }

// Metrics are two.
func (m *Machine) Metrics() []api.Metric {
	vm := map[string]string{"vm": m.Name}
	return []api.Metric{
		{Name: "virtbinder_one", Help: "A count.", Type: "counter", Samples: []api.Sample{{Labels: vm, Value: 1}}},
		{Name: "virtbinder_half", Help: "A fraction.", Type: "gauge", Samples: []api.Sample{{Labels: map[string]string{"a": "q\"\\", "vm": m.Name}, Value: 0.5}}},
	}
}
