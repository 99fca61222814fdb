// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// fakeResolver stands for nlctrl: tests say what families there are.
type fakeResolver struct {
	mu   sync.Mutex
	now  families // guarded by mu
	kick chan struct{}
	done chan struct{}
	once sync.Once
}

func newFakeResolver(f families) *fakeResolver {
	return &fakeResolver{now: f, kick: make(chan struct{}), done: make(chan struct{})}
}

func (r *fakeResolver) families() (families, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, nil
}

func (r *fakeResolver) changed() error {
	select {
	case <-r.kick:
		return nil
	case <-r.done:
		return os.ErrClosed
	}
}

func (r *fakeResolver) close() error { r.once.Do(func() { close(r.done) }); return nil }

// become changes the families and returns when the change was taken up: the
// second kick is received only after the first was dealt with.
func (r *fakeResolver) become(f families) {
	r.mu.Lock()
	r.now = f
	r.mu.Unlock()
	r.kick <- struct{}{}
	r.kick <- struct{}{}
}

func (r *fakeResolver) hooks(devices ...string) hooks {
	return hooks{func() (resolver, error) { return r, nil }, func() []string { return devices }}
}

// rawReceiver is a listener that shares no code with this package's: a socket
// bound by mask.
type rawReceiver struct {
	t  *testing.T
	fd int
}

func newRawReceiver(t *testing.T, protocol int, groups ...uint) *rawReceiver {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	var mask uint32
	for _, g := range groups {
		mask |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: mask}); err != nil {
		t.Fatal(err)
	}
	// A guard against hanging, not a measure: nothing is expected to wait.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}); err != nil {
		t.Fatal(err)
	}
	return &rawReceiver{t, fd}
}

// next is the next datagram and the group it came through.
func (r *rawReceiver) next() (msg []byte, groupMask, port uint32) {
	r.t.Helper()
	buf := make([]byte, 4096)
	n, from, err := unix.Recvfrom(r.fd, buf, 0)
	for err == unix.EINTR { // a signal of Go's scheduler; a receive with a time limit is not restarted
		n, from, err = unix.Recvfrom(r.fd, buf, 0)
	}
	if err != nil {
		r.t.Fatalf("no message: %v", err)
	}
	nl := from.(*unix.SockaddrNetlink)
	return buf[:n], nl.Groups, nl.Pid
}

// needNetAdmin skips where multicasting is not allowed, and only there. TestMain
// arranges that it is, wherever namespaces may be made.
func needNetAdmin(t *testing.T) {
	t.Helper()
	s, err := connectGroup(unix.NETLINK_GENERIC, FallbackGroup)
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs CAP_NET_ADMIN over its network namespace: netlink multicast")
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(s.fd)
}

