// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	makeThem = "run `make run`, which builds what is missing"
	// minQEMU is the first QEMU whose emulated AMD-V does not lose wake-ups.
	minQEMU = 10
	// labMemory is what the lab and its QEMU take, in KiB.
	labMemory = 2600 << 10
)

// checkLab looks at what the nested lab needs.
func (m machine) checkLab(direct bool) []Check {
	if direct {
		return []Check{{"lab", Note, "the nested lab is not needed here", ""}}
	}
	checks := []Check{
		m.checkQEMU(),
		fileCheck("lab kernel", filepath.Join(m.images, "l1", m.host, "vmlinux")),
		fileCheck("lab initramfs", filepath.Join(m.images, "l1-initrd", m.host+".cpio")),
		fileCheck("lab init", filepath.Join(m.build, "lab", "init")),
	}
	if free, ok := memAvailable(m.meminfo); ok && free < labMemory {
		checks = append(checks, Check{"memory", Warn, fmt.Sprintf("%d MiB are available, the lab takes about %d", free>>10, labMemory>>10), "end other programs"})
	}
	return checks
}

func (m machine) checkQEMU() Check {
	path := filepath.Join(m.images, "qemu", "qemu-system-x86_64")
	if _, err := os.Stat(path); err != nil {
		return missing("lab qemu", err)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return Check{"lab qemu", Fail, fmt.Sprintf("%s does not run: %v", path, err), "remove it, then " + makeThem}
	}
	version, major := qemuVersion(string(out))
	if major < minQEMU {
		return Check{"lab qemu", Fail, fmt.Sprintf("%s is version %q; before %d its emulated AMD-V loses wake-ups", path, version, minQEMU), makeThem}
	}
	return Check{"lab qemu", OK, "QEMU " + version, ""}
}

// qemuVersion finds "10.0.2" in what --version prints.
func qemuVersion(out string) (version string, major int) {
	_, rest, _ := strings.Cut(out, "version ")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return "", 0
	}
	first, _, _ := strings.Cut(fields[0], ".")
	major, _ = strconv.Atoi(first)
	return fields[0], major
}

func fileCheck(name, path string) Check {
	st, err := os.Stat(path)
	if err != nil {
		return missing(name, err)
	}
	if st.Size() == 0 {
		return Check{name, Fail, path + " is empty", "remove it, then " + makeThem}
	}
	return Check{name, OK, path, ""}
}

// missing words why a file cannot be used.
func missing(name string, err error) Check {
	var pe *os.PathError
	if errors.As(err, &pe) && errors.Is(err, os.ErrNotExist) {
		return Check{name, Fail, pe.Path + " is not there", makeThem}
	}
	return Check{name, Fail, err.Error(), ""}
}

// checkImages looks at the guest's parts, and whether the driver fits the kernel.
func (m machine) checkImages() []Check {
	checks := []Check{}
	vmlinuz := filepath.Join(m.images, "guest", m.guest, "vmlinuz")
	release, err := kernelRelease(vmlinuz)
	switch {
	case errors.Is(err, os.ErrNotExist):
		checks = append(checks, missing("guest kernel", err))
	case err != nil:
		checks = append(checks, Check{"guest kernel", Fail, err.Error(), "remove it, then " + makeThem})
	default:
		checks = append(checks, Check{"guest kernel", OK, release, ""})
	}
	return append(checks, fileCheck("guest android", filepath.Join(m.images, "android", "base.cpio")), m.checkModule(release))
}

func (m machine) checkModule(release string) Check {
	path := filepath.Join(m.build, "guest", m.guest, "virtbinder.ko")
	magic, err := vermagic(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return missing("guest driver", err)
	case err != nil:
		return Check{"guest driver", Fail, err.Error(), "remove it, then " + makeThem}
	case release == "":
		return Check{"guest driver", Warn, "built for " + magic + "; there is no guest kernel to compare with", ""}
	case magic != release:
		return Check{"guest driver", Fail, fmt.Sprintf("%s is built for kernel %s, the guest's is %s", path, magic, release), "remove it, then " + makeThem}
	}
	return Check{"guest driver", OK, "built for " + magic, ""}
}

// Offsets in a bzImage's setup header.
const (
	bzMagicAt   = 0x202 // "HdrS"
	bzVersionAt = 0x20e // u16: where the version string is, less 0x200
	bzSetup     = 64 << 10
)

// kernelRelease is the release of a bzImage, as uname -r prints it.
func kernelRelease(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, bzSetup))
	if err != nil {
		return "", err
	}
	if len(b) < bzVersionAt+2 || string(b[bzMagicAt:bzMagicAt+4]) != "HdrS" {
		return "", fmt.Errorf("%s is no bzImage", path)
	}
	at := int(binary.LittleEndian.Uint16(b[bzVersionAt:])) + 0x200
	if at >= len(b) {
		return "", fmt.Errorf("%s is no whole bzImage: its version string is missing", path)
	}
	text, _, _ := strings.Cut(string(b[at:]), "\x00")
	if fields := strings.Fields(text); len(fields) > 0 {
		return fields[0], nil
	}
	return "", fmt.Errorf("%s does not say its version", path)
}

// vermagic is the kernel release that a module is built for.
func vermagic(path string) (string, error) {
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	f, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s is no kernel module: %w", path, err)
	}
	defer f.Close()
	s := f.Section(".modinfo")
	if s == nil {
		return "", fmt.Errorf("%s is no kernel module: no .modinfo", path)
	}
	data, err := s.Data()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	for _, entry := range strings.Split(string(data), "\x00") {
		if v, ok := strings.CutPrefix(entry, "vermagic="); ok {
			release, _, _ := strings.Cut(v, " ")
			return release, nil
		}
	}
	return "", fmt.Errorf("%s does not say for which kernel it is", path)
}

// memAvailable is the memory that programs can still have, in KiB.
func memAvailable(meminfo string) (uint64, bool) {
	b, err := os.ReadFile(meminfo)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
