// SPDX-License-Identifier: Apache-2.0

//go:build guest

package vmm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/virtio"
)

// echoConsole is a virtio console (id 3, whose driver is built into Debian's
// 6.12) that sends back what it gets, in capitals. With it goes a region of
// shared memory of the binder window's size, which the guest maps through sysfs.
type echoConsole struct {
	shared *os.File

	mu     sync.Mutex
	act    virtio.Activation
	active bool
	kicks  int
	resets int
}

const (
	virtioConsole = 3
	windowSize    = 8 << 30
	windowMark    = 7<<30 + 4096 // where the test writes in the window
)

func newEchoConsole(t *testing.T) *echoConsole {
	t.Helper()
	fd, err := unix.MemfdCreate("test-window", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "test-window")
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(windowSize); err != nil {
		t.Fatal(err)
	}
	return &echoConsole{shared: f}
}

func (e *echoConsole) Type() uint16                     { return virtioConsole }
func (e *echoConsole) Features() uint64                 { return 0 }
func (e *echoConsole) QueueSizes() []uint16             { return []uint16{64, 64} }
func (e *echoConsole) ReadConfig(off uint32, p []byte)  {}
func (e *echoConsole) WriteConfig(off uint32, p []byte) {}
func (e *echoConsole) SharedMemory() []virtio.SharedMemory {
	return []virtio.SharedMemory{{ID: 1, Size: windowSize, File: e.shared}}
}

func (e *echoConsole) Activate(a virtio.Activation) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.act, e.active = a, true
	return nil
}

func (e *echoConsole) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active = false
	e.resets++
}

func (e *echoConsole) Notify(queue int) {
	const receive, transmit = 0, 1
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kicks++
	if queue != transmit || !e.active {
		return
	}
	var out, in virtio.Chain
	for {
		ok, err := e.act.Queues[transmit].Pop(&out)
		if !ok || err != nil {
			break
		}
		text := make([]byte, out.Readable())
		if err := out.ReadAt(text, 0); err != nil {
			e.act.Fail(err)
			return
		}
		e.act.Queues[transmit].Push(&out, 0)
		if ok, err := e.act.Queues[receive].Pop(&in); !ok || err != nil {
			continue
		}
		text = bytes.ToUpper(text)
		if err := in.WriteAt(text, 0); err != nil {
			e.act.Fail(err)
			return
		}
		e.act.Queues[receive].Push(&in, uint32(len(text)))
		e.act.Queues[receive].Interrupt()
	}
	e.act.Queues[transmit].Interrupt()
}

// guestVirtio is the guest's half: text through the console, and bytes through
// the shared memory both ways.
func guestVirtio(con *os.File) {
	if err := guestEcho(con); err != nil {
		fmt.Fprintf(con, "virtio: FAILED: %v\n", err)
	}
	if err := guestWindow(con); err != nil {
		fmt.Fprintf(con, "window: FAILED: %v\n", err)
	}
}