// freshDir is a directory with a short path, fit for sockets.
func freshDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func closeAfter(t *testing.T, e *Emitter, err error) *Emitter {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// TestFallbackGroup: mode a' through the real kernel to an independent receiver.
func TestFallbackGroup(t *testing.T) {
	needNetAdmin(t)
	rcv := newRawReceiver(t, unix.NETLINK_GENERIC, FallbackGroup)
	e, err := newEmitter(Options{VM: "demo"}, newFakeResolver(families{}).hooks())
	closeAfter(t, e, err)
	r := Report{Error: BRDeadReply, Context: "binder", FromPID: 1, FromTID: 2, Code: 3}
	e.Emit(r)
	got, mask, port := rcv.next()
	r.Context = "binder@demo"
	if want := r.AppendMessage(nil, 1023); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if mask != 1<<(FallbackGroup-1) {
		t.Errorf("came through groups %#x", mask)
	}
	if st := e.Status(); st.Mode != ModeFallback || st.PortID != port || st.PortID == 0 {
		t.Errorf("status %+v, sent from port %d", st, port)
	}
}

// TestGoldenOverNetlink: with plain names the bytes that a listener reads are
// those of the driver, in the driver's order.
func TestGoldenOverNetlink(t *testing.T) {
	needNetAdmin(t)
	// Group 31 stands in for the family's, which this kernel need not have.
	const group, typ = 31, 0x25
	rcv := newRawReceiver(t, unix.NETLINK_GENERIC, group)
	e, err := newEmitter(Options{PlainContexts: true}, newFakeResolver(families{binder: &Family{typ, group}}).hooks())
	closeAfter(t, e, err)
	if m := e.Status().Mode; m != ModeGenuine {
		t.Fatalf("mode is %s", m)
	}
	for _, c := range readGolden(t) {
		for _, g := range c.Reports {
			e.Emit(goldenReport(t, g.Attrs))
			if got, _, _ := rcv.next(); hexOf(got) != g.Hex {
				t.Errorf("%s:\n got %s\nwant %s", c.Case, hexOf(got), g.Hex)
			}
		}
	}
}

// TestFamilyComesAndGoes: re-resolution picks among sockets that are open.
func TestFamilyComesAndGoes(t *testing.T) {
	needNetAdmin(t)
	file := filepath.Join(freshDir(t), "netlink.json")
	res := newFakeResolver(families{})
	rcv := newRawReceiver(t, unix.NETLINK_GENERIC, 18, 30)
	e, err := newEmitter(Options{VM: "v", RuntimeFile: file}, res.hooks())
	closeAfter(t, e, err)

	for _, step := range []struct {
		f         families
		mode      Mode
		group     uint32
		typ       uint16
		published Mode
	}{
		{families{}, ModeFallback, 18, 1023, "a'"},
		{families{binder: &Family{50, 30}}, ModeGenuine, 30, 50, "a"},
		{families{binder: &Family{51, 33}}, ModeFallback, 18, 51, "a'"},
		{families{}, ModeFallback, 18, 1023, "a'"},
	} {
		res.become(step.f)
		e.Emit(full)
		got, mask, _ := rcv.next()
		m, err := Decode(got)
		if err != nil || m.Type != step.typ || mask != 1<<(step.group-1) {
			t.Errorf("%+v: came as type %d through %#x, %v", step.f, m.Type, mask, err)
		}
		if st, err := ReadStatus(file); err != nil || st.Mode != step.published || st.Group != step.group || st.VM != "v" {
			t.Errorf("%+v: published %+v, %v", step.f, st, err)
		}
	}
	// Nothing may go to a group that another family owns.
	res.become(families{fallbackOwner: "pmcraid"})
	if st := e.Status(); st.Mode != ModeNone || !strings.Contains(st.Warning, "pmcraid") {
		t.Errorf("status %+v", st)
	}
	sent := e.Stats().Sent
	e.Emit(full)
	e.Close()
	if s := e.Stats(); s.Sent != sent || s.Accepted != 5 {
		t.Errorf("stats %+v", s)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("runtime file is left: %v", err)
	}
}

func TestPlainContextsBesideHostDevices(t *testing.T) {
	needNetAdmin(t)
	res := newFakeResolver(families{binder: &Family{50, 30}})
	_, err := newEmitter(Options{VM: "v", PlainContexts: true}, res.hooks("/dev/binder"))
	if err == nil || !strings.Contains(err.Error(), "/dev/binder") || !strings.Contains(err.Error(), "binder@v") {
		t.Fatalf("got %v, want a refusal that names the device and the way out", err)
	}
	// When the family comes later, plain names must not reach its group.
	res = newFakeResolver(families{})
	e, err := newEmitter(Options{VM: "v", PlainContexts: true}, res.hooks("/dev/binder"))
	closeAfter(t, e, err)
	res.become(families{binder: &Family{50, 30}})
	if st := e.Status(); st.Mode != ModeFallback || st.Group != 18 {
		t.Errorf("status %+v", st)
	}
}

const helperEnv = "VIRTBINDER_NETLINK_TEST_SOCKET"

// TestEmitAfterCapabilitiesAreGone: a process that keeps no capability at all
// still multicasts, to the family's group too when it appears only then.
func TestEmitAfterCapabilitiesAreGone(t *testing.T) {
	needNetAdmin(t)
	rcv := newRawReceiver(t, unix.NETLINK_GENERIC, 18, 29)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("helper: %v\n%s", err, out)
	}
	for _, group := range []uint32{18, 29} {
		got, mask, _ := rcv.next()
		r, err := ParseMessage(got)
		if err != nil || r.Context != "hwbinder@demo@nocap" || mask != 1<<(group-1) {
			t.Errorf("group %d: %v through %#x, %v", group, &r, mask, err)
		}
	}
}

