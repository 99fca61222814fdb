// SPDX-License-Identifier: Apache-2.0

package netlink_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/netlink"
	"virtbinder/netlink/netlinktest"
)

var sample = netlink.Report{Error: netlink.BRFailedReply, Context: "binder", FromPID: 11, FromTID: 12, ToPID: 13, HasToPID: true, Flags: 1, Code: 4, DataSize: 5}

func listen(t *testing.T, opts netlink.ListenOptions) *netlink.Listener {
	t.Helper()
	l, err := netlink.Listen(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// next waits for an event; the limit is a guard against hanging.
func next(t *testing.T, l *netlink.Listener) netlink.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ev, err := l.Receive(ctx)
	if err != nil {
		t.Fatalf("no event: %v", err)
	}
	return ev
}

// needNetAdmin skips where multicasting is not allowed, and only there.
func needNetAdmin(t *testing.T) {
	t.Helper()
	e, err := netlink.NewEmitter(netlink.Options{VM: "probe"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if st := e.Status(); st.Mode == netlink.ModeNone {
		t.Skip(st.Why)
	}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListenToSocket(t *testing.T) {
	src := netlinktest.NewSource(t)
	l := listen(t, netlink.ListenOptions{NoNetlink: true, Sockets: []string{src.Path}})
	src.Accept()
	if d := l.Describe(); len(d) != 1 || !strings.Contains(d[0], src.Path) {
		t.Errorf("described as %q", d)
	}

	src.Send(sample)
	ev := next(t, l)
	if ev.Kind != netlink.EventReport || ev.Report != sample || ev.FromKernel || ev.VM != "" || ev.Time.IsZero() {
		t.Errorf("got %+v", ev)
	}
	qualified := sample
	qualified.Context = "binder@a@vm-1"
	src.Send(qualified)
	if ev := next(t, l); ev.VM != "vm-1" {
		t.Errorf("VM is %q", ev.VM)
	}
	src.SendOverrun(7)
	if ev := next(t, l); ev.Kind != netlink.EventGap || ev.Lost != 7 || !ev.LostKnown {
		t.Errorf("got %+v", ev)
	}

	// Two messages in one datagram, the second with an attribute of the future.
	two := sample.AppendMessage(nil, 20)
	second := sample.AppendMessage(nil, 20)
	second = binary.NativeEndian.AppendUint16(second, 8)
	second = binary.NativeEndian.AppendUint16(second, 11)
	second = append(second, 1, 2, 3, 4)
	binary.NativeEndian.PutUint32(second, uint32(len(second)))
	src.SendRaw(append(two, second...))
	if ev := next(t, l); ev.Kind != netlink.EventReport || ev.Unknown != nil {
		t.Errorf("got %+v", ev)
	}
	if ev := next(t, l); ev.Kind != netlink.EventReport || len(ev.Unknown) != 1 || ev.Unknown[0].Type != 11 {
		t.Errorf("got %+v", ev)
	}

	src.Close()
	if ev := next(t, l); ev.Kind != netlink.EventNotice || !strings.Contains(ev.Text, "hung up") {
		t.Errorf("got %+v", ev)
	}
}

// TestBadDatagrams: each is one event with an error, and the good ones that
// follow still come.
func TestBadDatagrams(t *testing.T) {
	src := netlinktest.NewSource(t)
	l := listen(t, netlink.ListenOptions{NoNetlink: true, Sockets: []string{src.Path}})
	src.Accept()
	good := sample.AppendMessage(nil, 20)
	foreign := sample.AppendMessage(nil, 20)
	foreign[16] = 77
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"one byte", []byte{1}, netlink.ErrTruncated},
		{"cut short", good[:len(good)-8], netlink.ErrTruncated},
		{"foreign command", foreign, netlink.ErrForeign},
		{"length zero", make([]byte, 64), netlink.ErrMalformed},
		{"over 64 KiB", append(good[:len(good):len(good)], make([]byte, 70<<10)...), netlink.ErrOversized},
		{"overrun without a count", overrunOf(3), netlink.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			src.SendRaw(c.b)
			ev := next(t, l)
			if ev.Kind != netlink.EventBad || !errors.Is(ev.Err, c.want) {
				t.Fatalf("got %+v, want a %v", ev, c.want)
			}
			src.Send(sample)
			if ev := next(t, l); ev.Kind != netlink.EventReport {
				t.Fatalf("before the good one came %+v", ev)
			}
		})
	}
}

func overrunOf(payload int) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(16+payload))
	b = binary.NativeEndian.AppendUint16(b, 4)
	return append(b, make([]byte, 10+payload)...)
}

