// SPDX-License-Identifier: Apache-2.0

package net

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"virtbinder/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a link whose other end the test has.
type wire struct {
	net.Conn
	offload bool
	asked   chan Offload
}

func (w *wire) CanOffload() bool           { return w.offload }
func (w *wire) SetOffload(o Offload) error { w.asked <- o; return nil }

// guest is a driver of a network device.
type guest struct {
	t     *testing.T
	dev   *Device
	d     *virtiotest.Driver
	link  *wire
	other net.Conn
	ctx   context.Context
}

var station = net.HardwareAddr{0x52, 0x54, 0, 1, 2, 3}

func newGuest(t *testing.T, offload bool, features uint64) *guest {
	t.Helper()
	ours, theirs := net.Pipe()
	link := &wire{Conn: ours, offload: offload, asked: make(chan Offload, 1)}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dev, err := New(Config{Name: "net0", MAC: station, Link: link, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	d, err := virtiotest.Start(dev, virtiotest.Config{Inline: true, Log: log, Features: features})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(d.Close(), ours.Close(), theirs.Close()); err != nil {
			t.Error(err)
		}
	})
	return &guest{t: t, dev: dev, d: d, link: link, other: theirs, ctx: ctx}
}

func frame(n int) []byte {
	b := make([]byte, HeaderSize+n)
	for i := range n {
		b[HeaderSize+i] = byte(i)
	}
	return b
}

// arrives reads what the guest sent.
func (g *guest) arrives(want []byte) {
	g.t.Helper()
	_ = g.other.SetReadDeadline(time.Now().Add(time.Minute))
	got := make([]byte, maxFrame+HeaderSize)
	n, err := g.other.Read(got)
	if err != nil || !bytes.Equal(got[:n], want) {
		g.t.Errorf("%d bytes arrive, want %d: %v", n, len(want), err)
	}
}

// feed sends a frame to the guest.
func (g *guest) feed(b []byte) {
	g.t.Helper()
	_ = g.other.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := g.other.Write(b); err != nil {
		g.t.Fatal(err)
	}
}

func TestConfigAndFeatures(t *testing.T) {
	g := newGuest(t, true, 0)
	var mac [8]byte
	g.d.ReadConfig(0, mac[:])
	if !bytes.Equal(mac[:6], station) || mac[6] != 0 {
		t.Errorf("the address is %x", mac)
	}
	if got, want := <-g.link.asked, (Offload{Sum: true, TSO4: true, TSO6: true, ECN: true}); got != want {
		t.Errorf("asked for %+v", got)
	}
	if g := newGuest(t, false, 0); g.d.Features&offloads != 0 {
		t.Errorf("offloads on offer that the link cannot do: %#x", g.d.Features)
	}
	if got := <-newGuest(t, true, featureMAC|featureGuestCSum).link.asked; got != (Offload{Sum: true}) {
		t.Errorf("asked for %+v", got)
	}
	if _, err := New(Config{MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}}); err == nil {
		t.Error("a group's address was taken")
	}
}

