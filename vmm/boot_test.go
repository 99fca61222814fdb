// SPDX-License-Identifier: Apache-2.0

//go:build guest

package vmm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// The tests under this build tag boot real guests. They need a usable /dev/kvm and, in
// VIRTBINDER_TEST_KERNELS, guest kernels (paths, separated by colons); TestVMM of
// package e2e gives them both. The guest's init is this test program itself.

const kernelsVar = "VIRTBINDER_TEST_KERNELS"

func TestMain(m *testing.M) {
	if os.Getpid() == 1 {
		guestInit()
	}
	os.Exit(m.Run())
}

// guestInit is PID 1 of the test guests: it does what the command line's
// "test=" says.
func guestInit() {
	for dir, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs"} {
		_ = os.MkdirAll(dir, 0o755)
		_ = syscall.Mount(kind, dir, kind, 0, "")
	}
	con, err := os.OpenFile("/dev/ttyS0", os.O_RDWR, 0)
	if err != nil {
		con = os.Stdout
	}
	cmdline, _ := os.ReadFile("/proc/cmdline")
	_, what, _ := strings.Cut(string(cmdline), "test=")
	what, _, _ = strings.Cut(strings.TrimSpace(what), " ")
	fmt.Fprintf(con, "init: up, test %s\n", what)
	guestTest(con, what)
	fmt.Fprintln(con, "init: nothing more to do")
	select {}
}

func guestTest(con *os.File, what string) {
	switch what {
	case "reboot":
		guestEnd(con, syscall.LINUX_REBOOT_CMD_RESTART)
	case "panic":
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "pvpanic":
		if err := guestInsmod("pvpanic", "pvpanic-mmio"); err != nil {
			fmt.Fprintf(con, "init: FAILED: %v\n", err)
		}
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "report":
		guestReport(con)
		guestEnd(con, syscall.LINUX_REBOOT_CMD_POWER_OFF)
	case "virtio":
		guestVirtio(con)
		guestEnd(con, syscall.LINUX_REBOOT_CMD_POWER_OFF)
	case "echo":
		fmt.Fprintln(con, "init: say something")
		line, err := bufio.NewReader(con).ReadString('\n')
		fmt.Fprintf(con, "init: heard %q %v\n", strings.TrimSpace(line), err)
		guestEnd(con, syscall.LINUX_REBOOT_CMD_POWER_OFF)
	case "flood":
		w := bufio.NewWriter(con)
		for i := range floodLines {
			fmt.Fprintf(w, "flood %04d %s\n", i, floodText)
		}
		w.Flush()
		guestEnd(con, syscall.LINUX_REBOOT_CMD_POWER_OFF)
	}
}

// guestInsmod loads modules that moduleRecords put into the initramfs.
func guestInsmod(names ...string) error {
	for _, name := range names {
		path, flags := "/"+name+".ko", 0
		f, err := os.Open(path)
		if os.IsNotExist(err) {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
			f, err = os.Open(path + ".xz")
		}
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", flags)
		f.Close()
		if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// guestEnd ends the guest, once what it printed is out.
func guestEnd(con *os.File, how int) {
	_ = unix.IoctlSetInt(int(con.Fd()), unix.TCSBRK, 1) // tcdrain
	_ = syscall.Reboot(how)
}

const (
	floodLines = 200
	floodText  = "the quick brown fox jumps over the lazy dog"
)

// guestReport prints what the kernel made of the machine.
func guestReport(con io.Writer) {
	fmt.Fprintf(con, "report: cpus %d\n", runtime.NumCPU())
	for _, f := range []string{
		"/sys/devices/system/clocksource/clocksource0/current_clocksource",
		"/sys/devices/system/cpu/online",
		"/proc/interrupts", "/proc/iomem",
		"/sys/bus/pci/devices/0000:00:00.0/class",
	} {
		b, err := os.ReadFile(f)
		if err != nil {
			fmt.Fprintf(con, "report: %v\n", err)
			continue
		}
		for line := range strings.Lines(string(b)) {
			fmt.Fprintf(con, "report: %s: %s\n", filepath.Base(f), strings.TrimSpace(line))
		}
	}
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "flags") || strings.HasPrefix(line, "apicid") || strings.HasPrefix(line, "core id") || strings.HasPrefix(line, "cpu cores") {
			fmt.Fprintf(con, "report: cpuinfo: %s", line)
		}
	}
}

// testKernels returns the guest kernels.
func testKernels(t *testing.T) []string {
	t.Helper()
	list := os.Getenv(kernelsVar)
	if list == "" {
		t.Fatalf("%s is not set: go test -tags e2e -run TestVMM ./internal/e2e", kernelsVar)
	}
	return strings.Split(list, ":")
}

