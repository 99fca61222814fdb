// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	gokvm "github.com/bobuhiro11/gokvm/kvm"

	"virtbinder/virtio"
	"virtbinder/vmm/kvm"
)

// Limits and defaults of Config.
const (
	MinMemory = 64 << 20 // bytes
	MaxMemory = 1 << 40
	MaxCPUs   = 254 // 8-bit APIC ids; 255 is broadcast

	memoryGranule = 2 << 20 // a huge page
)

// Config is what a machine is made of.
type Config struct {
	Name        string // for messages
	Kernel      string // path of a bzImage, a vmlinux or an Android boot image
	VendorBoot  string // path of an Android vendor boot image; may be empty
	Initrd      string // path of a cpio archive; may be empty
	Cmdline     string // the kernel's
	MemoryBytes uint64 // of RAM, a multiple of 2 MiB
	CPUs        int
	Affinity    [][]int // host CPUs of vCPU 0, 1 and so on; a vCPU without may run anywhere
	Console     Console
	Devices     []virtio.Device // in slot order; each belongs to this machine alone
	Inline      bool            // doorbells run in the vCPU's thread, else in workers
	PanicGrace  time.Duration   // what a guest that has printed a panic may take to reset; 0 is 10 s
	Log         *slog.Logger    // nil is slog.Default

	// EnterVCPU is called first in the thread of each vCPU, which is locked for good and
	// serves the guest's exits. It may be nil; an error ends the machine.
	EnterVCPU func() error
}

func (c *Config) check() error {
	if c.MemoryBytes < MinMemory || c.MemoryBytes > MaxMemory {
		return fmt.Errorf("%d MiB of guest memory: the least is %d MiB, the most %d GiB", c.MemoryBytes>>20, MinMemory>>20, uint64(MaxMemory)>>30)
	}
	if c.MemoryBytes%memoryGranule != 0 {
		return fmt.Errorf("%d bytes of guest memory: give a multiple of 2 MiB", c.MemoryBytes)
	}
	if c.CPUs < 1 || c.CPUs > MaxCPUs {
		return fmt.Errorf("%d vCPUs: give 1 to %d", c.CPUs, MaxCPUs)
	}
	if c.Kernel == "" {
		return errors.New("no kernel given (-k)")
	}
	return c.checkAffinity()
}

// Machine is one virtual machine. New makes it, Run runs it once, Close frees it.
type Machine struct {
	cfg    Config
	log    *slog.Logger
	vm     *kvm.VM
	layout layout
	ram    *ram
	vcpus  []*kvm.VCPU
	exits  []exitCounts // by processor

	pio, mmio *bus
	pci       *pciBus
	serial    *serial
	output    *output
	power     *powerBlock
	devices   []transport
	slots     slotTable

	gate     *gate
	paused   atomic.Bool // what the gate is; read by each processor at each exit
	stopping atomic.Bool
	once     sync.Once
	ended    chan struct{} // closed by finish
	exit     Exit          // both set before ended is closed
	err      error
}

// New makes a machine with everything in place but nothing running.
func New(cfg Config) (m *Machine, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.PanicGrace == 0 {
		cfg.PanicGrace = panicGrace
	}
	m = &Machine{cfg: cfg, log: cfg.Log, gate: newGate(), ended: make(chan struct{})}
	m.slots.next = slotShared
	defer func() {
		if err != nil {
			m.Close()
			m = nil
		}
	}()
	sys, err := kvm.Open()
	if err != nil {
		return m, err
	}
	defer sys.Close()
	if err := sys.Require(gokvm.CapIRQChip, gokvm.CapUserMemory, gokvm.CapIOEventFD, gokvm.CapIRQFD, gokvm.CapSignalMSI, gokvm.CapImmediateExit); err != nil {
		return m, err
	}
	if max := sys.Extension(gokvm.CapMAXVCPUS); max > 0 && cfg.CPUs > max {
		return m, fmt.Errorf("%d vCPUs: this host's KVM allows %d", cfg.CPUs, max)
	}
	return m, m.build(sys)
}

