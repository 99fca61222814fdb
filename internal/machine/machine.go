// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"virtbinder/internal/config"
	"virtbinder/internal/console"
	"virtbinder/internal/control"
	"virtbinder/internal/hardware"
	"virtbinder/internal/rundir"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder"
	"virtbinder/vmm"
)

// Machine is one machine and all that belongs to it.
type Machine struct {
	cfg      config.VM
	host     Host
	core     config.Core
	dir      *claimed
	log      *slog.Logger // of its set-up and its end
	opened   closers
	failures *failures
	devices  []virtio.Device // in slot order
	binder   *vbinder.Device // nil if it has none
	consoles []*console.Hub  // as in cfg
	ports    []hardware.Port // of the consoles of type hvc
	events   *control.Events
	vm       *vmm.Machine
	begun    atomic.Pointer[time.Time]
	stopping atomic.Bool // asked to power off
	turn     sync.Mutex  // held by who changes what the machine does
}

// closers is what has been opened, to be closed in reverse order.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}

// newMachine makes a machine. If that fails nothing of it is left.
func newMachine(cfg config.VM, core config.Core, host Host) (m *Machine, err error) {
	m = &Machine{cfg: cfg, host: host, core: core, events: control.NewEvents(cfg.Name)}
	if m.dir, err = claim(cfg.Name); err != nil {
		return nil, err
	}
	m.log = m.logger("vmm")
	if err := m.build(); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// logger is a component's, whose lines are kept in the runtime directory as well.
func (m *Machine) logger(component string) *slog.Logger {
	return m.host.Logs.For(component, m.cfg.Name, m.dir.vmmLog)
}

// build opens everything, the way of failures first, while the process has all its
// privileges; it is closed last, so that reports of the end still leave.
func (m *Machine) build() error {
	serial, err := m.openConsoles()
	if err != nil {
		return err
	}
	if m.failures, err = openFailures(m.dir.path, &m.cfg, m.host.Logs.For("netlink", "", m.dir.vmmLog)); err != nil {
		return err
	}
	m.opened.add(m.failures.close)
	if err := m.openDevices(); err != nil {
		return err
	}
	if err := m.makeVM(serial); err != nil {
		return err
	}
	server, err := control.Serve(filepath.Join(m.dir.path, rundir.APISocket), m, m.logger("api"))
	if err != nil {
		return err
	}
	m.opened.add(server.Close)
	return nil
}

func (m *Machine) makeVM(serial vmm.Console) (err error) {
	kernel, vendorBoot := m.cfg.Kernel, ""
	if a := m.cfg.Android; a != nil {
		kernel, vendorBoot = a.Boot, a.VendorBoot
	}
	m.vm, err = vmm.New(vmm.Config{
		Name: m.cfg.Name, Kernel: kernel, VendorBoot: vendorBoot, Initrd: m.cfg.Initrd, Cmdline: m.cfg.Cmdline,
		MemoryBytes: uint64(m.cfg.Memory), CPUs: m.cfg.CPUs, Affinity: m.cfg.Affinity, PanicGrace: time.Duration(m.cfg.Timeouts.Panic),
		Console: serial, Devices: m.devices, Inline: m.cfg.Binder.Doorbell == config.Inline, Log: m.log,
		EnterVCPU: m.host.EnterVCPU,
	})
	if err != nil {
		return err
	}
	m.opened.add(m.vm.Close)
	return nil
}

// run runs the machine until it ends or ctx does.
func (m *Machine) run(ctx context.Context) (vmm.Exit, error) {
	now := time.Now()
	m.begun.Store(&now)
	m.events.Started()
	exit, err := m.vm.Run(ctx)
	m.log.Info("the machine has ended", "exit", exit.String(), "console", filepath.Join(m.dir.path, rundir.ConsoleLog))
	m.failures.journal.Close() // the devices were reset: nothing can fail any more
	m.events.Ended(exit.String(), ExitCode(exit), err)
	return exit, err
}

// close frees what the machine has. What fails is only logged: its end is what counts.
func (m *Machine) close() {
	if m.dir == nil {
		return // it was
	}
	if err := m.opened.close(); err != nil {
		m.log.Warn("not everything was closed in order", "err", err)
	}
	m.dir.release() // last: the log is in it
	m.dir = nil
}
