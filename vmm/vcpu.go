// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	gokvm "github.com/bobuhiro11/gokvm/kvm"

	"virtbinder/vmm/kvm"
)

// errTripleFault is how a processor's loop tells of one.
var errTripleFault = errors.New("triple fault")

// runVCPU is a processor's thread: it enters the guest, serves the exit, and
// enters again until the machine stops. Devices are called from here, so an
// inline doorbell's work is done in this thread too.
func (m *Machine) runVCPU(c *kvm.VCPU) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its name
	c.Bind()
	defer c.Unbind()
	if err := m.prepareThread(c.ID); err != nil {
		m.finish(Failed, fmt.Errorf("vCPU %d: %w", c.ID, err))
		return
	}
	var turn schedulerTurn
	for !m.stopping.Load() {
		m.hold(c)
		turn.take()
		if err := m.enter(c); err != nil {
			if errors.Is(err, errTripleFault) {
				m.finish(TripleFault, nil)
			} else {
				m.finish(Failed, err)
			}
			return
		}
	}
}

// prepareThread gives a processor's thread its place and its limits.
func (m *Machine) prepareThread(vcpu int) error {
	if err := m.pin(vcpu); err != nil || m.cfg.EnterVCPU == nil {
		return err
	}
	return m.cfg.EnterVCPU()
}

// schedulerTurn keeps the Go scheduler's monitor asleep while a processor makes
// exits in quick succession. The monitor judges a thread by its turns in the
// scheduler, and a locked one has none of its own: after 10 ms without (its
// forcePreemptNS) it takes the thread's P away in each system call, every 20
// microseconds, and each return from the guest has to fetch a P and wake it.
type schedulerTurn struct{ last time.Time }

const turnEvery = 5 * time.Millisecond

func (t *schedulerTurn) take() {
	if now := time.Now(); now.Sub(t.last) > turnEvery {
		runtime.Gosched()
		t.last = time.Now()
	}
}

// enter runs the guest up to one exit and serves it.
func (m *Machine) enter(c *kvm.VCPU) error {
	errno := c.Run()
	m.exits[c.ID].count(c, errno)
	switch errno {
	case 0:
		return m.serve(c)
	case syscall.EINTR:
		c.ClearKick()
		return nil
	case syscall.EAGAIN: // not started yet by the guest's boot processor
		return nil
	case syscall.EFAULT:
		return fmt.Errorf("the guest touched memory that the host could not provide (%s)", c.Describe())
	default:
		return fmt.Errorf("KVM_RUN: %w (%s)", errno, c.Describe())
	}
}

func (m *Machine) serve(c *kvm.VCPU) error {
	switch c.Reason() {
	case gokvm.EXITIO:
		return m.servePort(c)
	case gokvm.EXITMMIO:
		x := c.MMIO()
		if x.Write {
			m.mmio.write(x.Addr, x.Data)
		} else {
			m.mmio.read(x.Addr, x.Data)
		}
		return nil
	case gokvm.EXITSHUTDOWN:
		return errTripleFault
	case gokvm.EXITINTR, gokvm.EXITIRQWINDOWOPEN, gokvm.EXITHLT:
		return nil
	}
	return fmt.Errorf("the processor cannot go on (%s)", c.Describe())
}

// servePort serves each repetition of a port access by itself.
func (m *Machine) servePort(c *kvm.VCPU) error {
	io, ok := c.IO()
	if !ok {
		return fmt.Errorf("KVM described a port access outside its page (%s)", c.Describe())
	}
	for data := io.Data; len(data) >= io.Size && io.Size > 0; data = data[io.Size:] {
		p := data[:io.Size:io.Size]
		if io.Write {
			m.pio.write(uint64(io.Port), p)
		} else {
			m.pio.read(uint64(io.Port), p)
		}
	}
	return nil
}