// dropAndEmit is the helper process.
func dropAndEmit() int {
	res := newFakeResolver(families{})
	e, err := newEmitter(Options{VM: "nocap"}, res.hooks())
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	if err := cap.NewSet().SetProc(); err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	if _, err := connectGroup(unix.NETLINK_GENERIC, 29); !errors.Is(err, unix.EPERM) {
		os.Stderr.WriteString("a new connect still works: capabilities were not dropped")
		return 1
	}
	e.Emit(full)
	for e.Stats().Sent < 1 { // until the sender is done with the first route
		runtime.Gosched()
	}
	res.become(families{binder: &Family{50, 29}})
	e.Emit(full)
	e.Close()
	if s := e.Stats(); s.Sent != 2 || s.SendErrors != 0 {
		os.Stderr.WriteString("not sent")
		return 1
	}
	return 0
}

func TestUserSock(t *testing.T) {
	needNetAdmin(t) // to join; sending needs nothing
	rcv := newRawReceiver(t, unix.NETLINK_USERSOCK, FallbackGroup)
	e, err := NewEmitter(Options{VM: "u", Want: WantUserSock})
	closeAfter(t, e, err)
	e.Emit(full)
	got, _, _ := rcv.next()
	if r, err := ParseMessage(got); err != nil || r.Context != "hwbinder@demo@u" {
		t.Errorf("%v, %v", &r, err)
	}
	e.Close()
	if s := e.Stats(); s.Sent != 1 || s.SendErrors != 0 {
		t.Errorf("ECONNREFUSED was taken for a failure: %+v", s)
	}
}

