// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"virtbinder/internal/docs"
	"virtbinder/internal/lab"
	"virtbinder/internal/rundir"
	"virtbinder/vmm/api"
)

// machines are two in one process; the second one's kernel will panic.
const machines = `vms:
  - name: android
    kernel: %[1]s/vmlinuz
    initrd: %[1]s/initrd.cpio
    cmdline: %[2]s
    memory: 384M
    consoles: [{type: serial, to: pty}, {type: hvc, to: unix, path: %[3]s/hvc.sock}]
  - name: other
    kernel: %[1]s/vmlinuz
    initrd: %[1]s/initrd.cpio
    cmdline: %[2]s
    memory: 384M
log: {level: info, levels: {api: debug}, file: %[3]s/vmm.log}
`

// TestControl boots machines from a file and does to them what docs/control.md shows,
// and then what it warns of.
func TestControl(t *testing.T) {
	examples, err := docs.Blocks("control.md", "sh")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	onLabHost(t, "6.12", func(t *testing.T) {
		s := newOperator(t)
		process := s.boot("--config", s.machines())
		s.run("virtbinder exec android --wait 4m -- true && virtbinder exec other --wait 4m -- true")
		s.oneProcess(process.Process.Pid)
		s.pauses()
		s.profiled()
		s.consoles()
		for _, b := range examples {
			s.run("set -e\n" + b.Text)
		}
		s.panics(process)
		s.killed()
		wasRefusedNothing(t)
	})
}

// operator runs commands as docs/control.md has them, in a directory of its own.
type operator struct {
	t        *testing.T
	dir, top string
	env      []string
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	s := &operator{t: t, dir: t.TempDir(), top: top}
	t.Setenv("VIRTBINDER_RUNTIME_DIR", filepath.Join(s.dir, "run"))
	s.env = append(os.Environ(), "PATH="+filepath.Join(top, "build", "bin")+":"+os.Getenv("PATH"))
	return s
}

