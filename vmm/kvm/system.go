// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// Device is the KVM device node.
const Device = "/dev/kvm"

// apiVersion is the only version of the KVM interface there ever was.
const apiVersion = 12

// maxCPUIDEntries is the kernel's own limit (KVM_MAX_CPUID_ENTRIES).
const maxCPUIDEntries = 256

// System is the open KVM device, from which machines are made.
type System struct {
	f *os.File
}

// Open opens the KVM device. Its errors are whole sentences for the user: what
// is missing and what to do about it.
func Open() (*System, error) { return openDevice(Device) }

func openDevice(path string) (*System, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist: load the module kvm_intel or kvm_amd, or enable virtualization in the firmware (`virtbinder lab` runs without it): %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no permission to open %s: add your user to the group that owns it (usually `sudo usermod -aG kvm $USER`, then log in again): %w", path, err)
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("%s is there but the processor's virtualization is not available: enable it in the firmware, or nested virtualization in the outer hypervisor: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("open KVM: %w", err)
	}
	s := &System{f: f}
	version, err := gokvm.GetAPIVersion(f.Fd())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s does not answer as KVM does: %w", path, err)
	}
	if version != apiVersion {
		f.Close()
		return nil, fmt.Errorf("%s has KVM API version %d, this program needs %d", path, version, apiVersion)
	}
	return s, nil
}

// Close closes the device; machines made from it live on.
func (s *System) Close() error { return s.f.Close() }

// Extension returns the value of a capability, 0 where the kernel lacks it.
func (s *System) Extension(c gokvm.Capability) int {
	n, err := gokvm.CheckExtension(s.f.Fd(), c)
	if err != nil {
		return 0
	}
	return int(n)
}

// Require returns an error that names the first of the capabilities the kernel
// lacks.
func (s *System) Require(caps ...gokvm.Capability) error {
	for _, c := range caps {
		if s.Extension(c) == 0 {
			return fmt.Errorf("the host kernel's KVM lacks %v, which this program needs: use Linux 6.1 or newer", c)
		}
	}
	return nil
}

// cpuidBuffer is struct kvm_cpuid2 with room for all entries.
type cpuidBuffer struct {
	count   uint32
	_       uint32
	entries [maxCPUIDEntries]gokvm.CPUIDEntry2
}

// SupportedCPUID returns what KVM can show a guest. Kernels before about 7 leave
// out bits that the VMM has to add; see vmm's cpuid.go.
func (s *System) SupportedCPUID() ([]gokvm.CPUIDEntry2, error) {
	buf := &cpuidBuffer{count: maxCPUIDEntries}
	if _, err := ioctlPtr(int(s.f.Fd()), iowr(nrGetSupportedCPUID, 8), unsafe.Pointer(buf)); err != nil {
		return nil, fmt.Errorf("KVM_GET_SUPPORTED_CPUID: %w", err)
	}
	return append([]gokvm.CPUIDEntry2(nil), buf.entries[:buf.count]...), nil
}

// CreateVM makes an empty machine.
func (s *System) CreateVM() (*VM, error) {
	for {
		fd, err := gokvm.CreateVM(s.f.Fd())
		if errors.Is(err, syscall.EINTR) {
			continue // a signal of the Go runtime
		}
		if err != nil {
			return nil, fmt.Errorf("KVM_CREATE_VM: %w", err)
		}
		syscall.CloseOnExec(int(fd))
		size, err := gokvm.GetVCPUMMmapSize(s.f.Fd())
		if err != nil {
			syscall.Close(int(fd))
			return nil, fmt.Errorf("KVM_GET_VCPU_MMAP_SIZE: %w", err)
		}
		return &VM{fd: int(fd), runSize: int(size)}, nil
	}
}
