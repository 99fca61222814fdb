// SPDX-License-Identifier: Apache-2.0

package vsock

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// service listens where the guest's connects to a port arrive.
func (g *guest) service(port int) net.Listener {
	g.t.Helper()
	l, err := net.Listen("unix", fmt.Sprintf("%s_%d", g.path, port))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { l.Close() })
	return l
}

func (g *guest) accept(l net.Listener) net.Conn {
	g.t.Helper()
	c, err := l.Accept()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	deadline, _ := g.ctx.Deadline()
	c.SetDeadline(deadline)
	return c
}

func (g *guest) dial() net.Conn {
	g.t.Helper()
	c, err := net.Dial("unix", g.path)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	deadline, _ := g.ctx.Deadline()
	c.SetDeadline(deadline)
	return c
}

// connect makes a connection from the guest to a service, and returns both ends.
func (g *guest) connect(guestPort, port int) (net.Conn, packet) {
	g.t.Helper()
	l := g.service(port)
	defer l.Close()
	g.send(packet{header: header{srcPort: uint32(guestPort), dstPort: uint32(port), op: opRequest}})
	p := g.want(opResponse)
	return g.accept(l), p
}

func eachMode(t *testing.T, f func(t *testing.T, inline bool)) {
	t.Run("inline", func(t *testing.T) { f(t, true) })
	t.Run("worker", func(t *testing.T) { f(t, false) })
}

func TestHostConnectsToGuest(t *testing.T) {
	eachMode(t, func(t *testing.T, inline bool) {
		g := newGuest(t, inline, 16)
		c := g.dial()
		fmt.Fprintf(c, "CONNECT 1024\n")
		req := g.want(opRequest)
		if req.dstPort != 1024 || req.srcPort < firstPort || req.bufAlloc != BufSize {
			t.Fatalf("%+v", req.header)
		}
		g.send(req.reply(opResponse, ""))
		r := bufio.NewReader(c)
		if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("OK %d\n", req.srcPort) {
			t.Fatalf("%q, %v", line, err)
		}
		fmt.Fprint(c, "ping")
		if p := g.want(opRW); string(p.data) != "ping" {
			t.Errorf("the guest read %q", p.data)
		}
		g.send(req.reply(opRW, "pong"))
		b := make([]byte, 4)
		if _, err := io.ReadFull(r, b); err != nil || string(b) != "pong" {
			t.Errorf("%q, %v", b, err)
		}
		c.Close()
		if p := g.want(opShutdown); p.flags != shutdownBoth {
			t.Errorf("flags %d", p.flags)
		}
		g.send(req.reply(opRST, ""))
		g.empty()
	})
}

// empty waits until the device has no connection left.
func (g *guest) empty() {
	g.t.Helper()
	for g.ctx.Err() == nil {
		g.dev.mu.Lock()
		n := len(g.dev.state.conns)
		g.dev.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	g.t.Fatal("connections are left")
}

func TestHostIsRefused(t *testing.T) {
	g := newGuest(t, true, 16)
	c := g.dial()
	fmt.Fprintf(c, "CONNECT 7\n")
	g.send(g.want(opRequest).reply(opRST, ""))
	if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
	for _, line := range []string{"CONNECT\n", "CONNECT x\n", "HELLO 1\n", "CONNECT 4294967296\n", strings.Repeat("x", 100)} {
		c := g.dial()
		fmt.Fprint(c, line)
		if b, _ := io.ReadAll(c); len(b) != 0 {
			t.Errorf("%q was answered %q", line, b)
		}
	}
}

func TestHostDataBeforeAndAfterTheAnswer(t *testing.T) {
	g := newGuest(t, true, 16)
	c := g.dial()
	fmt.Fprintf(c, "CONNECT 9\nearly")
	c.(*net.UnixConn).CloseWrite()
	req := g.want(opRequest)
	g.send(req.reply(opResponse, ""))
	if p := g.want(opRW); string(p.data) != "early" {
		t.Errorf("%q", p.data)
	}
	if p := g.want(opShutdown); p.flags != shutdownSend {
		t.Errorf("flags %d after a half close", p.flags)
	}
	g.send(req.reply(opRW, "still here"))
	end := req.reply(opShutdown, "")
	end.flags = shutdownBoth
	g.send(end)
	g.want(opRST)
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "\nstill here") {
		t.Errorf("%q, %v", b, err)
	}
	g.empty()
}