// run runs a script, which has to succeed, and returns what it prints.
func (s *operator) run(script string) string {
	s.t.Helper()
	out, err := s.try(script)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func (s *operator) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// machines writes the configuration.
func (s *operator) machines() string {
	s.t.Helper()
	path := filepath.Join(s.dir, "machines.yaml")
	text := fmt.Sprintf(machines, filepath.Join(s.top, "build", "guest", "6.12"), "console=ttyS0 panic=-1 quiet mitigations=off cryptomgr.notests random.trust_cpu=on", s.dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// boot starts a process, which is killed with the test.
func (s *operator) boot(args ...string) *exec.Cmd {
	s.t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(s.top, "build", "bin", "virtbinder"), append([]string{"boot"}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &log, &log, s.env
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.t.Failed() {
			kept, _ := os.ReadFile(filepath.Join(s.dir, "vmm.log"))
			s.t.Logf("virtbinder boot %v:\n%s\n%s", args, &log, kept)
		}
	})
	return cmd
}

// oneProcess: both machines are of this process, and each has contexts of its own.
func (s *operator) oneProcess(pid int) {
	s.t.Helper()
	var list []struct {
		Name, State string
		PID         int
	}
	if err := json.Unmarshal([]byte(s.run("virtbinder list --json")), &list); err != nil || len(list) != 2 || list[0].PID != pid || list[1].PID != pid || list[0].State != "running" {
		s.t.Fatalf("%+v, %v; the process is %d", list, err, pid)
	}
	if out, err := s.try("virtbinder state"); err == nil || !strings.Contains(out, "several VMs run, name one of them: android, other") {
		s.t.Errorf("which of two: %v\n%s", err, out)
	}
}

// pauses: while a machine is paused its processors do not leave the guest, since they
// are not in it; the other goes on.
func (s *operator) pauses() {
	s.t.Helper()
	android, other := s.client("android"), s.client("other")
	if vm, err := android.Pause(s.t.Context()); err != nil || vm.State != api.Paused {
		s.t.Fatalf("%+v, %v", vm, err)
	}
	before := s.exits(android)
	s.run("virtbinder exec other -- true")
	if after := s.exits(android); after != before {
		s.t.Errorf("a paused machine made %v exits", after-before)
	}
	if s.exits(other) == 0 {
		s.t.Error("the other's exits are not counted")
	}
	if out, err := s.try("virtbinder stop android"); err == nil || !strings.Contains(out, "is paused") {
		s.t.Errorf("a paused machine was stopped: %v\n%s", err, out)
	}
	if _, err := android.Resume(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.run("virtbinder exec android -- true")
	if s.exits(android) <= before {
		s.t.Error("a resumed machine made no exits")
	}
	wantCounted(s.t, metrics(s.t, android), "vsock_connections_begun_total", "vsock_bytes_total device=vsock direction=to_guest", "vsock_bytes_total device=vsock direction=from_guest",
		"virtqueue_depth device=vsock queue=0", "virtqueue_depth device=vbinder queue=1")
}

// profiled: the process says where its time goes while its vCPU threads, behind their
// filters, run the guest.
func (s *operator) profiled() {
	s.t.Helper()
	busy := make(chan string, 1)
	go func() {
		out, err := s.try("virtbinder exec android -- sh -c 'for i in 1 2 3 4 5 6 7 8; do cat /proc/self/maps; done'")
		busy <- fmt.Sprint(out[:min(len(out), 100)], err)
	}()
	raw, err := s.client("android").Profile(s.t.Context(), 3)
	if err != nil {
		s.t.Fatal(err)
	}
	if p, err := profile.Parse(bytes.NewReader(raw)); err != nil || len(p.Sample) == 0 {
		s.t.Errorf("no profile of a busy process: %v; the guest said %s", err, <-busy)
	}
}

func (s *operator) client(name string) *api.Client {
	s.t.Helper()
	c, err := api.Find(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// exits is how often a machine's processors have left the guest.
func (s *operator) exits(c *api.Client) (n float64) {
	s.t.Helper()
	for name, value := range metrics(s.t, c) {
		if strings.HasPrefix(name, "vm_exits_total ") {
			n += value
		}
	}
	return n
}

// consoles: what the guest prints reaches those who attach to a console, the log, and
// where the console leads; what is typed reaches the guest.
func (s *operator) consoles() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
	defer cancel()
	conn, err := s.client("android").Console(ctx, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	s.run("virtbinder exec android -d -- sh -c 'read -r line </dev/ttyS0; echo heard $line >/dev/ttyS0'")
	if _, err := conn.Write([]byte("me\n")); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, ctx, conn, "heard me")
	if log := s.run("virtbinder logs android"); !strings.Contains(log, "heard me") {
		s.t.Errorf("the console's log has\n%s", log)
	}
	hvc, err := net.Dial("unix", filepath.Join(s.dir, "hvc.sock"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer hvc.Close()
	if out, err := s.try("virtbinder exec android -- sh -c 'echo by hvc >/dev/hvc0'"); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	await(s.t, ctx, hvc, "by hvc")
	if log := s.run("virtbinder logs android --hvc 0"); !strings.Contains(log, "by hvc") {
		s.t.Errorf("hvc0's log has\n%s", log)
	}
}

// await reads until text has come.
func await(t *testing.T, ctx context.Context, conn net.Conn, text string) {
	t.Helper()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var seen []byte
	b := make([]byte, 1024)
	for !bytes.Contains(seen, []byte(text)) {
		n, err := conn.Read(b)
		seen = append(seen, b[:n]...)
		if err != nil {
			t.Fatalf("%v before %q came; there was\n%s", err, text, seen)
		}
	}
}

// panics: the machine that is left panics; its event and the process say so.
func (s *operator) panics(process *exec.Cmd) {
	s.t.Helper()
	var last api.Event
	ended := make(chan error, 1)
	c := s.client("other")
	go func() {
		ended <- c.Events(s.t.Context(), false, func(e api.Event) bool {
			last = e
			return true
		})
	}()
	s.run("virtbinder exec other -d -- sh -c 'echo c >/proc/sysrq-trigger'")
	if err := <-ended; err != nil || last.Kind != api.EventEnded || last.Exit != "panic" || last.Code != 4 {
		s.t.Errorf("%+v, %v", last, err)
	}
	_ = process.Wait()
	if code := process.ProcessState.ExitCode(); code != 4 {
		s.t.Errorf("the process ended with %d, not as its second machine did", code)
	}
	if left, err := filepath.Glob(filepath.Join(rundir.Base(), "*", "*.sock")); err != nil || len(left) > 0 {
		s.t.Errorf("left: %v, %v", left, err)
	}
}

// killed: what a killed process leaves is seen for what it is, and is in nobody's way.
func (s *operator) killed() {
	s.t.Helper()
	guest := filepath.Join(s.top, "build", "guest", "6.12")
	process := s.boot("--name", "killed", "-k", guest+"/vmlinuz", "-i", guest+"/initrd.cpio", "-m", "384M", "--console", "none")
	s.run("until virtbinder list | grep -q 'killed *running'; do sleep 1; done")
	if err := process.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = process.Wait()
	if out := s.run("virtbinder list"); !strings.Contains(out, "stale") {
		s.t.Errorf("the list is\n%s", out)
	}
	for _, command := range []string{"stop killed", "pause killed", "state killed", "cp killed:/x .", "console killed", "events"} {
		out, err := s.try("virtbinder " + command)
		if err == nil || !strings.Contains(out, "run") {
			s.t.Errorf("%s on a killed machine: %v\n%s", command, err, out)
		}
	}
	out, err := s.try("virtbinder boot --name killed -k /nonexistent --console none")
	if err == nil || !strings.Contains(out, "/nonexistent") {
		s.t.Errorf("%v\n%s", err, out)
	}
	if out := s.run("virtbinder list"); strings.Contains(out, "killed") {
		s.t.Errorf("the list still has it:\n%s", out)
	}
}