// TestUnixSocket: mode c alone needs no privilege at all.
func TestUnixSocket(t *testing.T) {
	dir := freshDir(t)
	sock, file := filepath.Join(dir, "reports.sock"), filepath.Join(dir, "netlink.json")
	e, err := NewEmitter(Options{VM: "demo", Want: WantNoNetlink, Socket: sock, SocketMode: 0o640, RuntimeFile: file})
	closeAfter(t, e, err)
	if st, err := os.Stat(sock); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("socket is %v, %v", st.Mode(), err)
	}
	if st, err := ReadStatus(file); err != nil || st.Mode != ModeUnix || st.Socket != sock || st.PID != os.Getpid() {
		t.Errorf("published %+v, %v", st, err)
	}
	c := dialSeq(t, sock)
	waitClients(e, 1)
	e.Emit(full)
	got := readSeq(t, c)
	r, err := ParseMessage(got)
	if err != nil || r.Context != "hwbinder@demo@demo" || r.Code != full.Code {
		t.Errorf("got %v, %v", &r, err)
	}

	_, err = NewEmitter(Options{VM: "demo", Want: WantNoNetlink, Socket: sock})
	if err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second emitter on the socket: %v", err)
	}
	e.Close()
	if _, err := os.Stat(sock); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket is left: %v", err)
	}
	if n, err := c.Read(make([]byte, 8)); n > 0 || err == nil {
		t.Errorf("the client is not hung up: %d, %v", n, err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	sock := filepath.Join(freshDir(t), "s")
	ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: sock, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close() // as after a crash: the file stays, nobody serves it
	e, err := NewEmitter(Options{VM: "v", Want: WantNoNetlink, Socket: sock})
	closeAfter(t, e, err)

	file := filepath.Join(freshDir(t), "plain")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewEmitter(Options{VM: "v", Want: WantNoNetlink, Socket: file}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in the way: %v", err)
	}
	if _, err := NewEmitter(Options{VM: "v", Want: WantNoNetlink, Socket: "/" + strings.Repeat("x", 200)}); err == nil || !strings.Contains(err.Error(), "107") {
		t.Errorf("a long path: %v", err)
	}
}

// TestSlowClientLosesOnlyItsOwn: a client that reads nothing is bounded and told
// of its losses; another one gets everything.
func TestSlowClientLosesOnlyItsOwn(t *testing.T) {
	sock := filepath.Join(freshDir(t), "s")
	const total = 5000 // far beyond a socket's buffer
	e, err := NewEmitter(Options{VM: "v", Want: WantNoNetlink, Socket: sock, RingSize: total})
	closeAfter(t, e, err)
	slow := dialSeq(t, sock)
	waitClients(e, 1)
	quick := dialSeq(t, sock)
	waitClients(e, 2)

	done := make(chan uint64)
	go func() {
		n := uint64(0)
		for n < total {
			got, lost := countSeq(t, quick)
			n += got + lost
			if lost > 0 {
				break
			}
		}
		done <- n
	}()
	for i := range uint32(total) {
		e.Emit(Report{Context: "binder", Code: i})
		if i%16 == 0 { // keep pace with the quick client
			for pending(e) > 0 {
				runtime.Gosched()
			}
		}
	}
	if n := <-done; n != total {
		t.Logf("the quick client could not keep up: told of %d", n)
	}
	var got, lost uint64
	for got+lost < total {
		g, l := countSeq(t, slow)
		got, lost = got+g, lost+l
	}
	if lost == 0 || got+lost != total {
		t.Errorf("the slow client read %d and was told of %d lost, of %d", got, lost, total)
	}
	if s := e.Stats(); s.ClientLost < lost || s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

func pending(e *Emitter) int {
	e.ring.mu.Lock()
	defer e.ring.mu.Unlock()
	return e.ring.state.used
}

// TestRingDropsAreToldInStream: what Emit had to drop reaches clients as a count.
func TestRingDropsAreToldInStream(t *testing.T) {
	sock := filepath.Join(freshDir(t), "s")
	var log bytes.Buffer
	e, err := NewEmitter(Options{VM: "v", Want: WantNoNetlink, Socket: sock, RingSize: 2, Log: slog.New(slog.NewTextHandler(&log, nil))})
	closeAfter(t, e, err)
	c := dialSeq(t, sock)
	waitClients(e, 1)
	// The sender waits for the server's mutex while it is held here, so the
	// ring of two overflows for certain.
	const total = 500
	e.server.mu.Lock()
	for i := range uint32(total) {
		e.Emit(Report{Context: "binder", Code: i})
	}
	e.server.mu.Unlock()
	var got, lost uint64
	for got+lost < total {
		g, l := countSeq(t, c)
		got, lost = got+g, lost+l
	}
	if s := e.Stats(); lost == 0 || lost != s.Dropped || got != s.Accepted {
		t.Errorf("read %d, told of %d lost; stats %+v", got, lost, s)
	}
	e.Close()
	if !strings.Contains(log.String(), "failure reports were lost") {
		t.Errorf("the log says nothing of it:\n%s", &log)
	}
}

func TestTooManyClients(t *testing.T) {
	sock := filepath.Join(freshDir(t), "s")
	e, err := NewEmitter(Options{VM: "v", Want: WantNoNetlink, Socket: sock})
	closeAfter(t, e, err)
	var clients []*net.UnixConn
	for range maxClients {
		clients = append(clients, dialSeq(t, sock))
	}
	waitClients(e, maxClients)
	extra := dialSeq(t, sock)
	if n, err := extra.Read(make([]byte, 8)); n > 0 || err == nil {
		t.Errorf("client %d is served: %d, %v", maxClients+1, n, err)
	}
	// One that hangs up makes room, even if nothing is ever sent.
	newest := func() *unixClient {
		e.server.mu.Lock()
		defer e.server.mu.Unlock()
		return e.server.clients[len(e.server.clients)-1]
	}
	before := newest()
	clients[0].Close()
	again := dialSeq(t, sock)
	for newest() == before {
		runtime.Gosched()
	}
	e.Emit(full)
	if r, err := ParseMessage(readSeq(t, again)); err != nil || r.Code != full.Code {
		t.Errorf("%v, %v", &r, err)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, o := range []Options{{}, {VM: "a@b"}, {VM: "a b"}, {VM: "a\n"}} {
		o.Want = WantNoNetlink
		if e, err := NewEmitter(o); err == nil {
			e.Close()
			t.Errorf("%+v accepted", o)
		}
	}
}

// brokenResolver is generic netlink that does not answer.
type brokenResolver struct{ *fakeResolver }

func (brokenResolver) families() (families, error) { return families{}, unix.EIO }

// TestNetlinkThatDoesNotAnswer: reports then go to the unix socket, and the status
// says why; no machine is kept from starting.
func TestNetlinkThatDoesNotAnswer(t *testing.T) {
	needNetAdmin(t)
	for name, newResolver := range map[string]func() (resolver, error){
		"no controller": func() (resolver, error) { return nil, unix.ENOENT },
		"no list":       func() (resolver, error) { return brokenResolver{newFakeResolver(families{})}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(freshDir(t), "reports.sock")
			e, err := newEmitter(Options{VM: "demo", Socket: socket}, hooks{newResolver, func() []string { return nil }})
			closeAfter(t, e, err)
			if st := e.Status(); st.Mode != ModeUnix || !strings.Contains(st.Why, "generic netlink") {
				t.Fatalf("status %+v", st)
			}
			client := dialSeq(t, socket)
			waitClients(e, 1)
			e.Emit(full)
			if r, err := ParseMessage(readSeq(t, client)); err != nil || r.Code != full.Code {
				t.Errorf("got %v, %v", &r, err)
			}
		})
	}
}

func TestNowhereIsSaid(t *testing.T) {
	e, err := NewEmitter(Options{VM: "v", Want: WantNoNetlink})
	closeAfter(t, e, err)
	if st := e.Status(); st.Mode != ModeNone || !strings.Contains(st.Warning, "switched off") {
		t.Errorf("status %+v", st)
	}
	e.Emit(full)
}

func TestStatusFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "netlink.json")
	for name, content := range map[string]string{"empty": "", "not json": "mode a", "of the future": `{"version":99}`, "huge": `{"version":1,"vm":"` + strings.Repeat("x", maxStatusFile) + `"}`} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadStatus(path); err == nil {
			t.Errorf("%s file accepted", name)
		}
	}
	want := Status{Version: 1, VM: "v", Mode: ModeGenuine, Group: 3}
	if err := want.write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadStatus(path); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("temporary files are left: %v", files)
	}
	if b, err := os.ReadFile(path); err != nil || !json.Valid(b) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestEmitAllocatesNothing is the budget of the transaction path.