// TestListenToNetlink: emitter to listener through the kernel, mode found by
// both, nothing agreed beforehand.
func TestListenToNetlink(t *testing.T) {
	needNetAdmin(t)
	run := shortDir(t)
	dir := filepath.Join(run, "demo")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e, err := netlink.NewEmitter(netlink.Options{VM: "demo", RuntimeFile: filepath.Join(dir, "netlink.json"), Socket: filepath.Join(dir, "reports.sock")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	l := listen(t, netlink.ListenOptions{RuntimeDirs: []string{run}})
	if n := e.Stats().Clients; n != 0 {
		t.Errorf("%d connections to the socket of a VM that netlink serves", n)
	}
	e.Emit(sample)
	ev := next(t, l)
	want := sample
	want.Context = "binder@demo"
	if ev.Kind != netlink.EventReport || ev.Report != want || ev.FromKernel || ev.VM != "demo" || ev.Source != "netlink" {
		t.Errorf("got %+v", ev)
	}
}

// TestVMOfPlainContexts: the VM is known by its netlink port even when the
// context does not say it.
func TestVMOfPlainContexts(t *testing.T) {
	needNetAdmin(t)
	if d := netlink.HostBinderDevices(); len(d) > 0 {
		t.Skipf("plain contexts are refused: the host has %v", d)
	}
	run := shortDir(t)
	if err := os.Mkdir(filepath.Join(run, "p"), 0o755); err != nil {
		t.Fatal(err)
	}
	e, err := netlink.NewEmitter(netlink.Options{VM: "p", PlainContexts: true, RuntimeFile: filepath.Join(run, "p", "netlink.json")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	l := listen(t, netlink.ListenOptions{RuntimeDirs: []string{run}})
	e.Emit(sample)
	if ev := next(t, l); ev.VM != "p" || ev.Report != sample {
		t.Errorf("got %+v", ev)
	}
}

// TestGapIsExact: what a listener that sleeps loses is counted to the last one.
func TestGapIsExact(t *testing.T) {
	needNetAdmin(t)
	l := listen(t, netlink.ListenOptions{ReadBuffer: 4096})
	const total = 2000
	e, err := netlink.NewEmitter(netlink.Options{VM: "flood", RingSize: total})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(total) {
		e.Emit(netlink.Report{Context: "binder", Code: i})
	}
	e.Close() // everything is sent now
	if s := e.Stats(); s.Sent != total {
		t.Fatalf("stats %+v", s)
	}
	var got, lost uint64
	for got+lost < total {
		switch ev := next(t, l); ev.Kind {
		case netlink.EventReport:
			got++
		case netlink.EventGap:
			lost += ev.Lost
		default:
			t.Fatalf("got %+v", ev)
		}
	}
	if lost == 0 || got+lost != total {
		t.Errorf("read %d, told of %d lost, of %d", got, lost, total)
	}
}

// TestForeignOnTheGroup: others may multicast on group 18 by mistake.
func TestForeignOnTheGroup(t *testing.T) {
	needNetAdmin(t)
	l := listen(t, netlink.ListenOptions{})
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	send := func(b []byte) {
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << 17}); err != nil {
			t.Fatal(err)
		}
	}
	send(sample.AppendMessage(nil, 500)) // no family of ours
	if ev := next(t, l); ev.Kind != netlink.EventBad || !errors.Is(ev.Err, netlink.ErrForeign) {
		t.Errorf("got %+v", ev)
	}
	send(append(sample.AppendMessage(nil, 1023), make([]byte, 80<<10)...))
	if ev := next(t, l); ev.Kind != netlink.EventBad || !errors.Is(ev.Err, netlink.ErrOversized) {
		t.Errorf("got %+v", ev)
	}
	send(sample.AppendMessage(nil, 1023))
	if ev := next(t, l); ev.Kind != netlink.EventReport {
		t.Errorf("got %+v", ev)
	}
}

// TestScanFindsSockets: a VM without netlink that starts later is found, and
// found again after it restarts.
func TestScanFindsSockets(t *testing.T) {
	run := shortDir(t)
	dir := filepath.Join(run, "late")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := listen(t, netlink.ListenOptions{RuntimeDirs: []string{run, filepath.Join(run, "absent")}, ScanInterval: time.Millisecond})
	for range 2 {
		e, err := netlink.NewEmitter(netlink.Options{VM: "late", Want: netlink.WantNoNetlink,
			Socket: filepath.Join(dir, "reports.sock"), RuntimeFile: filepath.Join(dir, "netlink.json")})
		if err != nil {
			t.Fatal(err)
		}
		if ev := next(t, l); ev.Kind != netlink.EventNotice || !strings.Contains(ev.Text, "late") {
			t.Errorf("got %+v", ev)
		}
		for e.Stats().Clients == 0 {
			time.Sleep(time.Millisecond)
		}
		e.Emit(sample)
		if ev := next(t, l); ev.Kind != netlink.EventReport || ev.VM != "late" {
			t.Errorf("got %+v", ev)
		}
		e.Close()
		if ev := next(t, l); ev.Kind != netlink.EventNotice || !strings.Contains(ev.Text, "hung up") {
			t.Errorf("got %+v", ev)
		}
	}
}

// TestScanComplainsOnce about what it cannot use.
func TestScanComplainsOnce(t *testing.T) {
	run := shortDir(t)
	for name, st := range map[string]any{
		"broken": "not a status",
		"mute":   netlink.Status{Version: 1, VM: "mute", Mode: netlink.ModeNone},
		"other":  netlink.Status{Version: 1, VM: "other", Mode: netlink.ModeGenuine, Namespace: netlink.Namespace{Net: "net:[1]"}},
		"gone":   netlink.Status{Version: 1, VM: "gone", Mode: netlink.ModeUnix, Socket: filepath.Join(run, "gone/reports.sock")},
	} {
		if err := os.Mkdir(filepath.Join(run, name), 0o755); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(run, name, "netlink.json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := listen(t, netlink.ListenOptions{RuntimeDirs: []string{run}, ScanInterval: time.Millisecond})
	var texts []string
	for range 3 { // broken, mute, other; a VM that is gone is no news
		ev := next(t, l)
		if ev.Kind != netlink.EventNotice {
			t.Errorf("got %+v", ev)
		}
		texts = append(texts, ev.Text)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"cannot be read", "VM mute", "VM other"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing says %q in\n%s", want, all)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if ev, err := l.Receive(ctx); err == nil {
		t.Errorf("complained again: %+v", ev)
	}
}

func TestNamedSocketMustBeThere(t *testing.T) {
	if _, err := netlink.Listen(netlink.ListenOptions{NoNetlink: true, Sockets: []string{"/nonexistent/s"}}); err == nil {
		t.Error("no error for a socket that is not there")
	}
}

func TestReceiveAfterClose(t *testing.T) {
	l := listen(t, netlink.ListenOptions{})
	l.Close()
	if _, err := l.Receive(context.Background()); !errors.Is(err, netlink.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// TestListenUnprivileged: an ordinary user can listen to netlink.
func TestListenUnprivileged(t *testing.T) {
	l := listen(t, netlink.ListenOptions{})
	if l.ReadBuffer() <= 0 {
		t.Errorf("receive buffer of %d bytes", l.ReadBuffer())
	}
	d := strings.Join(l.Describe(), "\n")
	if !strings.Contains(d, "mode a") {
		t.Errorf("described as %q", d)
	}
}

func TestRecorder(t *testing.T) {
	var rec netlinktest.Recorder
	rec.Emit(sample)
	if got := rec.Reports(); len(got) != 1 || got[0] != sample {
		t.Errorf("got %v", got)
	}
}
