// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"virtbinder/internal/rundir"
	"virtbinder/virtio"
	"virtbinder/vmm"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]uint64{
		"1G": 1 << 30, "512M": 512 << 20, "512m": 512 << 20, "2GiB": 2 << 30, "64MB": 64 << 20, "1024": 1 << 30, "1T": 1 << 40, "4096K": 4 << 20,
	} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "G", "1X", "-1G", "1.5G", "1GG", "99999999999T", "1iB", "1 G"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q was taken as %d", s, got)
		}
	}
}

// parse runs the command line through kong, as main does.
func parse(t *testing.T, args ...string) *Cmd {
	t.Helper()
	c := &Cmd{}
	p, err := kong.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestResolve(t *testing.T) {
	vm, err := parse(t, "-k", "vmlinuz", "-i", "initrd", "-p", "quiet", "-m", "2G", "-c", "4", "--doorbell", "worker", "--console", "file:/tmp/x").resolve()
	if err != nil {
		t.Fatal(err)
	}
	if vm.Memory != 2<<30 || vm.CPUs != 4 || vm.Inline || vm.where != consoleFile || vm.consPath != "/tmp/x" || vm.cmdline != "quiet" || vm.CID != 3 {
		t.Errorf("resolved to %+v", vm)
	}
	vm, err = parse(t, "-k", "vmlinuz").resolve()
	if err != nil || vm.Memory != 1<<30 || vm.CPUs != 1 || !vm.Inline || vm.where != consoleStdio || vm.Name != "vm" {
		t.Errorf("defaults are %+v, %v", vm, err)
	}
	for flag, args := range map[string][]string{
		"--memory":  {"-m", "much"},
		"--console": {"--console", "tty"},
		"--name":    {"--name", "../x"},
		"--cid":     {"--cid", "2"},
	} {
		if _, err := parse(t, append(args, "-k", "x")...).resolve(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%v: error %v does not name %s", args, err, flag)
		}
	}
}

// TestBuilderIsCleanedUp: what a builder opened is closed when the machine cannot
// be made, and the name is free again.
func TestBuilderIsCleanedUp(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	c := parse(t, "-k", "/nonexistent/vmlinuz", "--console", "none", "--name", "gone")
	closed := 0
	failed := errors.New("no such device")
	c.Build = func(vm VM) ([]virtio.Device, func() error, error) {
		if _, err := os.Stat(filepath.Join(vm.Dir, rundir.PIDFile)); err != nil {
			t.Errorf("the runtime directory is not ready: %v", err)
		}
		return nil, func() error { closed++; return nil }, failed
	}
	for range 2 {
		if exit, err := c.RunContext(t.Context(), os.Stdin, os.Stdout); !errors.Is(err, failed) || exit != vmm.Failed {
			t.Errorf("exit %v, error %v", exit, err)
		}
	}
	if closed != 2 {
		t.Errorf("closed %d times", closed)
	}
}

func TestClaim(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	if err := os.MkdirAll(rundir.VM("a"), 0o755); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(rundir.VM("a"), rundir.VsockSocket)
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := claim("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a socket of a dead VM was left")
	}
	if _, err := claim("a"); err == nil || !strings.Contains(err.Error(), "pid "+strconv.Itoa(os.Getpid())) || !strings.Contains(err.Error(), "--name") {
		t.Errorf("the second claim: %v", err)
	}
	other, err := claim("b")
	if err != nil {
		t.Errorf("another name: %v", err)
	} else {
		other.release()
	}
	first.release()
	again, err := claim("a")
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again.release()
	if _, err := os.Stat(filepath.Join(rundir.VM("a"), rundir.PIDFile)); err == nil {
		t.Error("the pid file was left")
	}
}

func TestEscapes(t *testing.T) {
	for typed, want := range map[string]string{
		"plain": "plain", "\x01\x01": "\x01", "a\x01cb": "a\x03b", "\x01q": "q", "\x01x": "[stop]", "ab\x01": "ab",
	} {
		for _, step := range []int{1, 64} {
			var got bytes.Buffer
			r := &escapeReader{r: strings.NewReader(typed), stop: func() { got.WriteString("[stop]") }}
			buf := make([]byte, step)
			for {
				n, err := r.Read(buf)
				got.Write(buf[:n])
				if err == io.EOF {
					break
				}
			}
			if got.String() != want {
				t.Errorf("%q by %d arrives as %q, want %q", typed, step, got.String(), want)
			}
		}
	}
}