// build is the machine's set-up, in the order KVM wants it: chips before
// processors, memory before images.
func (m *Machine) build(sys *kvm.System) (err error) {
	cpuid, err := sys.SupportedCPUID()
	if err != nil {
		return err
	}
	if m.layout, err = newLayout(m.cfg.MemoryBytes, physAddrBits(cpuid)); err != nil {
		return err
	}
	if m.vm, err = sys.CreateVM(); err != nil {
		return err
	}
	if err := m.createChips(); err != nil {
		return err
	}
	if m.ram, err = newRAM(m.vm, m.layout); err != nil {
		return err
	}
	if err := m.createDevices(); err != nil {
		return err
	}
	entry, err := m.load()
	if err != nil {
		return err
	}
	return m.createVCPUs(cpuid, entry, sys.Extension(gokvm.CapTSCDeadlineTimer) != 0)
}

func (m *Machine) createChips() error {
	if err := m.vm.SetTSSAddr(identityAddr, tssAddr); err != nil {
		return err
	}
	if err := m.vm.CreateIRQChip(); err != nil {
		return err
	}
	return m.vm.CreatePIT()
}

// load puts tables, kernel and initrd into memory and returns the entry point.
func (m *Machine) load() (entry uint64, err error) {
	tables, rsdp, err := acpiTables(acpiAddr, m.cfg.CPUs, m.layout)
	if err != nil {
		return 0, err
	}
	if err := m.ram.mem.WriteAt(tables, acpiAddr); err != nil {
		return 0, err
	}
	if err := writeBootTables(&m.ram.mem); err != nil {
		return 0, err
	}
	return loadBoot(&m.ram.mem, bootSpec{
		kernel: m.cfg.Kernel, vendorBoot: m.cfg.VendorBoot, initrd: m.cfg.Initrd, cmdline: m.cfg.Cmdline,
		layout: m.layout, rsdp: rsdp,
	})
}

// createDevices puts the PC's own devices on the buses, then the configured
// ones on the PCI bus.
func (m *Machine) createDevices() error {
	m.pio, m.mmio = newBus("port"), newBus("memory")
	m.output = newOutput(m.cfg.Console, m.log, m.panicPrinted)
	m.serial = newSerial(m.output.put, m.line(serialIRQ))
	m.power = &powerBlock{off: func() { m.finish(Poweroff, nil) }, sci: m.line(sciIRQ)}
	reset := func() { m.finish(Reboot, nil) }
	for _, d := range []struct {
		port, n uint64
		h       handler
	}{
		{serialPort, serialRegs, m.serial},
		{pm1EventPort, pm1Ports, m.power},
		{keyboardPort, keyboardPorts, keyboardController{reset}},
		{cmosPort, 2, &cmos{now: time.Now}},
		{panicPort, 1, panicPortDevice{m.panicEvent}},
	} {
		if err := m.pio.insert(span{d.port, d.port + d.n}, d.h); err != nil {
			return err
		}
	}
	var err error
	if m.pci, err = newPCIBus(m.pio, m.mmio, m.layout, reset, m.log); err != nil {
		return err
	}
	return m.plugDevices()
}

// line returns the driver of an interrupt line.
func (m *Machine) line(gsi uint32) func(bool) {
	return func(high bool) {
		if err := m.vm.SetIRQ(gsi, high); err != nil {
			m.log.Error("interrupt line lost", "gsi", gsi, "err", err)
		}
	}
}

func (m *Machine) createVCPUs(cpuid []gokvm.CPUIDEntry2, entry uint64, tscDeadline bool) error {
	m.exits = make([]exitCounts, m.cfg.CPUs)
	for id := range m.cfg.CPUs {
		c, err := m.vm.CreateVCPU(id)
		if err != nil {
			return err
		}
		m.vcpus = append(m.vcpus, c)
		shape := cpuShape{id: uint32(id), count: uint32(m.cfg.CPUs), tscDeadline: tscDeadline}
		if err := c.SetCPUID(fixCPUID(cpuid, shape)); err != nil {
			return err
		}
		if err := c.SetMSRs(initialMSRs()); err != nil {
			return err
		}
	}
	boot := m.vcpus[0] // the others wait in KVM until this one starts them
	sregs, err := boot.Sregs()
	if err != nil {
		return err
	}
	if err := boot.SetSregs(bootSregs(sregs)); err != nil {
		return err
	}
	return boot.SetRegs(bootRegs(entry))
}

