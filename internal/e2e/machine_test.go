// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/internal/lab"
	"virtbinder/internal/rundir"
)

// machineTime bounds what is waited for of a guest. The nested lab on a loaded
// machine is slow; that is no failure.
const machineTime = 10 * time.Minute

const quietCmdline = "quiet panic=-1 mitigations=off cryptomgr.notests random.trust_cpu=on"

// TestMachine boots what a user would: a stock Debian from a disk, with a network and
// a console to log in on, and Android's boot images.
func TestMachine(t *testing.T) {
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	dir, clock := filepath.Join(top, "build", "e2e", "machine"), program(t, "clock", "./internal/e2e/clock")
	if !inLab() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		shell(t, "cp", "--sparse=always", filepath.Join(top, "build", "debian", "root.ext4"), filepath.Join(dir, "root.ext4"))
		makeAndroidImages(t, top, dir)
	}
	onLabHost(t, "6.12", func(t *testing.T) {
		t.Run("Debian", func(t *testing.T) { testDebian(t, top, dir) })
		t.Run("AndroidImages", func(t *testing.T) { testAndroidImages(t, dir, clock) })
		t.Run("Ends", func(t *testing.T) { testEnds(t, top) })
	})
}

func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// process is a running `virtbinder boot`.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	log   bytes.Buffer // of the process; to be read after ended
	ended chan struct{}
	ctx   context.Context // ends with the process too
}

func startMachine(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startMachineWith(t, nil, name, args...)
}

// startMachineWith has the process inherit files, from descriptor 3 on; ours are closed.
func startMachineWith(t *testing.T, files []*os.File, name string, args ...string) *process {
	t.Helper()
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, ended: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(top, "build", "bin", "virtbinder"), append([]string{"boot", "--name", name, "--reports", "off"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = &p.log, &p.log, files
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), machineTime)
	p.ctx = ctx
	go func() { _ = p.cmd.Wait(); close(p.ended); cancel() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
		if t.Failed() {
			t.Logf("virtbinder boot said:\n%s", &p.log)
			t.Logf("the guest printed:\n%s", p.serialLog())
		}
	})
	return p
}

// serialLog is what is kept of the serial console, whatever it leads to.
func (p *process) serialLog() []byte {
	b, err := os.ReadFile(filepath.Join(rundir.VM(p.name), rundir.ConsoleLog))
	if err != nil {
		p.t.Error(err)
	}
	return b
}

// signal sends the process a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// command runs another virtbinder command.
func (p *process) command(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), machineTime) // which may outlive the machine
	defer cancel()
	out, err := exec.CommandContext(ctx, p.cmd.Path, args...).CombinedOutput()
	return string(out), err
}

// exits waits for the end of the process.
func (p *process) exits(want int) {
	p.t.Helper()
	<-p.ended
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Errorf("exit code %d, want %d", got, want)
	}
}

// terminal is somebody at a console.
type terminal struct {
	t    *testing.T
	conn net.Conn
	seen []byte // and not looked at yet
}

