// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"virtbinder/netlink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const release = "6.12.95+deb12-amd64"

// bzImage is the start of one, with the version string where the header says.
func bzImage(version string) []byte {
	b := make([]byte, 0x400)
	copy(b[bzMagicAt:], "HdrS")
	binary.LittleEndian.PutUint16(b[bzVersionAt:], 0x100)
	return append(b[:0x300], version+" (who@where) #1 SMP\x00"...)
}

// module is the least ELF object that has a .modinfo.
func module(t *testing.T, modinfo string) []byte {
	t.Helper()
	const headerLen, sectionLen = 64, 64
	names := "\x00.modinfo\x00.shstrtab\x00"
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	data := uint64(headerLen)
	strs := data + uint64(len(modinfo))
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: strs + uint64(len(names)),
		Ehsize: headerLen, Shentsize: sectionLen, Shnum: 3, Shstrndx: 2}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	put(h)
	b.WriteString(modinfo + names)
	put(elf.Section64{})
	put(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: data, Size: uint64(len(modinfo))})
	put(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: strs, Size: uint64(len(names))})
	return b.Bytes()
}

// sound is a machine without hardware virtualization on which everything is in
// place.
func sound(t *testing.T) machine {
	t.Helper()
	root := t.TempDir()
	put := func(name string, mode os.FileMode, content []byte) string {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("build/images/qemu/qemu-system-x86_64", 0o755, []byte("#!/bin/sh\necho 'QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)'\n"))
	put("build/images/l1/6.12/vmlinux", 0o644, []byte("ELF"))
	put("build/images/l1-initrd/6.12.cpio", 0o644, []byte("cpio"))
	put("build/lab/init", 0o755, []byte("ELF"))
	put("build/images/guest/6.12/vmlinuz", 0o644, bzImage(release))
	put("build/images/android/base.cpio", 0o644, []byte("cpio"))
	put("build/guest/6.12/virtbinder.ko", 0o644, module(t, "license=GPL\x00vermagic="+release+" SMP preempt mod_unload \x00"))
	return machine{
		cpuinfo: put("cpuinfo", 0o644, []byte("processor\t: 0\nflags\t\t: fpu vme\n")),
		meminfo: put("meminfo", 0o644, []byte("MemTotal: 9 kB\nMemAvailable:    8000000 kB\n")),
		kvm:     filepath.Join(root, "kvm"),
		build:   filepath.Join(root, "build"), images: filepath.Join(root, "build/images"), guest: "6.12", host: "6.12",
		runBase: filepath.Join(root, "run/virtbinder"), runSearch: []string{filepath.Join(root, "run/virtbinder")},
		netlink: func() (netlink.Status, error) {
			return netlink.Status{Mode: netlink.ModeFallback, Group: 18, Namespace: netlink.Namespace{InitialNet: netlink.Yes, InitialUser: netlink.Yes}}, nil
		},
		hostDevices: func() []string { return nil },
	}
}

func find(t *testing.T, r Report, name string) Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, r.Checks)
	return Check{}
}

func TestSoundMachine(t *testing.T) {
	r := sound(t).examine()
	if !r.CanRun || r.Direct {
		t.Errorf("can run %v, direct %v", r.CanRun, r.Direct)
	}
	for _, c := range r.Checks {
		if c.Verdict == Fail || c.Verdict == Warn {
			t.Errorf("%+v", c)
		}
		if strings.Count(line(c, false), "\n") != 1 {
			t.Errorf("%q is not one line", line(c, false))
		}
	}
}

