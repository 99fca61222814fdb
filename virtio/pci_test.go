// SPDX-License-Identifier: Apache-2.0

package virtio_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"virtbinder/internal/pci"
	"virtbinder/virtio"
	"virtbinder/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet is for tests that fail devices on purpose.
var quiet = slog.New(slog.DiscardHandler)

// patience bounds how long a test waits for something that must happen; it is no
// assertion about speed.
func patience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func start(t testing.TB, dev virtio.Device, cfg virtiotest.Config) *virtiotest.Driver {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet
	}
	d, err := virtiotest.Start(dev, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// features are the combinations that change how the ring works.
var features = map[string]uint64{
	"plain":      virtio.FeatureVersion1,
	"indirect":   virtio.FeatureIndirectDesc,
	"eventidx":   virtio.FeatureEventIdx,
	"everything": 0,
}

func TestEchoInEveryMode(t *testing.T) {
	for name, f := range features {
		for _, inline := range []bool{true, false} {
			mode := map[bool]string{true: "inline", false: "worker"}[inline]
			t.Run(name+"/"+mode, func(t *testing.T) {
				d := start(t, virtiotest.NewEcho(8, 16), virtiotest.Config{Inline: inline, Features: f})
				ctx := patience(t)
				for i := range 40 { // more than the ring holds
					want := bytes.Repeat([]byte{byte(i + 1)}, i+1)
					got, err := d.Queue(i%2).Call(ctx, want, 64)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("call %d: got %x, want %x", i, got, want)
					}
				}
			})
		}
	}
}

func TestLongChainIsGatheredAndScattered(t *testing.T) {
	for name, f := range features {
		t.Run(name, func(t *testing.T) {
			d := start(t, virtiotest.NewEcho(64), virtiotest.Config{Inline: true, Features: f})
			q := d.Queue(0)
			var in, out []virtiotest.Span
			var want []byte
			for i := range virtio.MaxChain / 2 {
				part := bytes.Repeat([]byte{byte(i)}, i+1)
				want = append(want, part...)
				in = append(in, q.Put(part))
				out = append(out, q.Room(virtio.MaxChain/2-i)) // cut elsewhere than the input
			}
			if _, err := q.Submit(in, out); err != nil {
				t.Fatal(err)
			}
			q.Kick()
			u, err := q.Wait(patience(t))
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for _, s := range out {
				got = append(got, q.Bytes(s)...)
			}
			if int(u.Written) != len(want) || !bytes.Equal(got[:u.Written], want) {
				t.Fatalf("%d bytes came back, want %d:\n%x\n%x", u.Written, len(want), got, want)
			}
		})
	}
}

func TestResetAndAgain(t *testing.T) {
	for _, inline := range []bool{true, false} {
		echo := virtiotest.NewEcho(8)
		d := start(t, echo, virtiotest.Config{Inline: inline})
		for range 3 {
			if _, err := d.Queue(0).Call(patience(t), []byte("hello"), 8); err != nil {
				t.Fatal(err)
			}
			before := echo.Resets.Load()
			if err := d.Up(0); err != nil {
				t.Fatal(err)
			}
			if echo.Resets.Load() == before {
				t.Fatal("the device was not reset")
			}
		}
	}
}

func TestChainOutlivesResetHarmlessly(t *testing.T) {
	echo := virtiotest.NewEcho(8)
	d := start(t, echo, virtiotest.Config{Inline: true})
	q := d.Queue(0)
	if _, err := q.Submit([]virtiotest.Span{q.Put([]byte("parked"))}, []virtiotest.Span{q.Room(8)}); err != nil {
		t.Fatal(err)
	}
	dq := echo.Activation().Queues[0]
	var c virtio.Chain
	if ok, err := dq.Pop(&c); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := dq.Pop(&c); err == nil {
		t.Error("Pop into a chain in use succeeded")
	}
	d.SetStatus(0)
	var b [6]byte
	if err := c.ReadAt(b[:], 0); !errors.Is(err, virtio.ErrReset) {
		t.Errorf("read after reset: %v", err)
	}
	if err := c.WriteAt(b[:], 0); !errors.Is(err, virtio.ErrReset) {
		t.Errorf("write after reset: %v", err)
	}
	dq.Push(&c, 6)
	dq.Push(&c, 6)
	dq.Interrupt()
	if _, ok := q.Used(); ok {
		t.Error("a chain was pushed after reset")
	}
	if q.Interrupts() != 0 {
		t.Error("an interrupt came after reset")
	}
	if ok, err := dq.Pop(&c); ok || err != nil {
		t.Error("Pop after reset:", ok, err)
	}
}

