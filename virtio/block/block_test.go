// SPDX-License-Identifier: Apache-2.0

package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"virtbinder/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ram is a disk in memory that writes down what was done to it.
type ram struct {
	block    int
	readOnly bool

	mu   sync.Mutex
	data []byte
	done []string
	fail error         // of every call but Size and the like
	hold chan struct{} // if not nil, reads wait for it
}

func (r *ram) note(what string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = append(r.done, what)
	return r.fail
}

func (r *ram) did() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.done)
}

func (r *ram) ReadAt(p []byte, off int64) (int, error) {
	if r.hold != nil {
		<-r.hold
	}
	err := r.note("read")
	r.mu.Lock()
	defer r.mu.Unlock()
	return copy(p, r.data[off:off+int64(len(p))]), err
}

func (r *ram) WriteAt(p []byte, off int64) (int, error) {
	err := r.note("write")
	r.mu.Lock()
	defer r.mu.Unlock()
	return copy(r.data[off:off+int64(len(p))], p), err
}

func (r *ram) Sync() error                { return r.note("sync") }
func (r *ram) Discard(off, n int64) error { return r.note("discard") }
func (r *ram) Size() int64                { return int64(len(r.data)) }
func (r *ram) BlockSize() int             { return r.block }
func (r *ram) ReadOnly() bool             { return r.readOnly }

func (r *ram) WriteZeroes(off, n int64, unmap bool) error {
	err := r.note("zero")
	clear(r.data[off : off+n])
	return err
}

// guest is a driver of a disk.
type guest struct {
	t    testing.TB
	disk *ram
	dev  *Device
	d    *virtiotest.Driver
	ctx  context.Context
}

func newGuest(t testing.TB, disk *ram, features uint64) *guest {
	t.Helper()
	if disk.block == 0 {
		disk.block = 512
	}
	if disk.data == nil {
		disk.data = make([]byte, 1<<20)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dev, err := New(Config{ID: "disk-0", Backend: disk, Queues: 2, Log: log})
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
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return &guest{t: t, disk: disk, dev: dev, d: d, ctx: ctx}
}

func request(kind uint32, sector uint64, payload []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(payload))
	binary.LittleEndian.PutUint32(b, kind)
	binary.LittleEndian.PutUint64(b[8:], sector)
	return append(b, payload...)
}

// do makes a request with room for n bytes of data, and returns them and the status.
func (g *guest) do(queue int, kind uint32, sector uint64, payload []byte, n int) ([]byte, byte) {
	g.t.Helper()
	answer, err := g.d.Queue(queue).Call(g.ctx, request(kind, sector, payload), n+statusSize)
	if err != nil {
		g.t.Fatal(err)
	}
	if len(answer) == 0 {
		g.t.Fatal("no answer")
	}
	room := answer[: n+statusSize : cap(answer)]
	return room[:n], room[n]
}

func (g *guest) expect(what string, got, want byte) {
	g.t.Helper()
	if got != want {
		g.t.Errorf("%s is answered with %d, want %d", what, got, want)
	}
}