func TestEmitAllocatesNothing(t *testing.T) {
	e, err := NewEmitter(Options{VM: "v", Want: WantNoNetlink})
	closeAfter(t, e, err)
	if n := testing.AllocsPerRun(1000, func() { e.Emit(full) }); n != 0 {
		t.Errorf("Emit allocates %v times", n)
	}
	buf := make([]byte, 0, maxMessage)
	if n := testing.AllocsPerRun(1000, func() { buf = full.AppendMessage(buf[:0], 20) }); n != 0 {
		t.Errorf("AppendMessage allocates %v times", n)
	}
}

// BenchmarkEmit is what a failing transaction pays.
func BenchmarkEmit(b *testing.B) {
	for _, c := range []struct {
		name string
		opts Options
	}{
		{"nowhere", Options{VM: "v", Want: WantNoNetlink}},
		{"auto", Options{VM: "v"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, err := NewEmitter(c.opts)
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			b.ReportAllocs()
			for b.Loop() {
				e.Emit(full)
			}
			b.ReportMetric(float64(e.Stats().Dropped)/float64(b.N), "dropped/op")
		})
	}
}

// BenchmarkSend is what the sender goroutine pays for one report.
func BenchmarkSend(b *testing.B) {
	s, err := connectGroup(unix.NETLINK_GENERIC, FallbackGroup)
	if err != nil {
		b.Skip(err)
	}
	defer unix.Close(s.fd)
	buf := make([]byte, 0, maxMessage)
	b.ReportAllocs()
	for b.Loop() {
		buf = full.appendMessage(buf[:0], FallbackType, "@vm")
		if err := s.send(buf); err != nil {
			b.Fatal(err)
		}
	}
}