func TestGuestConnectsToHost(t *testing.T) {
	eachMode(t, func(t *testing.T, inline bool) {
		g := newGuest(t, inline, 16)
		c, p := g.connect(5000, 80)
		g.send(p.reply(opRW, "question"))
		b := make([]byte, 8)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "question" {
			t.Fatalf("%q, %v", b, err)
		}
		fmt.Fprint(c, "answer")
		if p := g.want(opRW); string(p.data) != "answer" {
			t.Errorf("%q", p.data)
		}
		end := p.reply(opShutdown, "")
		end.flags = shutdownBoth
		g.send(end)
		g.want(opRST)
		if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestGuestIsRefused(t *testing.T) {
	g := newGuest(t, true, 16)
	for name, h := range map[string]header{
		"nobody listens":    {srcPort: 1, dstPort: 81, op: opRequest},
		"no connection":     {srcPort: 1, dstPort: 81, op: opRW},
		"another host":      {srcPort: 1, dstPort: 81, op: opRequest, dstCID: 77},
		"seqpacket":         {srcPort: 1, dstPort: 81, op: opRequest, typ: 2},
		"stray shutdown":    {srcPort: 1, dstPort: 81, op: opShutdown, flags: 3},
		"no such operation": {srcPort: 1, dstPort: 81, op: 99},
	} {
		g.send(packet{header: h})
		if p := g.want(opRST); p.srcPort != 81 || p.dstPort != 1 {
			t.Errorf("%s: %+v", name, p.header)
		}
	}
	g.send(packet{header: header{srcPort: 1, dstPort: 2, op: opRST}})                 // no answer to that
	g.send(packet{header: header{srcCID: 43, srcPort: 1, dstPort: 2, op: opRequest}}) // nor to a forgery
	g.send(packet{header: header{srcPort: 1, dstPort: 2, op: opRW, len: 1 << 30}})    // nor to that
	g.send(packet{header: header{srcPort: 9, dstPort: 81, op: opRW}})
	if p := g.want(opRST); p.dstPort != 9 {
		t.Errorf("%+v", p.header)
	}
}

// TestBulkBothWays moves more than all buffers hold, with credit on both sides.
func TestBulkBothWays(t *testing.T) {
	eachMode(t, func(t *testing.T, inline bool) {
		g := newGuest(t, inline, 32)
		c, p := g.connect(5000, 80)
		const total = 3 * BufSize
		down := bytes.Repeat([]byte("0123456789abcdef!"), total/17+1)[:total]
		go func() { c.Write(down) }()
		up := make(chan []byte, 1)
		go func() {
			b := make([]byte, total)
			n, _ := io.ReadFull(c, b)
			up <- b[:n]
		}()
		g.exchange(p, down)
		if got := <-up; !bytes.Equal(got, down) {
			t.Errorf("the host read %d bytes, or other ones", len(got))
		}
		if got, want := g.dev.Stats(), (Stats{Open: 1, Begun: 1, ReceivedBytes: total, SentBytes: total}); got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
	})
}

// exchange sends data and expects the same data, keeping to both sides' credit with
// a receive buffer of 64 KiB of its own.
func (g *guest) exchange(conn packet, data []byte) {
	g.t.Helper()
	const window = 64 << 10
	var got []byte
	sent, peerFwd, told := 0, 0, 0
	for len(got) < len(data) || sent < len(data) {
		if room := BufSize - (sent - peerFwd); room > 0 && sent < len(data) {
			n := min(room, 10000, len(data)-sent)
			p := conn.reply(opRW, string(data[sent:sent+n]))
			p.fwdCnt, told = uint32(len(got)), len(got)
			g.send(p)
			sent += n
			if !g.d.Queue(0).HasUsed() && (sent < len(data) || len(got) == len(data)) {
				continue // nothing is there, and perhaps nothing more will come
			}
		}
		p := g.recv()
		peerFwd = int(p.fwdCnt)
		switch p.op {
		case opRW:
			got = append(got, p.data...)
			if len(got)-told > window {
				g.t.Fatalf("%d bytes in flight with a window of %d", len(got)-told, window)
			}
		case opCreditRequest, opCreditUpdate:
		default:
			g.t.Fatalf("operation %d", p.op)
		}
		if len(got)-told >= window/2 || p.op == opCreditRequest {
			u := conn.reply(opCreditUpdate, "")
			u.fwdCnt, told = uint32(len(got)), len(got)
			g.send(u)
		}
	}
	if !bytes.Equal(got, data) {
		g.t.Error("the guest read other bytes")
	}
}

func TestOverrunningCreditLosesTheConnection(t *testing.T) {
	g := newGuest(t, true, 16)
	c, p := g.connect(5000, 80)
	_ = c // never read: a Unix socket takes a little, then our buffer fills
	for range 200 {
		g.send(p.reply(opRW, strings.Repeat("x", 32<<10)))
		if g.d.Queue(0).HasUsed() {
			if r := g.recv(); r.op == opRST {
				g.empty()
				return
			}
		}
	}
	t.Error("6 MiB went into a buffer of 256 KiB")
}

func TestGuestCannotOpenTooManyConnections(t *testing.T) {
	g := newGuest(t, true, 200)
	l := g.service(80)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	refused := 0
	for i := range MaxConns + 10 {
		g.send(packet{header: header{srcPort: uint32(i), dstPort: 80, op: opRequest}})
		if g.recv().op == opRST {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d connections were refused, want 10", refused)
	}
}

// TestAnswersWithoutBuffersAreBounded has a guest that asks for RSTs and gives no
// buffer for them.
func TestAnswersWithoutBuffersAreBounded(t *testing.T) {
	g := newGuest(t, true, 0)
	sent := 0
	for ; sent < 2*maxResets; sent++ {
		if !g.offer(packet{header: header{srcPort: 1, dstPort: 2, op: opRW}}) {
			break
		}
	}
	g.dev.mu.Lock()
	n := len(g.dev.state.resets)
	g.dev.mu.Unlock()
	if n != maxResets {
		t.Errorf("%d answers wait, want %d", n, maxResets)
	}
	for range 20 {
		g.giveBuffer(g.d.Queue(queueRX).Room(4096))
	}
	g.d.Queue(queueRX).Kick()
	for range sent {
		g.want(opRST)
	}
}

func TestResetEndsConnections(t *testing.T) {
	eachMode(t, func(t *testing.T, inline bool) {
		g := newGuest(t, inline, 16)
		for range 3 {
			os.Remove(g.path + "_80")
			c, p := g.connect(5000, 80)
			g.send(p.reply(opRW, "x"))
			h := g.dial()
			fmt.Fprint(h, "CONNECT 5\n")
			g.want(opRequest)
			if err := g.d.Up(0); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(c); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadAll(h); err != nil {
				t.Error(err)
			}
			g.empty()
			g.up()
		}
	})
}

func TestSocketInUseAndStale(t *testing.T) {
	g := newGuest(t, true, 1)
	if _, err := New(Config{CID: 3, Path: g.path}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second device on the same socket: %v", err)
	}
	stale := t.TempDir() + "/s"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	d, err := New(Config{CID: 3, Path: stale})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{CID: 2, Path: stale}); err == nil {
		t.Error("CID 2 was accepted")
	}
}

// FuzzPackets plays a guest that sends any sequence of packets on few ports, with
// and without a service. Checked: no panic, bounded state, everything ends with
// the reset.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 5, 0, 0, 9, 4, 0, 0, 3, 3, 0, 0, 0})
	f.Add([]byte{1, 0, 0, 0, 1, 0, 0, 0, 5, 1, 0, 200, 7, 0, 0, 1, 4, 0, 0, 1, 5, 0, 0, 1})
	f.Fuzz(func(t *testing.T, input []byte) {
		g := newGuest(t, true, 20)
		l := g.service(0)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { io.Copy(c, c); c.Close() }()
			}
		}()
		for i := 0; i+4 <= len(input) && i < 400; i += 4 {
			op, port, where, n := input[i], input[i+1], input[i+2], input[i+3]
			p := packet{header: header{srcPort: uint32(port % 3), dstPort: uint32(where % 2), op: uint16(op % 9), flags: uint32(n), fwdCnt: uint32(where) << 8, bufAlloc: uint32(n) << 10}}
			if p.op == opRW {
				p.data = bytes.Repeat([]byte{n}, int(n)*16)
			}
			if !g.offer(p) {
				break
			}
			for _, u := range g.d.Queue(queueRX).Drain() {
				s := g.rx[u.Head]
				delete(g.rx, u.Head)
				g.giveBuffer(s)
			}
			g.d.Queue(queueRX).Kick()
			g.d.Queue(queueTX).Drain()
		}
		g.dev.mu.Lock()
		conns, resets := len(g.dev.state.conns), len(g.dev.state.resets)
		g.dev.mu.Unlock()
		if conns > MaxConns || resets > maxResets+MaxConns {
			t.Fatalf("%d connections, %d resets", conns, resets)
		}
		l.Close()
		if err := g.d.Up(0); err != nil {
			t.Fatal(err)
		}
		g.empty()
	})
}
