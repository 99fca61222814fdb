// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"

	"virtbinder/internal/lab/job"
)

// TestWriteInitrd reads the appended archive back: it begins at a multiple of four and has init and the job.
func TestWriteInitrd(t *testing.T) {
	dir := t.TempDir()
	base, init, out := filepath.Join(dir, "base"), filepath.Join(dir, "init"), filepath.Join(dir, "initrd")
	for p, text := range map[string]string{base: "seven77", init: "\x7fELF"} {
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := job.Job{
		Args: []string{"sh", "-c", "exit 3"}, UID: job.User, Binder: "kbinder",
		Shares: []job.Share{{Tag: "top", Path: "/work", ReadOnly: true}},
	}
	if err := writeInitrd(out, base, init, &want); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("seven77\x00")) {
		t.Fatalf("the prepared archive is not in front, padded: %q", b[:16])
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b[8:])))
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 || records[0].Name != "init" || records[0].Mode != 0o100755 || "/"+records[1].Name != job.File {
		t.Fatalf("records: %v", records)
	}
	text, err := io.ReadAll(io.NewSectionReader(records[1], 0, int64(records[1].FileSize)))
	if err != nil {
		t.Fatal(err)
	}
	var got job.Job
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
}

func TestQEMUArgs(t *testing.T) {
	c := &Config{CPUs: 2, Memory: 512}
	im := &image{vmlinux: "/i/vmlinux"}
	args := qemuArgs(c, im, "/r/initrd", "/r/a,b/console", []job.Share{{Tag: "top", Path: "/work,x", ReadOnly: true}, {Tag: "build", Path: "/b"}})
	for _, pair := range [][2]string{
		{"-smp", "2"}, {"-m", "512"}, {"-kernel", "/i/vmlinux"}, {"-initrd", "/r/initrd"},
		{"-chardev", "file,id=console,path=/r/a,,b/console"},
		{"-virtfs", "local,mount_tag=top,security_model=none,multidevs=remap,path=/work,,x,readonly=on"},
		{"-virtfs", "local,mount_tag=build,security_model=none,multidevs=remap,path=/b"},
		{"-device", "virtserialport,chardev=port3,name=" + job.PortStderr},
		{"-chardev", "socket,id=port3,fd=6"},
	} {
		if !hasPair(args, pair) {
			t.Errorf("no %s %s in %q", pair[0], pair[1], args)
		}
	}
}

func hasPair(args []string, pair [2]string) bool {
	return slices.ContainsFunc(pairs(args), func(p [2]string) bool { return p == pair })
}

func pairs(args []string) [][2]string {
	var all [][2]string
	for i := range len(args) - 1 {
		all = append(all, [2]string{args[i], args[i+1]})
	}
	return all
}

// TestResolveMissing: each missing file is named, with the command that makes it.
func TestResolveMissing(t *testing.T) {
	top := t.TempDir()
	c := Config{Top: top, Args: []string{"true"}}
	files := []string{
		"build/images/qemu/qemu-system-x86_64", "build/images/l1/6.12/vmlinux", "build/images/l1-initrd/6.12.cpio", "build/lab/init",
	}
	for _, file := range files {
		_, err := c.resolve()
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "make lab-images") {
			t.Fatalf("without %s: error %v", file, err)
		}
		p := filepath.Join(top, file)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.resolve(); err != nil {
		t.Errorf("with all files: %v", err)
	}
	if c.Kernel != "6.12" || c.CPUs != 1 || c.Memory != 2048 || c.Dir != top {
		t.Errorf("defaults: %+v", c)
	}
	if _, err := (&Config{}).resolve(); err == nil {
		t.Error("a job without a command was accepted")
	}
}

func TestOutcome(t *testing.T) {
	died := errors.New("exit status 1")
	stopped := errors.New("stopped by the caller")
	for _, c := range []struct {
		name                   string
		event                  job.Event
		qemu, cause, cancelled error
		exit                   int
		says                   string
	}{
		{name: "ended", event: job.Event{Done: true, Exit: 7}, qemu: died, exit: 7},
		{name: "could not run", event: job.Event{Done: true, Error: "no such file"}, qemu: died, says: "no such file"},
		{name: "panic", says: "panicked"},
		{name: "qemu died", qemu: died, says: "QEMU ended early (exit status 1)"},
		{name: "cancelled", qemu: died, cancelled: stopped, says: "stopped by the caller"},
		{name: "never started", qemu: died, cause: errors.New("the command did not start"), says: "did not start"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &Lab{dir: t.TempDir()}
			exit, err := l.outcome(c.event, c.qemu, c.cause, c.cancelled)
			if c.says == "" && (err != nil || exit != c.exit) {
				t.Errorf("outcome = %d, %v, want %d", exit, err, c.exit)
			}
			if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

// TestEvidence leaves QEMU's remarks about features out and shows what is left.
func TestEvidence(t *testing.T) {
	l := &Lab{dir: t.TempDir()}
	log := "qemu: warning: TCG doesn't support requested feature: x\nqemu: could not open disk\n"
	if err := os.WriteFile(filepath.Join(l.dir, "qemu.log"), []byte(log), 0o644); err != nil {
		t.Fatal(err)
	}
	got := l.evidence()
	if !strings.Contains(got, l.dir) || !strings.Contains(got, "could not open disk") || strings.Contains(got, "TCG") {
		t.Errorf("evidence: %s", got)
	}
}