func TestReadWriteFlush(t *testing.T) {
	g := newGuest(t, &ram{}, 0)
	data := bytes.Repeat([]byte("0123456789abcdef"), (bounceSize+1024)/16) // more than one buffer
	_, s := g.do(0, requestWrite, 3, data, 0)
	g.expect("write", s, statusOK)
	_, s = g.do(1, requestFlush, 0, nil, 0)
	g.expect("flush", s, statusOK)
	if want := []string{"write", "write", "sync"}; !slices.Equal(g.disk.did(), want) {
		t.Errorf("the disk saw %v, want %v", g.disk.did(), want)
	}
	got, s := g.do(1, requestRead, 3, nil, len(data))
	g.expect("read", s, statusOK)
	if !bytes.Equal(got, data) || !bytes.Equal(g.disk.data[3*512:][:len(data)], data) {
		t.Error("other data came back")
	}
	id, s := g.do(0, requestGetID, 0, nil, maxID)
	g.expect("get id", s, statusOK)
	if want := "disk-0" + string(make([]byte, 14)); string(id) != want {
		t.Errorf("id is %q", id)
	}
	_, s = g.do(0, 99, 0, nil, 0)
	g.expect("an unknown request", s, statusUnsupported)
	n := uint64(len(data))
	if got, want := g.dev.Stats(), (Stats{Reads: 1, Writes: 1, Flushes: 1, ReadBytes: n, WrittenBytes: n, Failures: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestConfigSpace(t *testing.T) {
	g := newGuest(t, &ram{block: 4096}, 0)
	var c [configSize + 4]byte
	for off := range c { // a driver may read it byte by byte
		g.d.ReadConfig(uint64(off), c[off:off+1])
	}
	le := binary.LittleEndian
	for name, pair := range map[string][2]uint64{
		"capacity":   {le.Uint64(c[0:]), 2048},
		"seg_max":    {uint64(le.Uint32(c[12:])), 62},
		"blk_size":   {uint64(le.Uint32(c[20:])), 4096},
		"num_queues": {uint64(le.Uint16(c[34:])), 2},
		"writeback":  {uint64(c[32]), 1},
		"beyond":     {uint64(le.Uint32(c[configSize:])), 0},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %d, want %d", name, pair[0], pair[1])
		}
	}
	if _, s := g.do(0, requestWrite, 1, make([]byte, 4096), 0); s != statusError {
		t.Error("a write that is not whole blocks was taken")
	}
}

// TestWriteThrough: a driver that cannot flush, or has switched the cache off, has
// its writes on the disk before they are answered.
func TestWriteThrough(t *testing.T) {
	g := newGuest(t, &ram{}, featureBlockSize)
	_, s := g.do(0, requestWrite, 0, make([]byte, 512), 0)
	g.expect("write", s, statusOK)
	if want := []string{"write", "sync"}; !slices.Equal(g.disk.did(), want) {
		t.Errorf("without flush: %v", g.disk.did())
	}
	g = newGuest(t, &ram{}, 0)
	g.d.WriteConfig(configWriteback, []byte{0})
	_, s = g.do(0, requestWrite, 0, make([]byte, 512), 0)
	g.expect("write", s, statusOK)
	g.d.WriteConfig(configWriteback, []byte{1})
	_, s = g.do(0, requestWrite, 0, make([]byte, 512), 0)
	g.expect("write", s, statusOK)
	if want := []string{"write", "sync", "write"}; !slices.Equal(g.disk.did(), want) {
		t.Errorf("with the cache off, then on: %v", g.disk.did())
	}
}

func erasure1(sector uint64, count, flags uint32) []byte {
	b := binary.LittleEndian.AppendUint64(nil, sector)
	b = binary.LittleEndian.AppendUint32(b, count)
	return binary.LittleEndian.AppendUint32(b, flags)
}

func TestErase(t *testing.T) {
	g := newGuest(t, &ram{data: bytes.Repeat([]byte{1}, 1<<20)}, 0)
	_, s := g.do(0, requestWriteZeroes, 0, append(erasure1(2, 2, eraseUnmap), erasure1(8, 1, 0)...), 0)
	g.expect("zeroes", s, statusOK)
	for sector, want := range map[int]byte{1: 1, 2: 0, 3: 0, 4: 1, 8: 0, 9: 1} {
		if got := g.disk.data[sector*512]; got != want {
			t.Errorf("sector %d begins with %d, want %d", sector, got, want)
		}
	}
	_, s = g.do(0, requestDiscard, 0, erasure1(0, 4, 0), 0)
	g.expect("discard", s, statusOK)
	before := len(g.disk.did())
	for what, c := range map[string]struct {
		kind uint32
		list []byte
		want byte
	}{
		"no list":                  {requestDiscard, nil, statusError},
		"half an entry":            {requestDiscard, make([]byte, 8), statusError},
		"too many":                 {requestDiscard, make([]byte, 16*(eraseSegments+1)), statusError},
		"beyond the end":           {requestDiscard, erasure1(2047, 2, 0), statusError},
		"wraps":                    {requestDiscard, erasure1(1<<63, 1, 0), statusError},
		"discard with unmap":       {requestDiscard, erasure1(0, 1, eraseUnmap), statusUnsupported},
		"unknown flags":            {requestWriteZeroes, erasure1(0, 1, 2), statusUnsupported},
		"too long":                 {requestWriteZeroes, erasure1(0, eraseSectors+1, 0), statusError},
		"a good one and a bad one": {requestWriteZeroes, append(erasure1(0, 1, 0), erasure1(4096, 1, 0)...), statusError},
	} {
		_, s := g.do(0, c.kind, 0, c.list, 0)
		g.expect(what, s, c.want)
	}
	if got := g.disk.did(); len(got) != before {
		t.Errorf("the disk saw %v", got[before:])
	}
}

// TestHostileRequests: each is answered with an error, touches nothing, and the
// device goes on.
func TestHostileRequests(t *testing.T) {
	g := newGuest(t, &ram{}, 0)
	for what, c := range map[string]struct {
		kind   uint32
		sector uint64
		data   []byte
		room   int
	}{
		"read beyond the end":   {requestRead, 2048, nil, 512},
		"read over the end":     {requestRead, 2047, nil, 1024},
		"read that wraps":       {requestRead, 1<<64 - 1, nil, 1024},
		"read at 2^55":          {requestRead, 1 << 55, nil, 512},
		"read of half a sector": {requestRead, 0, nil, 100},
		"write beyond the end":  {requestWrite, 2048, make([]byte, 512), 0},
		"write of odd length":   {requestWrite, 0, make([]byte, 511), 0},
		"id without room":       {requestGetID, 0, nil, 19},
	} {
		_, s := g.do(0, c.kind, c.sector, c.data, c.room)
		g.expect(what, s, statusError)
	}
	q := g.d.Queue(0)
	for _, req := range [][]byte{nil, make([]byte, 5)} { // no header, half a header
		a, err := q.Call(g.ctx, req, 4)
		if err != nil || len(a) != statusSize || a[:4][3] != statusError {
			t.Errorf("%d bytes of request: %v, %v", len(req), a, err)
		}
	}
	if a, err := q.Call(g.ctx, request(requestFlush, 0, nil), 0); err != nil || len(a) != 0 {
		t.Errorf("no room for a status: %v, %v", a, err)
	}
	if got := g.disk.did(); len(got) != 0 {
		t.Errorf("the disk saw %v", got)
	}
	if g.dev.Stats().Failures == 0 {
		t.Error("nothing was counted")
	}
	_, s := g.do(0, requestFlush, 0, nil, 0)
	g.expect("flush", s, statusOK)
}

func TestReadOnly(t *testing.T) {
	g := newGuest(t, &ram{readOnly: true}, 0)
	if g.d.Features&featureReadOnly == 0 || g.d.Features&(featureDiscard|featureWriteZeroes) != 0 {
		t.Errorf("features %#x", g.d.Features)
	}
	for _, kind := range []uint32{requestWrite, requestWriteZeroes, requestDiscard} {
		_, s := g.do(0, kind, 0, make([]byte, 512), 0)
		g.expect("a change", s, statusError)
	}
	_, s := g.do(0, requestFlush, 0, nil, 0)
	g.expect("flush", s, statusOK)
	if got := g.disk.did(); len(got) != 0 {
		t.Errorf("the disk saw %v", got)
	}
}

func TestBackendErrors(t *testing.T) {
	g := newGuest(t, &ram{fail: errors.New("input/output error")}, 0)
	_, s := g.do(0, requestRead, 0, nil, 512)
	g.expect("read", s, statusError)
	_, s = g.do(0, requestWrite, 0, make([]byte, 512), 0)
	g.expect("write", s, statusError)
	_, s = g.do(0, requestFlush, 0, nil, 0)
	g.expect("flush", s, statusError)
}

// TestVCPUDoesNotWait: a kick returns while the disk is slow, and requests are
// served beside each other.
func TestVCPUDoesNotWait(t *testing.T) {
	g := newGuest(t, &ram{hold: make(chan struct{})}, 0)
	q := g.d.Queue(0)
	for range workersPerQueue {
		if _, err := q.Submit([]virtiotest.Span{q.Put(request(requestRead, 0, nil))}, []virtiotest.Span{q.Room(513)}); err != nil {
			t.Fatal(err)
		}
		q.Kick()
	}
	for range workersPerQueue { // all of them wait here at once
		g.disk.hold <- struct{}{}
	}
	for range workersPerQueue {
		if _, err := q.Wait(g.ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReset: no request of before a reset reaches the guest after it, and the
// device can be used again.
func TestReset(t *testing.T) {
	g := newGuest(t, &ram{hold: make(chan struct{}, 1)}, 0)
	q := g.d.Queue(0)
	if _, err := q.Submit([]virtiotest.Span{q.Put(request(requestRead, 0, nil))}, []virtiotest.Span{q.Room(513)}); err != nil {
		t.Fatal(err)
	}
	q.Kick()
	g.disk.hold <- struct{}{}
	g.d.SetStatus(0)
	close(g.disk.hold)
	if err := g.d.Up(0); err != nil {
		t.Fatal(err)
	}
	_, s := g.do(0, requestRead, 0, nil, 512)
	g.expect("read", s, statusOK)
}

// FuzzRequest serves one request of any shape. Checked: an answer comes, and the
// device lives.
func FuzzRequest(f *testing.F) {
	f.Add(request(requestRead, 0, nil), uint16(513))
	f.Add(request(requestWrite, 2, make([]byte, 512)), uint16(1))
	f.Add(request(requestWriteZeroes, 0, erasure1(1, 1, 1)), uint16(1))
	f.Add(request(requestGetID, 0, nil), uint16(21))
	g := newGuest(f, &ram{data: make([]byte, 8<<10)}, 0)
	q := g.d.Queue(0)
	in, out := q.Room(4096), q.Room(1<<16)
	f.Fuzz(func(t *testing.T, req []byte, room uint16) {
		n := copy(q.Bytes(in), req)
		if n == 0 || room == 0 {
			return
		}
		if _, err := q.Submit([]virtiotest.Span{{GPA: in.GPA, Len: uint32(n)}}, []virtiotest.Span{{GPA: out.GPA, Len: uint32(room)}}); err != nil {
			t.Fatal(err)
		}
		q.Kick()
		u, err := q.Wait(context.Background())
		if err != nil || u.Written > uint32(room) || u.Written == 0 {
			t.Fatalf("%+v, %v", u, err)
		}
		if g.d.Status()&virtiotest.StatusNeedsReset != 0 {
			t.Fatal("the device failed")
		}
	})
}