// makeInitrd writes an initramfs whose /init is this program.
func makeInitrd(t *testing.T, more ...cpio.Record) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := cpio.Newc.Writer(&buf)
	for _, r := range append([]cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.StaticFile("init", string(self), 0o755),
	}, more...) {
		if err := w.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "initrd.cpio")
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// moduleRecords finds stock modules beside a guest kernel, where the images have
// them.
func moduleRecords(t *testing.T, kernel string, names ...string) (records []cpio.Record) {
	t.Helper()
	base := filepath.Join(filepath.Dir(kernel), "modules")
	for _, name := range names {
		for _, file := range []string{name + ".ko", name + ".ko.xz"} {
			found, _ := filepath.Glob(filepath.Join(base, "lib/modules/*/kernel/drivers/misc/*", file))
			for _, path := range found {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				records = append(records, cpio.StaticFile(file, string(b), 0o644))
			}
		}
	}
	if len(records) != len(names) {
		t.Fatalf("no modules %v under %s", names, base)
	}
	return records
}

// transcript is a console that remembers, and can wait for a text.
type transcript struct {
	mu   sync.Mutex
	cond sync.Cond
	buf  bytes.Buffer
	tee  io.Writer
}

func newTranscript() *transcript {
	tr := &transcript{}
	tr.cond.L = &tr.mu
	if testing.Verbose() {
		tr.tee = os.Stdout
	}
	return tr
}

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.buf.Write(p)
	tr.cond.Broadcast()
	if tr.tee != nil {
		_, _ = tr.tee.Write(p)
	}
	return len(p), nil
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.buf.String()
}

// await blocks until text was printed.
func (tr *transcript) await(text string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for !strings.Contains(tr.buf.String(), text) {
		tr.cond.Wait()
	}
}

// contextOnText returns a context that ends when the text was printed.
func contextOnText(t *testing.T, out *transcript, text string) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		out.await(text)
		cancel()
	}()
	return ctx, cancel
}

const testCmdline = "console=ttyS0 panic=-1 quiet mitigations=off cryptomgr.notests random.trust_cpu=on test="

// boot runs a guest to its end.
func boot(t *testing.T, cfg Config) (Exit, string) {
	t.Helper()
	out := newTranscript()
	cfg.Name = "test"
	cfg.Console.Out = []io.Writer{out}
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = 256 << 20
	}
	if cfg.CPUs == 0 {
		cfg.CPUs = 1
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stdout, nil))
	files := openFiles(t)
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := m.Run(context.Background())
	if err != nil {
		t.Errorf("run: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if left := openFiles(t); left != files {
		t.Errorf("%d files are open after the machine, %d before", left, files)
	}
	return exit, out.String()
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestExits tells the ways a guest can end apart, but for the plain ones: package e2e
// has those, with exit codes.
func TestExits(t *testing.T) {
	kernels := testKernels(t)
	initrd := makeInitrd(t)
	for _, kernel := range kernels {
		for _, c := range []struct {
			name, test, extra string
			want              Exit
		}{
			{"reboot by port 0xcf9", "reboot", "reboot=p", Reboot},
			{"panic, by triple fault", "panic", "reboot=t", Panic},
			{"panic, standing still", "panic", "panic=0", Panic},
		} {
			t.Run(filepath.Base(filepath.Dir(kernel))+"/"+c.name, func(t *testing.T) {
				exit, out := boot(t, Config{Kernel: kernel, Initrd: initrd, Cmdline: testCmdline + c.test + " " + c.extra})
				if exit != c.want {
					t.Errorf("exit is %v, want %v", exit, c.want)
				}
				if !strings.Contains(out, "init: up, test "+c.test) {
					t.Errorf("the guest did not come to its init:\n%s", out)
				}
			})
		}
	}
}

// TestPanicDevice: a guest with the pvpanic driver is told from a reboot without
// any word on the console.
func TestPanicDevice(t *testing.T) {
	for _, kernel := range testKernels(t) {
		t.Run(filepath.Base(filepath.Dir(kernel)), func(t *testing.T) {
			initrd := makeInitrd(t, moduleRecords(t, kernel, "pvpanic", "pvpanic-mmio")...)
			exit, out := boot(t, Config{Kernel: kernel, Initrd: initrd, Cmdline: "panic=-1 mitigations=off test=pvpanic"})
			if exit != Panic || strings.Contains(out, panicMark) {
				t.Errorf("exit is %v; the guest said:\n%s", exit, out)
			}
		})
	}
}
