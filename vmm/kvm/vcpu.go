// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
	"golang.org/x/sys/unix"
)

// kickSignal interrupts KVM_RUN. It is the signal that the Go runtime itself
// sends to its threads to preempt them, so its handler is always installed and
// an extra one is harmless; see doc of os/signal.
const kickSignal = unix.SIGURG

// VCPU is one virtual processor. Run, the exit accessors and the register
// calls belong to the one locked OS thread that runs it; Kick may be called
// from any.
type VCPU struct {
	ID  int
	fd  int
	run []byte // the page(s) shared with the kernel: struct kvm_run and PIO data
	tid atomic.Int32
}

// CreateVCPU makes a processor whose APIC id is id.
func (v *VM) CreateVCPU(id int) (*VCPU, error) {
	fd, err := gokvm.CreateVCPU(uintptr(v.fd), id)
	if err != nil {
		return nil, fmt.Errorf("KVM_CREATE_VCPU %d: %w", id, err)
	}
	syscall.CloseOnExec(int(fd))
	run, err := syscall.Mmap(int(fd), 0, v.runSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		syscall.Close(int(fd))
		return nil, fmt.Errorf("map the run page of vCPU %d: %w", id, err)
	}
	return &VCPU{ID: id, fd: int(fd), run: run}, nil
}

// Close releases the processor; its thread must have ended.
func (c *VCPU) Close() error {
	if err := syscall.Munmap(c.run); err != nil {
		return err
	}
	return syscall.Close(c.fd)
}

// Bind notes the calling thread as the one that Kick interrupts, and names it
// after the processor. The caller has locked it (runtime.LockOSThread) for good
// and calls Unbind before it ends.
func (c *VCPU) Bind() {
	name := append(fmt.Appendf(nil, "vcpu%d", c.ID), 0)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0) // only for people
	runtime.KeepAlive(name)
	c.tid.Store(int32(unix.Gettid()))
}

// Unbind ends what Bind began.
func (c *VCPU) Unbind() { c.tid.Store(0) }

// Kick makes the current or next Run return with EINTR. What the thread is to
// notice must be stored before the call.
func (c *VCPU) Kick() {
	c.setImmediateExit(1)
	if tid := c.tid.Load(); tid != 0 {
		// The thread may be gone by now; then there is nothing to interrupt.
		_ = unix.Tgkill(unix.Getpid(), int(tid), kickSignal)
	}
}

// ClearKick lets Run enter the guest again after a Kick was noticed.
func (c *VCPU) ClearKick() { c.setImmediateExit(0) }

func (c *VCPU) setImmediateExit(n uint8) {
	(*gokvm.RunData)(unsafe.Pointer(&c.run[0])).ImmediateExit = n
}

// Run enters the guest until the next exit. It must go through Syscall, never
// RawSyscall: a thread in the guest has to give up its place in the scheduler
// and not hold up the garbage collector. EINTR (a kick or a signal of the
// runtime) and EAGAIN (a processor still waiting for its start-up message) mean
// "look around and call again".
func (c *VCPU) Run() syscall.Errno {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(c.fd), gokvm.IIO(nrRun), 0)
	return errno
}

// ClockPaused tells a guest that has KVM's clock that it did not run for a while,
// before it runs again. A guest without that clock is told nothing.
func (c *VCPU) ClockPaused() {
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, uintptr(c.fd), gokvm.IIO(nrClockCtrl), 0)
}

// Regs returns the general registers.
func (c *VCPU) Regs() (gokvm.Regs, error) {
	var r gokvm.Regs
	_, err := ioctlPtr(c.fd, ior(nrGetRegs, unsafe.Sizeof(r)), unsafe.Pointer(&r))
	return r, c.wrap("KVM_GET_REGS", err)
}

// SetRegs sets the general registers.
func (c *VCPU) SetRegs(r gokvm.Regs) error {
	_, err := ioctlPtr(c.fd, iow(nrSetRegs, unsafe.Sizeof(r)), unsafe.Pointer(&r))
	return c.wrap("KVM_SET_REGS", err)
}

// Sregs returns the segment, control and descriptor-table registers.
func (c *VCPU) Sregs() (gokvm.Sregs, error) {
	var s gokvm.Sregs
	_, err := ioctlPtr(c.fd, ior(nrGetSregs, unsafe.Sizeof(s)), unsafe.Pointer(&s))
	return s, c.wrap("KVM_GET_SREGS", err)
}

// SetSregs sets the segment, control and descriptor-table registers.
func (c *VCPU) SetSregs(s gokvm.Sregs) error {
	_, err := ioctlPtr(c.fd, iow(nrSetSregs, unsafe.Sizeof(s)), unsafe.Pointer(&s))
	return c.wrap("KVM_SET_SREGS", err)
}

// SetCPUID sets what the guest's CPUID instruction answers on this processor.
func (c *VCPU) SetCPUID(entries []gokvm.CPUIDEntry2) error {
	if len(entries) > maxCPUIDEntries {
		return fmt.Errorf("vCPU %d: %d CPUID entries, KVM takes %d", c.ID, len(entries), maxCPUIDEntries)
	}
	buf := &cpuidBuffer{count: uint32(len(entries))}
	copy(buf.entries[:], entries)
	_, err := ioctlPtr(c.fd, iow(nrSetCPUID2, 8), unsafe.Pointer(buf))
	return c.wrap("KVM_SET_CPUID2", err)
}

// MSR is a model-specific register and its value.
type MSR struct {
	Index uint32
	Value uint64
}

// maxMSRs bounds one SetMSRs or GetMSR call.
const maxMSRs = 32

type msrBuffer struct {
	count   uint32
	_       uint32
	entries [maxMSRs]gokvm.MSREntry
}

// SetMSRs sets model-specific registers; the error names the first refused one.
func (c *VCPU) SetMSRs(msrs []MSR) error {
	if len(msrs) > maxMSRs {
		return fmt.Errorf("vCPU %d: %d MSRs in one call, at most %d", c.ID, len(msrs), maxMSRs)
	}
	buf := &msrBuffer{count: uint32(len(msrs))}
	for i, m := range msrs {
		buf.entries[i] = gokvm.MSREntry{Index: m.Index, Data: m.Value}
	}
	n, err := ioctlPtr(c.fd, iow(nrSetMSRs, 8), unsafe.Pointer(buf))
	if err != nil {
		return c.wrap("KVM_SET_MSRS", err)
	}
	if n < len(msrs) {
		return fmt.Errorf("vCPU %d: KVM refused MSR %#x = %#x", c.ID, msrs[n].Index, msrs[n].Value)
	}
	return nil
}

// GetMSR reads one model-specific register.
func (c *VCPU) GetMSR(index uint32) (uint64, error) {
	buf := &msrBuffer{count: 1}
	buf.entries[0].Index = index
	n, err := ioctlPtr(c.fd, iowr(nrGetMSRs, 8), unsafe.Pointer(buf))
	if err != nil {
		return 0, c.wrap("KVM_GET_MSRS", err)
	}
	if n != 1 {
		return 0, fmt.Errorf("vCPU %d: KVM has no MSR %#x", c.ID, index)
	}
	return buf.entries[0].Data, nil
}

func (c *VCPU) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s on vCPU %d: %w", op, c.ID, err)
}
