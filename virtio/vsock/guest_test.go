// SPDX-License-Identifier: Apache-2.0

package vsock

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"virtbinder/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const guestCID = 42

// guest is a socket driver without sockets: it sends and receives packets.
type guest struct {
	t     testing.TB
	dev   *Device
	d     *virtiotest.Driver
	path  string
	ctx   context.Context
	rx    map[uint16]virtiotest.Span
	txbuf virtiotest.Span
	given int // rx buffers to keep on the ring
}

// packet is a header with its data.
type packet struct {
	header
	data []byte
}

func newGuest(t testing.TB, inline bool, rxBuffers int) *guest {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v.sock")
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dev, err := New(Config{CID: guestCID, Path: path, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	d, err := virtiotest.Start(dev, virtiotest.Config{Inline: inline, Log: log, Memory: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	g := &guest{t: t, dev: dev, d: d, path: path, ctx: ctx, given: rxBuffers}
	g.up()
	t.Cleanup(func() {
		cancel()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// up gives the device rx buffers, after Start or a reset.
func (g *guest) up() {
	g.rx = map[uint16]virtiotest.Span{}
	g.txbuf = g.d.Queue(queueTX).Room(headerSize + 64<<10)
	for range g.given {
		g.giveBuffer(g.d.Queue(queueRX).Room(4096))
	}
	g.d.Queue(queueRX).Kick()
}

func (g *guest) giveBuffer(s virtiotest.Span) {
	g.t.Helper()
	head, err := g.d.Queue(queueRX).Submit(nil, []virtiotest.Span{s})
	if err != nil {
		g.t.Fatal(err)
	}
	g.rx[head] = s
}

// send sends one packet, and waits until the device has taken it.
func (g *guest) send(p packet) {
	g.t.Helper()
	if !g.offer(p) {
		return
	}
	if _, err := g.d.Queue(queueTX).Wait(g.ctx); err != nil {
		g.t.Fatal(err)
	}
}

// offer sends one packet and does not wait.
func (g *guest) offer(p packet) bool {
	g.t.Helper()
	if p.srcCID == 0 {
		p.srcCID = guestCID
	}
	if p.dstCID == 0 {
		p.dstCID = HostCID
	}
	if p.typ == 0 {
		p.typ = typeStream
	}
	if p.bufAlloc == 0 {
		p.bufAlloc = 64 << 10
	}
	if p.len == 0 {
		p.len = uint32(len(p.data))
	}
	var raw [headerSize]byte
	p.put(&raw)
	q := g.d.Queue(queueTX)
	n := copy(q.Bytes(g.txbuf), raw[:])
	n += copy(q.Bytes(g.txbuf)[n:], p.data)
	if _, err := q.Submit([]virtiotest.Span{{GPA: g.txbuf.GPA, Len: headerSize}, {GPA: g.txbuf.GPA + headerSize, Len: uint32(max(n-headerSize, 1))}}, nil); err != nil {
		return false
	}
	q.Kick()
	return true
}

// recv returns the next packet from the device.
func (g *guest) recv() packet {
	g.t.Helper()
	q := g.d.Queue(queueRX)
	u, err := q.Wait(g.ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	s := g.rx[u.Head]
	delete(g.rx, u.Head)
	b := q.Bytes(s)[:u.Written]
	if len(b) < headerSize {
		g.t.Fatalf("a packet of %d bytes", len(b))
	}
	p := packet{header: parseHeader((*[headerSize]byte)(b)), data: append([]byte(nil), b[headerSize:]...)}
	if int(p.len) != len(p.data) || p.srcCID != HostCID && p.op != opRST || p.dstCID != guestCID {
		g.t.Fatalf("packet %+v with %d bytes", p.header, len(p.data))
	}
	g.giveBuffer(s)
	q.Kick()
	return p
}

// want receives a packet and checks its operation.
func (g *guest) want(op uint16) packet {
	g.t.Helper()
	p := g.recv()
	if p.op != op {
		g.t.Fatalf("operation %d, want %d (flags %d, %q)", p.op, op, p.flags, p.data)
	}
	return p
}

// to is a packet on the connection that p came on.
func (p packet) reply(op uint16, data string) packet {
	return packet{header: header{srcPort: p.dstPort, dstPort: p.srcPort, op: op}, data: []byte(data)}
}