func TestSend(t *testing.T) {
	g := newGuest(t, false, 0)
	q := g.d.Queue(queueTransmit)
	for _, n := range []int{ethernetSize, 60, 1514, maxFrame} {
		want := frame(n)
		if _, err := q.Submit([]virtiotest.Span{q.Put(want[:HeaderSize]), q.Put(want[HeaderSize:])}, nil); err != nil {
			t.Fatal(err)
		}
		q.Kick()
		g.arrives(want)
		if _, err := q.Wait(g.ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{-HeaderSize + 1, 0, ethernetSize - 1, maxFrame + 1} { // no frames
		if _, err := q.Call(g.ctx, frame(max(n, 0))[:HeaderSize+n], 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.Call(g.ctx, nil, 16); err != nil { // nothing readable
		t.Fatal(err)
	}
	if got, want := g.dev.Stats(), (Stats{Sent: 4, SentBytes: ethernetSize + 60 + 1514 + maxFrame, Dropped: 5}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// TestReceive: a frame waits for buffers and is spread over as many as it takes.
func TestReceive(t *testing.T) {
	g := newGuest(t, false, 0)
	q := g.d.Queue(queueReceive)
	want := frame(250)
	fed := make(chan struct{})
	go func() { defer close(fed); g.feed(want) }()
	rooms := map[uint16]virtiotest.Span{}
	for range 3 { // one after the other, so that it has to wait for them
		room := q.Room(100)
		head, err := q.Submit(nil, []virtiotest.Span{room})
		if err != nil {
			t.Fatal(err)
		}
		rooms[head] = room
		q.Kick()
	}
	<-fed
	var got []byte
	for range 3 {
		u, err := q.Wait(g.ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, q.Bytes(rooms[u.Head])[:u.Written]...)
	}
	want[headerBuffers] = 3
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came, want %d: %x", len(got), len(want), got[:HeaderSize])
	}
	if got, want := g.dev.Stats(), (Stats{Received: 1, ReceivedBytes: 250}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// TestTooSmall: without merging a frame that does not fit is lost, and the next
// one is not.
func TestTooSmall(t *testing.T) {
	g := newGuest(t, false, featureMAC)
	q := g.d.Queue(queueReceive)
	for _, n := range []int{500, 50} {
		room := q.Room(100)
		if _, err := q.Submit(nil, []virtiotest.Span{room}); err != nil {
			t.Fatal(err)
		}
		q.Kick()
		g.feed(frame(n))
		u, err := q.Wait(g.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[int]uint32{500: 0, 50: HeaderSize + 50}[n]; u.Written != want {
			t.Errorf("a frame of %d gives %d bytes, want %d", n, u.Written, want)
		}
	}
	if s := g.dev.Stats(); s.Received != 1 || s.Dropped != 1 {
		t.Errorf("%+v", s)
	}
}

// TestTinyBuffers: a hostile driver's many buffers of one byte cannot hold more of
// them up than the bound.
func TestTinyBuffers(t *testing.T) {
	g := newGuest(t, false, 0)
	q := g.d.Queue(queueReceive)
	for range maxMerged + 1 {
		if _, err := q.Submit(nil, []virtiotest.Span{q.Room(1)}); err != nil {
			t.Fatal(err)
		}
	}
	q.Kick()
	g.feed(frame(1000))
	for range maxMerged {
		if u, err := q.Wait(g.ctx); err != nil || u.Written != 0 {
			t.Fatalf("%+v, %v", u, err)
		}
	}
	if q.HasUsed() {
		t.Error("another buffer was taken")
	}
}

// TestReset: with a frame waiting for buffers, and with nothing to wait for.
func TestReset(t *testing.T) {
	g := newGuest(t, false, 0)
	for _, waiting := range []bool{true, false} {
		if waiting {
			g.feed(frame(60))
		}
		if err := g.d.Up(0); err != nil {
			t.Fatal(err)
		}
	}
	q := g.d.Queue(queueReceive)
	room := q.Room(100)
	if _, err := q.Submit(nil, []virtiotest.Span{room}); err != nil {
		t.Fatal(err)
	}
	q.Kick()
	g.feed(frame(64))
	if u, err := q.Wait(g.ctx); err != nil || u.Written != HeaderSize+64 {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestLinkGone: the end of a link fails the device, and nothing else.
func TestLinkGone(t *testing.T) {
	g := newGuest(t, false, 0)
	g.other.Close()
	for g.d.ConfigChanges() == 0 && g.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if g.d.Status()&virtiotest.StatusNeedsReset == 0 {
		t.Error("the device goes on")
	}
}

// nowhere is a link that takes everything.
type nowhere struct{ *wire }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkSend is what the device itself takes for a frame of the guest's: a doorbell,
// the frame's copy out of the guest, and an interrupt.
func BenchmarkSend(b *testing.B) {
	for _, n := range []int{60, 1514, maxFrame} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			defer ours.Close()
			dev, err := New(Config{Name: "net0", MAC: station, Link: nowhere{&wire{Conn: ours}}})
			if err != nil {
				b.Fatal(err)
			}
			d, err := virtiotest.Start(dev, virtiotest.Config{Inline: true})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			q := d.Queue(queueTransmit)
			span := q.Put(frame(n))
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := q.Submit([]virtiotest.Span{span}, nil); err != nil {
					b.Fatal(err)
				}
				q.Kick()
				if _, err := q.Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