// Run runs the machine until it ends or ctx is cancelled. It may be called once.
// On return the guest has stopped, all its output is written, and each device
// was reset. The error is non-nil exactly with Failed.
func (m *Machine) Run(ctx context.Context) (Exit, error) {
	m.reserveThreads()
	m.spawn("console output", m.output.run)
	if m.cfg.Console.In != nil {
		m.spawn("console input", m.feedConsole)
	}
	var threads sync.WaitGroup
	for _, c := range m.vcpus {
		threads.Go(m.guarded(fmt.Sprintf("vCPU %d", c.ID), func() { m.runVCPU(c) }))
	}
	select {
	case <-m.ended:
	case <-ctx.Done():
		m.finish(Stopped, nil)
	}
	m.gate.release()
	m.output.release() // no vCPU may hang in a slow console now
	m.kickAll()
	threads.Wait()
	m.serial.Close()
	m.resetDevices()
	text := m.output.close()
	return m.outcome(text)
}

// reserveThreads lets every vCPU and worker run Go code at once, with two to
// spare for the runtime and the rest.
func (m *Machine) reserveThreads() {
	need := len(m.vcpus) + 2
	if !m.cfg.Inline {
		for _, d := range m.cfg.Devices {
			need += len(d.QueueSizes())
		}
	}
	if runtime.GOMAXPROCS(0) < need {
		runtime.GOMAXPROCS(need)
	}
}

// spawn runs f in a goroutine of its own, guarded.
func (m *Machine) spawn(what string, f func()) { go m.guarded(what, f)() }

// guarded makes a bug of ours in f end the machine in order, with the terminal
// restored and the guest's processes released, not the process in disorder.
func (m *Machine) guarded(what string, f func()) func() {
	return func() {
		defer func() {
			if r := recover(); r != nil {
				m.log.Error("internal error", "in", what, "panic", r, "stack", string(debug.Stack()))
				m.finish(Failed, fmt.Errorf("internal error in %s: %v (the log has the stack)", what, r))
			}
		}()
		f()
	}
}

// outcome is how the machine ended, given what panic the console showed.
func (m *Machine) outcome(panicText string) (Exit, error) {
	exit := m.exit
	if panicText != "" {
		m.log.Error("guest panic", "vm", m.cfg.Name, "reason", panicText)
		if exit == Reboot || exit == TripleFault {
			exit = Panic // that is how a kernel leaves after one
		}
	}
	return exit, m.err
}

// finish ends the machine; the first reason given is the one that counts. It
// may be called from anywhere and does not wait.
func (m *Machine) finish(exit Exit, err error) {
	m.once.Do(func() {
		m.exit, m.err = exit, err
		m.stopping.Store(true)
		close(m.ended)
	})
}

func (m *Machine) kickAll() {
	for _, c := range m.vcpus {
		c.Kick()
	}
}

// Stop ends the machine as the end of Run's context does.
func (m *Machine) Stop() { m.finish(Stopped, nil) }

// PowerButton presses it: a guest that listens shuts down in order.
func (m *Machine) PowerButton() { m.power.pressButton() }

// panicEvent is the panic device's.
func (m *Machine) panicEvent(bits uint8) {
	if bits&panicEventPanicked != 0 {
		m.finish(Panic, nil)
	}
}

// panicPrinted is the console's: the guest should reset soon; if it stands still
// instead, it is ended.
func (m *Machine) panicPrinted() {
	time.AfterFunc(m.cfg.PanicGrace, func() { m.finish(Panic, nil) })
}

// feedConsole carries input to the serial port until either ends.
func (m *Machine) feedConsole() {
	buf := make([]byte, 256)
	for {
		n, err := m.cfg.Console.In.Read(buf)
		if !m.serial.Input(buf[:n]) || err != nil {
			return
		}
	}
}

// Close frees the machine. Run has returned or was never called.
func (m *Machine) Close() error {
	var errs []error
	for _, c := range m.vcpus {
		errs = append(errs, c.Close())
	}
	m.vcpus = nil
	errs = append(errs, m.closeDevices())
	if m.vm != nil {
		errs = append(errs, m.vm.Close())
		m.vm = nil
	}
	if m.ram != nil {
		errs = append(errs, m.ram.close())
		m.ram = nil
	}
	return errors.Join(errs...)
}