func TestFeaturesAreNegotiatedStrictly(t *testing.T) {
	d := start(t, virtiotest.NewEcho(8), virtiotest.Config{Inline: true})
	cases := map[string]struct {
		features uint64
		ok       bool
	}{
		"version 1":        {virtio.FeatureVersion1, true},
		"all on offer":     {d.Offered(), true},
		"no version 1":     {virtio.FeatureEventIdx, false},
		"one not on offer": {virtio.FeatureVersion1 | 1<<40, false},
		"nothing":          {0, false},
	}
	for name, c := range cases {
		d.SetStatus(0)
		d.SetStatus(3)
		for sel := range uint64(2) {
			d.Write(0x08, 4, sel)
			d.Write(0x0c, 4, c.features>>(32*sel)&0xffffffff)
		}
		d.SetStatus(3 | virtiotest.StatusFeaturesOK)
		if got := d.Status()&virtiotest.StatusFeaturesOK != 0; got != c.ok {
			t.Errorf("%s: FEATURES_OK is %v, want %v", name, got, c.ok)
		}
		if !c.ok {
			d.SetStatus(3 | virtiotest.StatusDriverOK)
			if d.Status()&virtiotest.StatusNeedsReset == 0 {
				t.Errorf("%s: DRIVER_OK was accepted", name)
			}
		}
	}
}

func TestStatusOnlyGrows(t *testing.T) {
	d := start(t, virtiotest.NewEcho(8), virtiotest.Config{Inline: true})
	before := d.Status()
	d.SetStatus(1)
	if got := d.Status(); got != before {
		t.Errorf("status went from %#x to %#x", before, got)
	}
	d.SetStatus(before | 0x30) // reserved bits
	if got := d.Status(); got != before {
		t.Errorf("reserved bits stuck: %#x", got)
	}
}

func TestUnusedVectorReadsBack(t *testing.T) {
	d := start(t, virtiotest.NewEcho(8), virtiotest.Config{Inline: true})
	d.Write(0x16, 2, 0)
	for _, v := range []uint64{2, 0x7ff, 0xffff} { // the table has vectors 0 and 1
		d.Write(0x1a, 2, v)
		if got := d.Read(0x1a, 2); got != 0xffff {
			t.Errorf("vector %#x reads back as %#x", v, got)
		}
	}
	q := d.Queue(0)
	if _, err := q.Submit([]virtiotest.Span{q.Put([]byte{1})}, nil); err != nil {
		t.Fatal(err)
	}
	q.WantInterrupt()
	q.Kick()
	if _, ok := q.Used(); !ok || q.Interrupts() != 0 {
		t.Errorf("used %v, %d interrupts without a vector", ok, q.Interrupts())
	}
}

func TestDisabledQueueIsThereButIdle(t *testing.T) {
	echo := virtiotest.NewEcho(8, 8)
	m, err := virtiotest.NewMachine(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	p := virtio.NewPCI(echo, m, virtio.Options{Inline: true, Log: quiet})
	d, err := virtiotest.Attach(m, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Negotiate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.SetupQueue(1); err != nil {
		t.Fatal(err)
	}
	if err := d.Ready(); err != nil {
		t.Fatal(err)
	}
	if got := echo.Activation().Queues; len(got) != 2 || got[0].Size() != 0 || got[1].Size() != 8 {
		t.Fatalf("queues %v", got)
	}
	var b [2]byte
	p.BARAccess(0, 0, b[:], true) // a kick of the queue that is not there
	if _, err := d.Queue(1).Call(patience(t), []byte("x"), 1); err != nil {
		t.Error(err)
	}
}

func TestBadRingAddressesFailTheDevice(t *testing.T) {
	for name, set := range map[string]struct{ reg, v uint64 }{
		"table outside memory": {0x20, 0xdead0000},
		"table misaligned":     {0x20, virtiotest.RAMBase + 8},
		"driver ring outside":  {0x28, 0xdead0000},
		"driver ring odd":      {0x28, virtiotest.RAMBase + 1},
		"device ring outside":  {0x30, 1 << 63},
		"device ring at 2":     {0x30, virtiotest.RAMBase + 2},
		"size 3":               {0x18, 3},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := virtiotest.NewMachine(1 << 20)
			p := virtio.NewPCI(virtiotest.NewEcho(8), m, virtio.Options{Inline: true, Log: quiet})
			d, err := virtiotest.Attach(m, p)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Negotiate(0); err != nil {
				t.Fatal(err)
			}
			for reg, v := range map[uint64]uint64{0x20: virtiotest.RAMBase, 0x28: virtiotest.RAMBase + 4096, 0x30: virtiotest.RAMBase + 8192} {
				d.Write(reg, 8, v)
			}
			n := 8
			if set.reg == 0x18 {
				n = 2
			}
			d.Write(set.reg, n, set.v)
			d.Write(0x1c, 2, 1)
			if err := d.Ready(); err == nil {
				t.Error("DRIVER_OK went through")
			}
		})
	}
}

func TestConfigSpaceAndGeneration(t *testing.T) {
	echo := virtiotest.NewEcho(8)
	d := start(t, echo, virtiotest.Config{Inline: true})
	d.WriteConfig(4, []byte{1, 2, 3, 4})
	var b [8]byte
	d.ReadConfig(0, b[:])
	if b != [8]byte{4: 1, 5: 2, 6: 3, 7: 4} {
		t.Errorf("configuration %x", b)
	}
	generation := d.Read(0x15, 1)
	echo.Activation().ConfigChanged()
	if d.Read(0x15, 1) == generation || d.ConfigChanges() != 1 {
		t.Errorf("generation %d, %d interrupts", d.Read(0x15, 1), d.ConfigChanges())
	}
}