// connect goes to a console's socket.
func (p *process) connect(path string) *terminal {
	p.t.Helper()
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			p.t.Cleanup(func() { conn.Close() })
			context.AfterFunc(p.ctx, func() { conn.Close() })
			return &terminal{t: p.t, conn: conn}
		}
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("no console: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// await reads until something matches, and returns its groups.
func (c *terminal) await(pattern string) [][]byte {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	buf := make([]byte, 4096)
	for {
		if m := re.FindSubmatchIndex(c.seen); m != nil {
			var groups [][]byte
			for i := 0; i < len(m); i += 2 {
				groups = append(groups, bytes.Clone(c.seen[m[i]:m[i+1]]))
			}
			c.seen = c.seen[m[1]:]
			return groups
		}
		n, err := c.conn.Read(buf)
		c.seen = append(c.seen, buf[:n]...)
		if err != nil {
			c.t.Fatalf("the console ended (%v) before %q; it shows:\n%s", err, pattern, c.seen)
		}
	}
}

func (c *terminal) types(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// run runs a command line in the guest's shell, which must succeed, and returns what
// it printed.
func (c *terminal) run(line string) string {
	c.t.Helper()
	c.types(line + "\n echo \"=$?=\"\n")
	m := c.await(`(?s)(.*)=(\d+)=\r?\n`)
	if out := strings.ReplaceAll(string(m[1]), "\r", ""); string(m[2]) == "0" {
		return strings.TrimSpace(out)
	}
	c.t.Fatalf("%s: %s", line, m[0])
	return ""
}

// login logs in as root, makes the shell plain and keeps the kernel's messages off
// the console.
func (c *terminal) login() {
	c.t.Helper()
	c.await(`login: `)
	c.types("root\n")
	c.await(`# `)
	c.types("dmesg -n 1; stty -echo; PS1=; PS2=; bind 'set enable-bracketed-paste off'; echo rea\"\"dy\n")
	c.await("ready\r?\n")
}

// hostAddress is one that only the lab's host has, besides its loopback.
const hostAddress = "10.99.0.1"

func testDebian(t *testing.T, top, dir string) {
	shell(t, "ip", "link", "set", "lo", "up")
	shell(t, "ip", "address", "replace", hostAddress+"/32", "dev", "lo")
	debian := filepath.Join(top, "build", "debian")
	data, readonly := filepath.Join(dir, "data.raw"), filepath.Join(dir, "readonly.raw")
	for _, path := range []string{data, readonly} {
		if err := os.WriteFile(path, bytes.Repeat([]byte("0123456789abcdef"), 1<<16), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "hvc")
	forward := freePort(t)
	inherited := makeTaps(t)
	p := startMachineWith(t, []*os.File{inherited}, "debian", "-k", filepath.Join(debian, "vmlinuz"), "-i", filepath.Join(debian, "initrd.img"), "-m", "512M",
		"-p", "root=/dev/vda rw console=ttyS0 console=hvc0 "+strings.TrimPrefix(quietCmdline, "quiet "),
		"-d", filepath.Join(dir, "root.ext4"), "-d", data, "-d", readonly+",readonly",
		"--net", fmt.Sprintf("user,forward=tcp:127.0.0.1:%d:7", forward),
		"--net", "tap="+tapByName.name+",mac="+tapByName.mac, "--net", "fd=3,mac="+tapByFD.mac, "--console", "file:"+filepath.Join(dir, "debian-serial.txt"), "--console", "hvc=unix:"+socket)
	c := p.connect(socket)
	c.login()
	checkDriver(c)
	checkDisks(c)
	checkUserNetwork(t, c, forward)
	tapByName.check(t, c)
	tapByFD.check(t, c)
	checkMetrics(t, top, p)
	if out, err := p.command("stop", p.name, "--timeout", machineTime.String()); err != nil || out != "debian: poweroff\n" { // it has no agent of ours
		t.Errorf("%v\n%s", err, out)
	}
	p.exits(0)
	wasRefusedNothing(t)
	serial, err := os.ReadFile(filepath.Join(dir, "debian-serial.txt"))
	if err != nil || !bytes.Contains(serial, []byte("Linux version ")) || !bytes.Equal(serial, p.serialLog()) {
		t.Errorf("early boot is not in the serial console's file, or its log has something else: %v, %.500s", err, serial)
	}
	got, err := os.ReadFile(data)
	if err != nil || !bytes.HasPrefix(got[1<<19:], bytes.Repeat([]byte("W"), 4096)) || !bytes.HasPrefix(got, []byte("0123456789abcdef")) {
		t.Errorf("what the guest wrote is not on the disk: %.32q, %v", got[1<<19:], err)
	}
}

// expects runs command lines, in turn, and compares what they print.
func (c *terminal) expects(lines [][2]string) {
	c.t.Helper()
	for _, l := range lines {
		if got := c.run(l[0]); got != l[1] {
			c.t.Errorf("%s: %q, want %q", l[0], got, l[1])
		}
	}
}

// checkDriver looks at our driver, which udev has loaded, the clock and the random
// numbers.
func checkDriver(c *terminal) {
	c.t.Helper()
	kernel := c.run("udevadm settle; uname -r")
	c.expects([][2]string{
		{"grep -o '^virtbinder ' /proc/modules", "virtbinder"},
		{"modinfo -n virtbinder", "/lib/modules/" + kernel + "/updates/virtbinder.ko"},
		{"stat -c %F /dev/binder", "character special file"},
		{"cat /sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock"},
		{"cat /sys/class/misc/hw_random/rng_current", "virtio_rng.0"},
		{"dd if=/dev/hwrng bs=64 count=1 iflag=fullblock 2>/dev/null | wc -c", "64"},
	})
}

// checkDisks reads and writes; vdb is ours to write, vdc is not.
func checkDisks(c *terminal) {
	c.t.Helper()
	c.expects([][2]string{
		{"cat /sys/block/vda/serial /sys/block/vdb/serial /sys/block/vdc/serial", "disk0disk1disk2"},
		{"cat /sys/block/vdb/ro /sys/block/vdc/ro", "0\n1"},
		{"cat /sys/block/vdb/size", "2048"},
		{"cat /sys/block/vdb/queue/write_cache", "write back"},
		{"dd if=/dev/vdc bs=16 count=1 skip=100 2>/dev/null", "0123456789abcdef"},
		{"dd if=/dev/zero of=/dev/vdc bs=512 count=1 2>/dev/null; echo $?", "1"},
		{"head -c 4096 /dev/zero | tr '\\0' W | dd of=/dev/vdb bs=4096 seek=128 oflag=direct conv=fsync,notrunc 2>/dev/null; echo $?", "0"},
		{"dd if=/dev/vdb bs=4096 skip=128 count=1 iflag=direct 2>/dev/null | tr -d W | wc -c", "0"},
	})
}

// checkUserNetwork makes a connection from the guest to the host's address, and one
// from the host through the forward to a service in the guest.
func checkUserNetwork(t *testing.T, c *terminal, forward int) {
	t.Helper()
	c.run("until grep -q 192.168.127.2 /proc/net/fib_trie; do sleep 0.2; done")
	guestConnects(t, c, hostAddress)
	echoes(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(forward)))
}

// freePort finds a port to listen on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// makeAndroidImages packs our guest as Android does: its file system is vendor_boot's,
// its init and modules are the generic ramdisk.
func makeAndroidImages(t *testing.T, top, dir string) {
	t.Helper()
	guest := filepath.Join(top, "build", "guest", "6.12")
	config := filepath.Join(dir, "bootconfig")
	if err := os.WriteFile(config, []byte("androidboot.hardware=virtbinder\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(top, "build", "images", "mkbootimg", "usr", "bin", "mkbootimg")
	shell(t, "python3", tool, "--header_version", "4", "--kernel", filepath.Join(guest, "vmlinuz"), "--ramdisk", filepath.Join(guest, "overlay.cpio"),
		"--cmdline", "generic.word=1", "--output", filepath.Join(dir, "boot.img"))
	shell(t, "python3", tool, "--header_version", "4", "--vendor_ramdisk", filepath.Join(top, "build", "images", "android", "base.cpio"),
		"--vendor_bootconfig", config, "--vendor_cmdline", "vendor.word=2 "+quietCmdline, "--vendor_boot", filepath.Join(dir, "vendor_boot.img"))
}

// testAndroidImages boots them with four vCPUs, more than the lab's host has.
func testAndroidImages(t *testing.T, dir, clock string) {
	p := startMachine(t, "android-images", "--android-boot", filepath.Join(dir, "boot.img"), "--vendor-boot", filepath.Join(dir, "vendor_boot.img"),
		"-p", "console=ttyS0 our.word=3", "-m", "512M", "-c", "4", "--affinity", "0", "--affinity", "0", "--console", "none")
	agent, err := agentclient.Wait(p.ctx, filepath.Join(rundir.VM("android-images"), rundir.VsockSocket))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	exit, err := agent.Exec(p.ctx, agentclient.Cmd{Path: "cat", Args: []string{"/proc/cmdline", "/sys/devices/system/cpu/online"}, Stdout: &out, Stderr: &out})
	if err != nil || exit != 0 {
		t.Fatalf("exit %d, %v: %s", exit, err, &out)
	}
	want := "generic.word=1 vendor.word=2 " + quietCmdline + " bootconfig console=ttyS0 our.word=3\n0-3\n"
	if got := out.String(); !strings.HasSuffix(got, want) {
		t.Errorf("command line and processors are %q, want %q", got, want)
	}
	checkClock(p, agent, clock)
}

// checkClock: every processor shows the same time, from its TSC, and the kernel has
// found none that is ahead of another. (What its watchdog says of a TSC is about the
// time between two readings too, and so about the load here.)
func checkClock(p *process, agent *agentclient.Client, clock string) {
	p.t.Helper()
	f, err := os.Open(clock)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	const script = `set -e
cat >/tmp/clock; chmod 755 /tmp/clock; /tmp/clock
cat /sys/devices/system/clocksource/clocksource0/current_clocksource
dmesg | grep -i -E 'tsc|clocksource' >&2`
	var out, log bytes.Buffer
	exit, err := agent.Exec(p.ctx, agentclient.Cmd{Path: "sh", Args: []string{"-c", script}, Stdin: f, Stdout: &out, Stderr: &log})
	if got, want := out.String(), "4 processors, one clock\nkvm-clock\n"; err != nil || exit != 0 || got != want {
		p.t.Errorf("exit %d, %v; %q, want %q", exit, err, got, want)
	}
	for _, complaint := range []string{"warp", "Marking TSC unstable"} {
		if strings.Contains(log.String(), complaint) {
			p.t.Errorf("the guest's kernel complains of its clock:\n%s", &log)
		}
	}
	p.t.Logf("of its clock the guest's kernel says:\n%s", &log)
}