func guestEcho(con *os.File) error {
	hvc, err := os.OpenFile("/dev/hvc0", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	fd := int(hvc.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Lflag &^= unix.ECHO | unix.ICANON
	t.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return err
	}
	for i := range echoRounds {
		text := fmt.Sprintf("round %d over the ring", i)
		if _, err := hvc.WriteString(text); err != nil {
			return err
		}
		got := make([]byte, 0, len(text))
		for len(got) < len(text) {
			n, err := hvc.Read(got[len(got):cap(got)])
			if err != nil {
				return err
			}
			got = got[:len(got)+n]
		}
		if string(got) != strings.ToUpper(text) {
			return fmt.Errorf("sent %q, got %q", text, got)
		}
	}
	fmt.Fprintf(con, "virtio: %d rounds\n", echoRounds)
	return nil
}

const echoRounds = 50

func guestWindow(con *os.File) error {
	resource := "/sys/bus/pci/devices/0000:00:01.0/resource4"
	for _, name := range []string{resource + "_wc", resource} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		defer f.Close()
		mem, err := unix.Mmap(int(f.Fd()), windowMark, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		fmt.Fprintf(con, "window: host wrote %q\n", mem[:4])
		copy(mem[8:], "L2!!")
		return nil
	}
	return fmt.Errorf("no %s", resource)
}

// TestVirtioDevice runs a device end to end in both doorbell modes: BARs placed,
// MSI-X delivered, kicks served, shared memory seen from both sides.
func TestVirtioDevice(t *testing.T) {
	kernel := testKernels(t)[0]
	initrd := makeInitrd(t)
	for cpus, inline := range map[int]bool{1: false, 2: true} {
		t.Run(fmt.Sprintf("inline=%v,cpus=%d", inline, cpus), func(t *testing.T) {
			dev := newEchoConsole(t)
			if _, err := dev.shared.WriteAt([]byte("HOST"), windowMark); err != nil {
				t.Fatal(err)
			}
			exit, out := boot(t, Config{
				Kernel: kernel, Initrd: initrd, Cmdline: testCmdline + "virtio", CPUs: cpus,
				Devices: []virtio.Device{dev}, Inline: inline,
			})
			if exit != Poweroff {
				t.Errorf("exit is %v", exit)
			}
			for _, want := range []string{fmt.Sprintf("virtio: %d rounds", echoRounds), `window: host wrote "HOST"`} {
				if !strings.Contains(out, want) {
					t.Errorf("the guest did not say %q:\n%s", want, out)
				}
			}
			got := make([]byte, 4)
			if _, err := dev.shared.ReadAt(got, windowMark+8); err != nil || string(got) != "L2!!" {
				t.Errorf("the guest's bytes in the window are %q, %v", got, err)
			}
			if dev.active || dev.resets == 0 {
				t.Errorf("the device was not reset at the end: active %v, %d resets", dev.active, dev.resets)
			}
			if least := map[bool]int{true: echoRounds, false: 1}[inline]; dev.kicks < least {
				t.Errorf("%d kicks for %d rounds, want %d at least", dev.kicks, echoRounds, least) // an eventfd may merge some
			}
		})
	}
}

// TestMachineReport looks at what the guest's kernel made of the machine: one with
// several processors, and memory on both sides of the hole below 4 GiB.
func TestMachineReport(t *testing.T) {
	const cpus = 4
	for _, kernel := range testKernels(t) {
		t.Run(filepath.Base(filepath.Dir(kernel)), func(t *testing.T) {
			exit, out := boot(t, Config{Kernel: kernel, Initrd: makeInitrd(t), Cmdline: testCmdline + "report", CPUs: cpus, MemoryBytes: 4 << 30})
			if exit != Poweroff {
				t.Errorf("exit is %v", exit)
			}
			for _, want := range []string{
				fmt.Sprintf("report: cpus %d", cpus),
				"report: current_clocksource: kvm-clock",
				"report: class: 0x060000",
				"report: cpuinfo: flags",
				" hypervisor",
				fmt.Sprintf("report: cpuinfo: cpu cores\t: %d", cpus),
				fmt.Sprintf("report: cpuinfo: apicid\t\t: %d", cpus-1),
				"ttyS0",
				"100000000-13fffffff : System RAM",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("the report does not have %q", want)
				}
			}
			if t.Failed() {
				t.Logf("the guest said:\n%s", out)
			}
		})
	}
}

// TestSerialConsole: much output arrives whole, and typed input reaches the guest.
func TestSerialConsole(t *testing.T) {
	kernel := testKernels(t)[0]
	initrd := makeInitrd(t)
	t.Run("output", func(t *testing.T) {
		_, out := boot(t, Config{Kernel: kernel, Initrd: initrd, Cmdline: testCmdline + "flood"})
		for i := range floodLines {
			if line := fmt.Sprintf("flood %04d %s\r\n", i, floodText); !strings.Contains(out, line) {
				t.Fatalf("line %d is missing or damaged", i)
			}
		}
	})
	t.Run("input", func(t *testing.T) {
		out := newTranscript()
		m, err := New(Config{
			Kernel: kernel, Initrd: initrd, Cmdline: testCmdline + "echo", MemoryBytes: 256 << 20, CPUs: 1,
			Console: Console{Out: []io.Writer{out}, In: &typist{out: out, after: "init: say something", text: "a line longer than the receive FIFO\r"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if exit, err := m.Run(t.Context()); exit != Poweroff || err != nil {
			t.Errorf("exit is %v, %v", exit, err)
		}
		if want := `init: heard "a line longer than the receive FIFO" <nil>`; !strings.Contains(out.String(), want) {
			t.Errorf("the guest did not say %q", want)
		}
	})
}

// typist types a text once it has read another.
type typist struct {
	out         *transcript
	after, text string
}

func (ty *typist) Read(p []byte) (int, error) {
	ty.out.await(ty.after)
	n := copy(p, ty.text)
	ty.text = ty.text[n:]
	if n == 0 {
		select {} // a terminal nobody types on
	}
	return n, nil
}

// TestStop: a running guest is stopped from outside, all its vCPUs kicked out.
func TestStop(t *testing.T) {
	kernel := testKernels(t)[0]
	out := newTranscript()
	m, err := New(Config{
		Kernel: kernel, Initrd: makeInitrd(t), Cmdline: testCmdline + "spin", MemoryBytes: 256 << 20, CPUs: 3,
		Console: Console{Out: []io.Writer{out}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := contextOnText(t, out, "init: nothing more to do")
	defer cancel()
	if exit, err := m.Run(ctx); exit != Stopped || err != nil {
		t.Errorf("exit is %v, %v", exit, err)
	}
}
