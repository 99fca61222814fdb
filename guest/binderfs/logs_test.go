// SPDX-License-Identifier: Apache-2.0

//go:build guest

package binderfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

const (
	stockModule = "/lib/modules/stock/binder_linux.ko"
	stockLogs   = "/sys/kernel/debug/binder"
	ourLogs     = "/sys/kernel/debug/virtbinder/binder"
)

// logFiles are those that both drivers have, besides proc/PID.
var logFiles = []string{"state", "stats", "transactions", "transaction_log", "failed_transaction_log"}

// play is one process of the scene; it says when it has done a part of it, and goes
// on when it is told to.
func play(role, device string) {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	if _, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		panic(err)
	}
	b := &binder{f: f}
	done := func() {
		fmt.Println("done")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); errors.Is(err, io.EOF) {
			os.Exit(0)
		}
	}
	must := func(stream []byte) {
		if _, errno := b.writeRead(stream, 0); errno != 0 {
			panic(errno)
		}
	}
	switch role {
	case "server":
		var zero [24]byte
		if errno := b.ioctl(uapi.BINDER_SET_CONTEXT_MGR, unsafe.Pointer(&zero)); errno != 0 {
			panic(errno)
		}
		must(le.AppendUint32(nil, uapi.BC_ENTER_LOOPER))
		done()
		b.await(uapi.BR_TRANSACTION) // a oneway, whose buffer it keeps
		b.await(uapi.BR_TRANSACTION) // the call
	case "client":
		must(call(0, 5, uapi.TF_ONE_WAY, 4))
		must(call(0, 6, uapi.TF_ONE_WAY, 8))
		must(le.AppendUint32(le.AppendUint32(nil, uapi.BC_ACQUIRE), 0))
		must(le.AppendUint64(le.AppendUint32(le.AppendUint32(nil, uapi.BC_REQUEST_DEATH_NOTIFICATION), 0), 9))
		must(call(77, 7, 0, 3))
		b.await(uapi.BR_FAILED_REPLY)
		done()
		must(call(0, 8, uapi.TF_ACCEPT_FDS, 12))
	}
	done()
}

// actor is a running process of the scene.
type actor struct {
	t   *testing.T
	pid int
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T, role, device string) *actor {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"="+role, "BINDERFS_TEST_DEVICE="+device)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	})
	a := &actor{t, cmd.Process.Pid, in, bufio.NewReader(out)}
	a.done()
	return a
}

// done waits until it has done its part.
func (a *actor) done() {
	a.t.Helper()
	if line, err := a.out.ReadString('\n'); line != "done\n" {
		a.t.Fatalf("it says %q, %v", line, err)
	}
}

func (a *actor) goOn() {
	a.t.Helper()
	if _, err := io.WriteString(a.in, "\n"); err != nil {
		a.t.Fatal(err)
	}
}

// scene brings two processes on a device to where one serves a call of the other,
// holds a oneway, and has one more waiting; a call has failed, too. They end with
// the test.
func scene(t *testing.T, device string) (server, client *actor) {
	t.Helper()
	server = start(t, "server", device)
	client = start(t, "client", device)
	client.goOn()
	client.done()
	server.goOn()
	server.done()
	return server, client
}

// Numbers differ by run, and so do addresses.
var (
	address = regexp.MustCompile(`\b([uc]?)[0-9a-f]{16}\b`)
	hex     = regexp.MustCompile(`\b(code|flags|offset|l|buffer \d+:) [0-9a-f]+`)
	number  = regexp.MustCompile(`-?\d+`)
	line    = regexp.MustCompile(`l=\d+`)
	// What came after 6.1, where the place of a buffer is an address.
	later = regexp.MustCompile(` elapsed \d+ms|(data|offset) \S+`)
	place = regexp.MustCompile(`(buffer \d+:) \S+`)
)

func shape(text string, old bool) string {
	if old {
		text = place.ReplaceAllString(later.ReplaceAllString(text, ""), "$1 0")
	}
	text = address.ReplaceAllString(text, "${1}P")
	text = hex.ReplaceAllString(text, "$1 X")
	text = line.ReplaceAllString(text, "l=L")
	return number.ReplaceAllString(text, "N")
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLogsAsTheKernels: the same scene leaves the same in our files, those of a mount
// and those in debugfs, as it does in the kernel driver's.
func TestLogsAsTheKernels(t *testing.T) {
	f, err := os.Open(stockModule)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "devices=kbinder", 0); err != nil {
		t.Fatalf("%s: %v", stockModule, err)
	}
	dir := mount(t, "stats=global")
	if _, err := add(dir, "kbinder"); err != nil { // the kernel's is called so
		t.Fatal(err)
	}
	logs := filepath.Join(dir, "binder_logs")
	old := false
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		old = strings.HasPrefix(unix.ByteSliceToString(u.Release[:]), "6.1.")
	}
	theirServer, theirClient := scene(t, "/dev/kbinder")
	ourServer, ourClient := scene(t, filepath.Join(dir, "kbinder"))
	same := func(theirs, ours string) {
		t.Helper()
		want, got := read(t, theirs), read(t, ours)
		if want == "" {
			t.Errorf("%s is empty", theirs)
		}
		if diff := cmp.Diff(shape(want, old), shape(got, old)); diff != "" {
			t.Errorf("%s (-kernel's +ours):\n%s\nkernel's:\n%s\nours:\n%s", ours, diff, want, got)
		}
	}
	for _, name := range logFiles {
		same(filepath.Join(stockLogs, name), filepath.Join(logs, name))
		same(filepath.Join(stockLogs, name), filepath.Join(ourLogs, name))
	}
	for _, pair := range [][2]*actor{{theirServer, ourServer}, {theirClient, ourClient}} {
		theirs, ours := fmt.Sprintf("proc/%d", pair[0].pid), fmt.Sprintf("proc/%d", pair[1].pid)
		same(filepath.Join(stockLogs, theirs), filepath.Join(logs, ours))
		same(filepath.Join(stockLogs, theirs), filepath.Join(ourLogs, ours))
	}
	fmt.Printf("state of the scene:\n%s", read(t, filepath.Join(logs, "state")))
}

// TestLogsFollow: proc/PID comes and goes with the process, a file that is read again
// from its start is new, and nothing can be written.
func TestLogsFollow(t *testing.T) {
	dir := mount(t, "stats=global")
	procs := filepath.Join(dir, "binder_logs", "proc")
	state, err := os.Open(filepath.Join(dir, "binder_logs", "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	text := func() string {
		if _, err := state.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(state)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := text()
	b := open(t, filepath.Join(dir, "binder"))
	pid := fmt.Sprint(os.Getpid())
	if got := names(t, procs); got != pid {
		t.Errorf("proc has %q", got)
	}
	if now := text(); now == before || !strings.Contains(now, "proc "+pid+"\n") {
		t.Errorf("the state is %q, and was %q", now, before)
	}
	b.f.Close()
	if got := names(t, procs); got != "" {
		t.Errorf("after close proc has %q", got)
	}
	if err := os.WriteFile(state.Name(), []byte("x"), 0); err == nil {
		t.Error("state can be written")
	}
}