// TestEachMissingThing: each is one failing check that names it and says what to
// do, and the program's status follows.
func TestEachMissingThing(t *testing.T) {
	for _, c := range []struct {
		name, check string
		breakIt     func(t *testing.T, m *machine)
		says, do    string
	}{
		{"no qemu", "lab qemu", remove("images/qemu/qemu-system-x86_64"), "not there", "make run"},
		{"old qemu", "lab qemu", write("images/qemu/qemu-system-x86_64", "#!/bin/sh\necho 'QEMU emulator version 7.2.22'\n"), "7.2.22", "make run"},
		{"broken qemu", "lab qemu", write("images/qemu/qemu-system-x86_64", "#!/bin/sh\nexit 3\n"), "exit status 3", "remove it"},
		{"no lab kernel", "lab kernel", remove("images/l1/6.12/vmlinux"), "not there", "make run"},
		{"empty lab initramfs", "lab initramfs", write("images/l1-initrd/6.12.cpio", ""), "empty", "remove it"},
		{"no lab init", "lab init", remove("lab/init"), "not there", "make run"},
		{"no guest kernel", "guest kernel", remove("images/guest/6.12/vmlinuz"), "not there", "make run"},
		{"vmlinux for vmlinuz", "guest kernel", write("images/guest/6.12/vmlinuz", "\x7fELF"), "no bzImage", "remove it"},
		{"no android", "guest android", remove("images/android/base.cpio"), "not there", "make run"},
		{"no driver", "guest driver", remove("guest/6.12/virtbinder.ko"), "not there", "make run"},
		{"driver is text", "guest driver", write("guest/6.12/virtbinder.ko", "hello"), "no kernel module", "remove it"},
		{"driver of another kernel", "guest driver", func(t *testing.T, m *machine) {
			write("guest/6.12/virtbinder.ko", string(module(t, "vermagic=6.1.0-50-amd64 SMP\x00")))(t, m)
		}, "6.1.0-50-amd64", "make run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := sound(t)
			c.breakIt(t, &m)
			r := m.examine()
			k := find(t, r, c.check)
			if k.Verdict != Fail || !strings.Contains(k.Text, c.says) || !strings.Contains(k.Do, c.do) {
				t.Errorf("got %+v", k)
			}
			var cmd Cmd
			err := cmd.run(m, &bytes.Buffer{}, false)
			if err == nil || !strings.Contains(err.Error(), c.check) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// remove and write change files below the build directory.
func remove(name string) func(*testing.T, *machine) {
	return func(t *testing.T, m *machine) {
		if err := os.Remove(filepath.Join(m.build, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func write(name, content string) func(*testing.T, *machine) {
	return func(t *testing.T, m *machine) {
		if err := os.WriteFile(filepath.Join(m.build, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKVM(t *testing.T) {
	m := sound(t)
	if err := os.WriteFile(m.kvm, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := m.examine()
	if k := find(t, r, "kvm"); k.Verdict != Warn || !strings.Contains(k.Text, "no KVM device") || r.Direct {
		t.Errorf("a plain file in place of the device: %+v", k)
	}
	if err := os.WriteFile(m.cpuinfo, []byte("flags : fpu svm\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Remove(m.kvm)
	r = m.examine()
	if k := find(t, r, "kvm"); k.Verdict != Warn || !strings.Contains(k.Do, "modprobe") || r.Direct {
		t.Errorf("a processor without the device: %+v", k)
	}
	if k := find(t, r, "cpu"); k.Verdict != OK || !strings.Contains(k.Text, "svm") {
		t.Errorf("got %+v", k)
	}
}

func TestLabIsNotNeededDirectly(t *testing.T) {
	m := sound(t)
	m.images = "/nonexistent"
	if c := m.checkLab(true); len(c) != 1 || c[0].Verdict != Note {
		t.Errorf("got %+v", c)
	}
}

func TestLittleMemory(t *testing.T) {
	m := sound(t)
	if err := os.WriteFile(m.meminfo, []byte("MemAvailable: 1000000 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if k := find(t, m.examine(), "memory"); k.Verdict != Warn || !strings.Contains(k.Text, "976 MiB") {
		t.Errorf("got %+v", k)
	}
}

// first is the first check that f adds.
func first(f func(*Report), direct bool) Check {
	r := Report{Direct: direct}
	f(&r)
	return r.Checks[0]
}

func TestNetlinkChecks(t *testing.T) {
	unprivileged := func() (netlink.Status, error) {
		return netlink.Status{Mode: netlink.ModeUnix, Why: "no right", Namespace: netlink.Namespace{InitialNet: netlink.Yes, InitialUser: netlink.No, User: "user:[7]"}}, nil
	}
	m := sound(t)
	m.netlink = unprivileged
	r := m.examine()
	if k := find(t, r, "netlink"); k.Verdict != Note || !strings.Contains(k.Text, "no right") {
		t.Errorf("in the lab: %+v", k)
	}
	if k := first(m.checkNetlink, true); k.Verdict != Warn || !strings.Contains(k.Text, "mode c") {
		t.Errorf("directly: %+v", k)
	}
	if k := find(t, r, "namespaces"); k.Verdict != Warn || !strings.Contains(k.Text, "user:[7]") {
		t.Errorf("got %+v", k)
	}
	m.netlink = func() (netlink.Status, error) { return netlink.Status{}, errors.New("netlink is broken") }
	if k := first(m.checkNetlink, true); k.Verdict != Warn || !strings.Contains(k.Text, "broken") {
		t.Errorf("got %+v", k)
	}
	m.netlink = func() (netlink.Status, error) {
		return netlink.Status{Mode: netlink.ModeGenuine, Family: 37, Group: 19, Namespace: netlink.Namespace{InitialNet: netlink.No}}, nil
	}
	m.hostDevices = func() []string { return []string{"/dev/binder"} }
	r = m.examine()
	if k := find(t, r, "netlink"); k.Verdict != OK || !strings.Contains(k.Text, "37") || !strings.Contains(k.Text, "group 19") {
		t.Errorf("got %+v", k)
	}
	if k := find(t, r, "host binder"); !strings.Contains(k.Text, "/dev/binder") {
		t.Errorf("got %+v", k)
	}
	if k := find(t, r, "namespaces"); k.Verdict != Warn {
		t.Errorf("got %+v", k)
	}
}

func TestRuntimeDirectory(t *testing.T) {
	m := sound(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.runBase = filepath.Join(file, "below")
	if c := first(m.checkRuntime, true); c.Verdict != Fail || !strings.Contains(c.Do, "VIRTBINDER_RUNTIME_DIR") {
		t.Errorf("got %+v", c)
	}
	if c := first(m.checkRuntime, false); c.Verdict != Warn {
		t.Errorf("got %+v", c)
	}
}

func TestRunningVMs(t *testing.T) {
	m := sound(t)
	put := func(vm string, st any) {
		dir := filepath.Join(m.runBase, vm)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "netlink.json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("alive", netlink.Status{Version: 1, PID: os.Getpid(), Mode: netlink.ModeGenuine})
	put("lossy", netlink.Status{Version: 1, PID: os.Getpid(), Mode: netlink.ModeUnix, Dropped: 4, SendErrors: 1})
	put("dead", netlink.Status{Version: 1, PID: 1 << 30, Mode: netlink.ModeGenuine})
	put("odd", "text")
	r := m.examine()
	var vms []string
	for _, vm := range r.VMs {
		vms = append(vms, fmt.Sprint(vm.Name, vm.Running, vm.Reports.Mode))
	}
	if got, want := strings.Join(vms, " "), "alivetruea deadfalsea lossytruec"; got != want {
		t.Errorf("machines are %s, expected %s", got, want)
	}
	for vm, want := range map[string]struct {
		v    Verdict
		says string
	}{"alive": {OK, "mode a"}, "lossy": {Warn, "5 reports were lost"}, "dead": {Note, "not running"}, "odd": {Warn, "netlink.json"}} {
		if k := find(t, r, "VM "+vm); k.Verdict != want.v || !strings.Contains(k.Text, want.says) {
			t.Errorf("%s: %+v", vm, k)
		}
	}
}

func TestOutput(t *testing.T) {
	m := sound(t)
	var out bytes.Buffer
	cmd := Cmd{JSON: true}
	if err := cmd.run(m, &out, false); err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || !r.CanRun || len(r.Checks) < 8 || r.Reports == nil || r.Reports.Mode != netlink.ModeFallback {
		t.Errorf("%+v, %v", r, err)
	}
	if l := line(Check{"kvm", Fail, "text", "do it"}, true); l != "\x1b[31mfail\x1b[0m  kvm            text; do it\n" {
		t.Errorf("got %q", l)
	}
}

// TestFlags: the command line parses, and looks where it is told.
func TestFlags(t *testing.T) {
	var cmd Cmd
	p, err := kong.New(&cmd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse([]string{"--build=/b", "--kernel=6.1"}); err != nil {
		t.Fatal(err)
	}
	if m := cmd.machine(); m.images != "/b/images" || m.guest != "6.1" || m.host != "6.12" {
		t.Errorf("got %+v", m)
	}
}

func TestQEMUVersion(t *testing.T) {
	for in, want := range map[string]int{"QEMU emulator version 10.0.2 (Debian)": 10, "QEMU emulator version 9.1": 9, "": 0, "version ": 0} {
		if _, major := qemuVersion(in); major != want {
			t.Errorf("%q is major version %d, want %d", in, major, want)
		}
	}
}
