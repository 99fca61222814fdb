// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	kvmGetAPIVersion = 0xae00 // ioctl
	kvmAPIVersion    = 12     // the only one since 2007
)

// checkKVM decides whether guests run on this machine itself. They do where the
// processor shows hardware virtualization and the device answers; a device
// without these flags is software, slow and not trusted.
func (m machine) checkKVM() (checks []Check, direct bool) {
	flag := cpuFlag(m.cpuinfo)
	version, err := kvmVersion(m.kvm)
	cpu := Check{"cpu", OK, "hardware virtualization: " + flag, ""}
	if flag == "" {
		cpu = Check{"cpu", Note, "no hardware virtualization: neither vmx nor svm in " + m.cpuinfo, ""}
	}
	kvm := Check{Name: "kvm"}
	switch {
	case errors.Is(err, fs.ErrNotExist) && flag == "":
		kvm.Verdict, kvm.Text = Note, "no "+m.kvm
	case errors.Is(err, fs.ErrNotExist):
		kvm.Verdict, kvm.Text = Warn, "no "+m.kvm+" although the processor could"
		kvm.Do = "load it: modprobe kvm_intel or kvm_amd (or switch virtualization on in the firmware)"
	case errors.Is(err, fs.ErrPermission):
		kvm.Verdict, kvm.Text = Warn, "no permission to open "+m.kvm
		kvm.Do = "become a member of its group: usermod -aG kvm USER, and log in again"
	case err != nil:
		kvm.Verdict, kvm.Text = Warn, err.Error()
	case version != kvmAPIVersion:
		kvm.Verdict, kvm.Text = Warn, fmt.Sprintf("%s speaks API version %d, not %d: it is not usable", m.kvm, version, kvmAPIVersion)
	case flag == "":
		kvm.Verdict, kvm.Text = Note, m.kvm+" opens, but without hardware virtualization it is an emulation and not used"
	default:
		kvm.Verdict, kvm.Text = OK, fmt.Sprintf("%s opens, API version %d", m.kvm, version)
	}
	direct = kvm.Verdict == OK && flag != ""
	where := Check{"where", OK, "guests run directly on this machine", ""}
	if !direct {
		where = Check{"where", Note, "guests run inside the nested lab (QEMU emulates a host with AMD-V)", ""}
	}
	return []Check{cpu, kvm, where}, direct
}

// cpuFlag is vmx, svm, or nothing.
func cpuFlag(cpuinfo string) string {
	b, err := os.ReadFile(cpuinfo)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) != "flags" {
			continue
		}
		for _, f := range strings.Fields(value) {
			if f == "vmx" || f == "svm" {
				return f
			}
		}
	}
	return ""
}

// kvmVersion opens the device and asks which API it speaks.
func kvmVersion(path string) (int, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	v, err := unix.IoctlRetInt(int(f.Fd()), kvmGetAPIVersion)
	if err != nil {
		return 0, fmt.Errorf("%s is no KVM device: %w", path, err)
	}
	return v, nil
}
