// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"virtbinder/internal/config"
	"virtbinder/internal/docs"
	"virtbinder/internal/machine"
	"virtbinder/vmm"
)

// parse runs the command line through kong, as main does.
func parse(t *testing.T, args ...string) *Command {
	t.Helper()
	c := &Command{}
	p, err := kong.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFlags(t *testing.T) {
	cfg, err := parse(t, "-k", "vmlinuz", "-i", "initrd", "-p", "quiet, please", "-m", "2G", "-c", "4", "--doorbell", "worker", "--console", "file:/tmp/x",
		"--console", "hvc=unix:/tmp/y=z", "-d", "a.img,ro", "-d", "b.img,direct", "-t", "tap0", "--net", "user,mac=52:54:00:00:00:01,forward=udp:[::1]:53:5353", "--net", "fd=5",
		"--affinity", "0,2-3", "--affinity", "1", "--no-entropy", "--no-sandbox", "--cid", "9", "--name", "x", "--reports", "off", "--plain-contexts",
		"--stop-timeout", "5s", "--log-format", "json", "--log-file", "l").resolve(levels(t, "warn,vmm=debug"))
	if err != nil {
		t.Fatal(err)
	}
	fd := 5
	want := config.Default()
	vm := config.DefaultVM()
	vm.Kernel, vm.Initrd, vm.Cmdline, vm.Memory, vm.CPUs, vm.Binder.Doorbell = "vmlinuz", "initrd", "quiet, please", 2<<30, 4, config.Worker
	vm.Consoles = []config.Console{{Type: config.Serial, To: config.File, Path: "/tmp/x"}, {Type: config.HVC, To: config.Unix, Path: "/tmp/y=z"}}
	vm.Disks = []config.Disk{{Path: "a.img", ReadOnly: true}, {Path: "b.img", Direct: true}}
	vm.Net = []config.Net{{Tap: "tap0"}, {User: &config.UserNet{Forwards: []config.Forward{{Proto: "udp", Host: "[::1]:53", Guest: 5353}}}, MAC: "52:54:00:00:00:01"}, {TapFD: &fd}}
	vm.Affinity, vm.Entropy, vm.Vsock.CID, vm.Name = [][]int{{0, 2, 3}, {1}}, false, 9, "x"
	vm.Netlink, vm.Timeouts.Stop = config.Netlink{Reports: "off", PlainContexts: true}, config.Duration(5*time.Second)
	want.VMs, want.Sandbox = []config.VM{vm}, false
	want.Log = config.Log{Level: config.Level(slog.LevelWarn), Levels: map[string]config.Level{"vmm": config.Level(slog.LevelDebug)}, Format: config.JSON, File: "l"}
	if d := cmp.Diff(want, cfg); d != "" {
		t.Error(d)
	}
}

func levels(t *testing.T, text string) *config.Levels {
	t.Helper()
	l := new(config.Levels)
	if err := l.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestBadFlags: the error names the flag.
func TestBadFlags(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--kernel: no kernel is given", nil},
		{"--memory: 3M: from 64M", []string{"-m", "3M"}},
		{"--cpus: 0: from 1", []string{"-c", "0"}},
		{"--name: VM name", []string{"--name", "../x"}},
		{"--cid: 2: a guest's", []string{"--cid", "2"}},
		{`--doorbell: "bell": want inline, worker`, []string{"--doorbell", "bell"}},
		{"--reports:", []string{"--reports", "loud"}},
		{`--console (number 2) to: "tty": want stdio`, []string{"--console", "none", "--console", "hvc=tty"}},
		{"--console (number 1) path: is missing", []string{"--console", "file"}},
		{`--disk "x,rw": "rw": there are readonly and direct`, []string{"-d", "x,rw"}},
		{"--disk (number 1) path: is missing", []string{"-d", ",ro"}},
		{`--net "bridge": "bridge": there are tap=`, []string{"--net", "bridge"}},
		{"--net (number 1): 0 of tap, tap_fd and user", []string{"--net", "mac=52:54:00:00:00:01"}},
		{`--net "user,forward=tcp:80": forward=tcp:80: want PROTO`, []string{"--net", "user,forward=tcp:80"}},
		{`--net "fd=x": fd=x: want a number`, []string{"--net", "fd=x"}},
		{"--net (number 1) mac:", []string{"--net", "user,mac=1"}},
		{`--affinity "3-1": "3-1": want numbers`, []string{"--affinity", "3-1"}},
		{"--affinity: 2 lists for 1 vCPUs", []string{"--affinity", "1", "--affinity", "1"}},
		{`--log-format: "xml": want text, json`, []string{"--log-format", "xml"}},
		{"--kernel: given together with android.boot", []string{"--android-boot", "b", "-k", "x"}},
		{"--android-boot: no image", []string{"--vendor-boot", "b"}},
		{"no.yaml: no such file", []string{"--config", "no.yaml"}},
	} {
		args := c.args
		if strings.HasPrefix(c.want, "--") && !strings.HasPrefix(c.want, "--kernel: no") && !strings.HasPrefix(c.want, "--android") {
			args = append([]string{"-k", "x"}, args...)
		}
		if _, err := parse(t, args...).resolve(nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %s", args, err, c.want)
		}
	}
	p, err := kong.New(&Command{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse([]string{"-k", "x", "-m", "much"}); err == nil || !strings.Contains(err.Error(), "--memory") || !strings.Contains(err.Error(), "want a number and a unit") {
		t.Errorf("-m much: %v", err)
	}
}

// TestFile: flags win over the file, and its errors name its lines.
func TestFile(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "m.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := file("vms:\n- kernel: k\n  memory: 512M\n  disks: [{path: a}]\nlog: {level: error}\n")
	cfg, err := parse(t, "--config", one, "-m", "256M", "-d", "b").resolve(nil)
	if vm := cfg.VMs[0]; err != nil || vm.Kernel != "k" || vm.Memory != 256<<20 || len(vm.Disks) != 1 || vm.Disks[0].Path != "b" || cfg.Log.Level != config.Level(slog.LevelError) {
		t.Errorf("%+v, %v", cfg, err)
	}
	two := file("vms:\n- {kernel: k, name: a}\n- {kernel: k, name: b}\n")
	if cfg, err := parse(t, "--config", two, "--no-sandbox").resolve(nil); err != nil || cfg.Sandbox || cfg.UsesStdio() {
		t.Errorf("%+v, %v", cfg, err)
	}
	if _, err := parse(t, "--config", two, "-m", "1G").resolve(nil); err == nil || !strings.Contains(err.Error(), "describes 2 machines") {
		t.Error(err)
	}
	bad := file("vms:\n- kernel: k\n  cpus: 0\n")
	if _, err := parse(t, "--config", bad).resolve(nil); err == nil || err.Error() != bad+":3: vms[0].cpus: 0: from 1 to 254" {
		t.Error(err)
	}
}

// TestDryRun: what it prints, in either form, is what would be booted.
func TestDryRun(t *testing.T) {
	var yaml, js bytes.Buffer
	c := parse(t, "--dry-run", "-k", "k", "-m", "2G")
	c.Stdout = &yaml
	if err := c.Run(nil); err != nil {
		t.Fatal(err)
	}
	again, _, err := config.Parse("printed", yaml.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want, err := c.resolve(nil)
	if d := cmp.Diff(want, again); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	c = parse(t, "--dry-run", "--json", "-k", "k", "-m", "2G")
	c.Stdout = &js
	if err := c.Run(nil); err != nil {
		t.Fatal(err)
	}
	if again, _, err = config.Parse("printed", js.Bytes()); err != nil || cmp.Diff(want, again) != "" { // JSON is YAML
		t.Errorf("%v\n%s", err, js.Bytes())
	}
}

// TestExamples: every command line in boot.md and in the help is one that boot takes.
func TestExamples(t *testing.T) {
	pages, err := docs.Blocks("boot.md", "sh")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d examples, %v", len(pages), err)
	}
	text := Command{}.Help()
	for _, b := range pages {
		text += "\n" + b.Text
	}
	n := 0
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "virtbinder ") || strings.Contains(line, "--config") {
			continue
		}
		n++
		line, _, _ = strings.Cut(line, "   ") // what the help says of it
		words, err := exec.Command("sh", "-c", "for w in "+line+`; do printf '%s\n' "$w"; done`).Output()
		if err != nil {
			t.Fatal(err)
		}
		var main struct {
			LogLevel *config.Levels
			Boot     Command `cmd:""`
		}
		p, err := kong.New(&main)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = p.Parse(strings.Split(strings.TrimSpace(string(words)), "\n")[1:]); err == nil {
			_, err = main.Boot.resolve(main.LogLevel)
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if n < 10 {
		t.Errorf("%d examples were found", n)
	}
}

// TestOutcome: the first machine that did not power off decides.
func TestOutcome(t *testing.T) {
	if err := outcome([]machine.End{{VM: "a", Exit: vmm.Poweroff}}); err != nil {
		t.Errorf("power off is an error: %v", err)
	}
	err := outcome([]machine.End{{VM: "a", Exit: vmm.Poweroff}, {VM: "b", Exit: vmm.Panic}, {VM: "c", Exit: vmm.Failed, Err: errors.New("no luck")}})
	var coder kong.ExitCoder
	if !errors.As(err, &coder) || coder.ExitCode() != 4 || err.Error() != "VM b: the guest's kernel panicked\nVM c: no luck" {
		t.Errorf("%v", err)
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
	closeConsole, err := useTerminal(&machine.Host{}, os.Stdin, os.Stdout)
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