// TestLogIsCapped: the beginning is kept, the rest is dropped with one notice.
func TestLogIsCapped(t *testing.T) {
	var kept bytes.Buffer
	w := &cappedWriter{w: &kept, left: 10}
	for range 5 {
		if n, err := w.Write([]byte("12345678")); n != 8 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if got := kept.String(); !strings.HasPrefix(got, "1234567812\r\n[") || strings.Count(got, "full") != 1 {
		t.Errorf("kept %q", got)
	}
}

func TestExitCodes(t *testing.T) {
	seen := map[int]vmm.Exit{}
	for _, e := range []vmm.Exit{vmm.Poweroff, vmm.Failed, vmm.Reboot, vmm.Panic, vmm.TripleFault, vmm.Stopped} {
		code := ExitCode(e)
		if other, taken := seen[code]; taken {
			t.Errorf("%v and %v share exit code %d", e, other, code)
		}
		seen[code] = e
	}
	if err := exitError("x", vmm.Poweroff); err != nil {
		t.Errorf("power off is an error: %v", err)
	}
	var coder kong.ExitCoder
	if err := exitError("x", vmm.Panic); !errors.As(err, &coder) || coder.ExitCode() != 4 {
		t.Errorf("panic gives %v", err)
	}
}

// openPTY returns both ends of a terminal.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

const (
	childVar   = "VIRTBINDER_TEST_TERMINAL_CHILD"
	childReady = "terminal is raw\n"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(childVar); how != "" {
		terminalChild(how)
	}
	os.Exit(m.Run())
}

// terminalChild takes the terminal as boot does, and ends in one of its ways.
func terminalChild(how string) {
	ctx, stop := catchSignals()
	_, closeConsole, err := openConsole(VM{where: consoleStdio}, os.Stderr, os.Stdin, os.Stdout)
	if err != nil {
		os.Exit(99)
	}
	_, _ = os.Stderr.WriteString(childReady)
	func() {
		defer func() { _ = recover() }()
		defer stop()
		defer closeConsole()
		if how == "panic" {
			panic("a device failed")
		}
		<-ctx.Done()
		if how == "stuck" {
			_, _ = os.Stderr.WriteString("stuck\n")
			select {}
		}
	}()
	os.Exit(0)
}

// TestTerminalRestored goes through the ways out and looks at the terminal after
// each.
func TestTerminalRestored(t *testing.T) {
	for _, c := range []struct {
		name, how string
		signals   []syscall.Signal
		code      int
	}{
		{"ctrl-c", "orderly", []syscall.Signal{syscall.SIGINT}, 0},
		{"SIGTERM", "orderly", []syscall.Signal{syscall.SIGTERM}, 0},
		{"second ctrl-c", "stuck", []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, 130},
		{"SIGTERM after ctrl-c", "stuck", []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, 143},
		{"panic", "panic", nil, 0},
		{"SIGQUIT", "orderly", []syscall.Signal{syscall.SIGQUIT}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, tty := openPTY(t)
			before := termios(t, tty)
			stderr, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), childVar+"="+c.how)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, w
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			text := newWatch(stderr)
			text.await(t, childReady)
			for i, s := range c.signals {
				if i > 0 {
					text.await(t, "stuck")
				} else if raw := termios(t, tty); raw.Lflag&(unix.ECHO|unix.ICANON) != 0 || raw.Lflag&unix.ISIG == 0 {
					t.Errorf("not raw, or ctrl-c is not ours: %#x", raw.Lflag)
				}
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			text.drain()
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, text.seen)
			}
			if after := termios(t, tty); after != before {
				t.Errorf("the terminal is left as %+v, was %+v", after, before)
			}
		})
	}
}

// watch reads a child's messages.
type watch struct {
	r    io.Reader
	seen string
}

func newWatch(r io.Reader) *watch { return &watch{r: r} }

func (w *watch) await(t *testing.T, text string) {
	t.Helper()
	buf := make([]byte, 256)
	for !strings.Contains(w.seen, text) {
		n, err := w.r.Read(buf)
		w.seen += string(buf[:n])
		if err != nil {
			t.Fatalf("the child ended before it said %q: %v\n%s", text, err, w.seen)
		}
	}
}

func (w *watch) drain() {
	rest, _ := io.ReadAll(w.r)
	w.seen += string(rest)
}
