// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"errors"
	"os"
	"time"

	"virtbinder/driver"
	"virtbinder/internal/console"
	"virtbinder/internal/control"
	"virtbinder/internal/journal"
	"virtbinder/vmm"
	"virtbinder/vmm/api"
)

var _ control.Machine = (*Machine)(nil)

// Describe says what the machine is and does.
func (m *Machine) Describe() api.VM {
	vm := api.VM{
		Name: m.cfg.Name, PID: os.Getpid(), State: m.state(), Stopping: m.stopping.Load(), Dir: m.dir.path,
		CPUs: m.cfg.CPUs, Memory: uint64(m.cfg.Memory), StopSeconds: time.Duration(m.cfg.Timeouts.Stop).Seconds(),
	}
	if begun := m.begun.Load(); begun != nil {
		vm.Begun = *begun
	}
	for _, c := range m.cfg.Consoles {
		vm.Consoles = append(vm.Consoles, api.Console{Type: string(c.Type), To: string(c.To), Path: c.Path})
	}
	return vm
}

func (m *Machine) state() api.State {
	switch {
	case m.begun.Load() == nil:
		return api.Created
	case m.vm.Ended():
		return api.Ended
	case m.vm.Paused():
		return api.Paused
	}
	return api.Running
}

// Configuration is the machine's own, resolved.
func (m *Machine) Configuration() any { return m.cfg }

// Pause holds the machine's processors.
func (m *Machine) Pause(ctx context.Context) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.vm.Paused() {
		return nil
	}
	if err := m.vm.Pause(ctx); err != nil {
		return err
	}
	m.log.Info("paused")
	m.events.Paused()
	return nil
}

// Resume lets them go on.
func (m *Machine) Resume() error {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.vm.Ended() {
		return vmm.ErrEnded
	}
	if !m.vm.Paused() {
		return nil
	}
	m.vm.Resume()
	m.log.Info("resumed")
	m.events.Resumed()
	return nil
}

// Stop presses the power button, or ends the machine by force.
func (m *Machine) Stop(force bool) error {
	if m.vm.Ended() {
		return vmm.ErrEnded
	}
	if force {
		m.log.Info("ended by force")
		m.vm.Stop()
		return nil
	}
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.vm.Paused() {
		return errors.New("the machine is paused and cannot notice its power button: resume it, or end it by force")
	}
	m.log.Info("power button pressed")
	m.vm.PowerButton()
	m.stopping.Store(true)
	m.events.Stopping()
	return nil
}

// Events is the machine's story.
func (m *Machine) Events() *control.Events { return m.events }

// Failures reads the machine's journal.
func (m *Machine) Failures() (*journal.Reader, string) {
	return m.failures.journal.Reader(), m.failures.suffix
}

// Console is one of the machine's consoles, or nil.
func (m *Machine) Console(index int) *console.Hub {
	if index >= len(m.consoles) {
		return nil
	}
	return m.consoles[index]
}

// Binder is the machine's VM in the binder core, or nil.
func (m *Machine) Binder() *driver.VM {
	if m.binder == nil {
		return nil
	}
	return m.binder.VM()
}
