// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"
)

// TestStructSizes pins the kernel's structures: their sizes are part of the ioctl
// numbers.
func TestStructSizes(t *testing.T) {
	for name, c := range map[string]struct{ got, want uintptr }{
		"kvm_ioeventfd":         {unsafe.Sizeof(ioeventfd{}), 64},
		"kvm_irqfd":             {unsafe.Sizeof(irqfd{}), 32},
		"kvm_msi":               {unsafe.Sizeof(msi{}), 32},
		"kvm_irq_routing_entry": {unsafe.Sizeof(routingEntry{}), 48},
		"kvm_irq_level":         {unsafe.Sizeof(irqLevel{}), 8},
		"kvm_pit_config":        {unsafe.Sizeof(pitConfig{}), 64},
		"kvm_enable_cap":        {unsafe.Sizeof(enableCap{}), 104},
		"kvm_cpuid2 header":     {unsafe.Offsetof(cpuidBuffer{}.entries), 8},
		"kvm_msrs header":       {unsafe.Offsetof(msrBuffer{}.entries), 8},
		"mmio exit length":      {unsafe.Offsetof(mmioExit{}.Len), 16},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d bytes, the kernel's %d", name, c.got, c.want)
		}
	}
}

// TestInterruptsAllocateNothing: no garbage per interrupt. The ioctls fail here,
// which changes nothing about that.
func TestInterruptsAllocateNothing(t *testing.T) {
	v := &VM{fd: -1}
	if n := testing.AllocsPerRun(100, func() {
		_ = v.SignalMSI(0xfee0_0000, 0x41)
		_ = v.SetIRQ(4, true)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestOpenErrors: each way KVM can be missing has a line that says what to do.
func TestOpenErrors(t *testing.T) {
	_, err := openDevice("/nonexistent/kvm")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "load the module") {
		t.Errorf("no device: %v", err)
	}
	if os.Getuid() != 0 { // root may open anything
		path := filepath.Join(t.TempDir(), "kvm")
		if err := os.WriteFile(path, nil, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := openDevice(path); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "usermod -aG kvm") {
			t.Errorf("no permission: %v", err)
		}
	}
	if _, err := openDevice("/dev/null"); err == nil || !strings.Contains(err.Error(), "does not answer as KVM does") {
		t.Errorf("not KVM: %v", err)
	}
}