func TestPCIConfigWindowReachesRegisters(t *testing.T) {
	d := start(t, virtiotest.NewEcho(8, 8, 8), virtiotest.Config{Inline: true})
	at := findCap(t, d.PCI, 5)
	write := func(off uint16, b ...byte) { d.PCI.ConfigWrite(at+off, b) }
	write(4, 2)             // BAR 2
	write(8, 0x12, 0, 0, 0) // num_queues
	write(12, 2, 0, 0, 0)   // two bytes
	var b [4]byte
	d.PCI.ConfigRead(at+16, b[:])
	if b[0] != 3 || b[1] != 0 {
		t.Errorf("num_queues through the window is %x", b)
	}
	write(8, 0x16, 0, 0, 0) // queue_select
	write(16, 2, 0, 0, 0)
	if got := d.Read(0x16, 2); got != 2 {
		t.Errorf("queue_select is %d after a write through the window", got)
	}
	write(12, 3, 0, 0, 0) // no such width
	d.PCI.ConfigRead(at+16, b[:])
	if b != [4]byte{} {
		t.Errorf("a window of 3 bytes reads %x", b)
	}
}

func findCap(t *testing.T, p *virtio.PCI, kind byte) uint16 {
	var b [4]byte
	p.ConfigRead(pci.OffCapabilities, b[:1])
	for at := uint16(b[0]); at != 0; at = uint16(b[1]) {
		p.ConfigRead(at, b[:])
		if b[0] == pci.CapVendor && b[3] == kind {
			return at
		}
	}
	t.Fatalf("no capability of type %d", kind)
	return 0
}

func TestSharedMemoryIsMappedAndMoves(t *testing.T) {
	files := make([]*os.File, 2)
	for i := range files {
		f, err := virtiotest.Memfd("shm", 3*4096)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	echo := virtiotest.NewEcho(8)
	echo.Shared = []virtio.SharedMemory{{ID: 1, Size: 4096, File: files[0]}, {ID: 7, Size: 3 * 4096, File: files[1]}}
	d := start(t, echo, virtiotest.Config{Inline: true})
	list := d.SharedMemory()
	if len(list) != 2 || list[0].ID != 1 || list[1].ID != 7 || list[1].Size != 3*4096 {
		t.Fatalf("regions %+v", list)
	}
	copy(d.Machine.Shared(list[1].GPA), "from the guest")
	got := make([]byte, 14)
	if _, err := files[1].ReadAt(got, 0); err != nil || string(got) != "from the guest" {
		t.Fatalf("%q, %v", got, err)
	}
	d.PCI.SetBARAddr(4, 0x9000000000, true)
	if d.Machine.Shared(list[1].GPA) != nil {
		t.Error("still mapped where the BAR was")
	}
	if m := d.Machine.Shared(list[1].GPA - list[0].GPA + 0x9000000000); string(m[:14]) != "from the guest" {
		t.Error("not mapped where the BAR is now")
	}
	d.PCI.SetBARAddr(4, 0x9000000000, false)
	if d.Machine.Shared(0x9000000000) != nil {
		t.Error("mapped with decoding off")
	}
}

func TestDoorbellFollowsItsPort(t *testing.T) {
	d := start(t, virtiotest.NewEcho(8, 8), virtiotest.Config{})
	if n := d.Machine.Doorbells(); n != 2 {
		t.Fatalf("%d doorbells are bound", n)
	}
	d.PCI.SetBARAddr(0, 0xd000, true)
	if n := d.Machine.Doorbells(); n != 2 {
		t.Errorf("%d doorbells after the move", n)
	}
	// The driver still writes to the old port: that is an exit now, and works too.
	if _, err := d.Queue(1).Call(patience(t), []byte("x"), 1); err != nil {
		t.Error(err)
	}
	d.PCI.SetBARAddr(0, 0xd000, false)
	if n := d.Machine.Doorbells(); n != 0 {
		t.Errorf("%d doorbells with decoding off", n)
	}
}

func TestImpossibleDevicesAreRefused(t *testing.T) {
	m, _ := virtiotest.NewMachine(1 << 20)
	bad := map[string]*virtiotest.Echo{
		"queue of 3": virtiotest.NewEcho(3),
		"65 queues":  virtiotest.NewEcho(make([]uint16, 65)...),
		"empty shm":  {Queues: []uint16{8}, Shared: []virtio.SharedMemory{{ID: 1}}},
		"odd shm":    {Queues: []uint16{8}, Shared: []virtio.SharedMemory{{ID: 1, Size: 100}}},
	}
	for name, dev := range bad {
		p := virtio.NewPCI(dev, m, virtio.Options{Log: quiet})
		if p.Err() == nil {
			t.Errorf("%s: accepted", name)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
