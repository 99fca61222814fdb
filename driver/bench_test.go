// SPDX-License-Identifier: Apache-2.0

package driver_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
)

// The core by itself, one operation of each benchmark being a call with its reply
// as libbinder makes it (call and read; free, reply and read; read again), or a
// oneway.

const benchWindow = 1<<20 - 2*4096 // what libbinder maps

var le = binary.LittleEndian

// bench is a VM whose guests do nothing but what a benchmark says.
type bench struct {
	tb     testing.TB
	vm     *driver.VM
	binder driver.ContextID
	x      driver.Exec
	mem    []byte
	off    uint64
}

func newBench(tb testing.TB, window uint64) *bench {
	return newBenchOn(tb, driver.New(driver.Config{}), window)
}

func newBenchOn(tb testing.TB, core *driver.Core, window uint64) *bench {
	tb.Helper()
	mem, err := unix.Mmap(-1, 0, int(window), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		tb.Fatal(err)
	}
	b := &bench{tb: tb, mem: mem}
	b.vm = core.NewVM("bench", b)
	if b.binder, err = b.vm.NewContext("binder"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { b.vm.Close(&b.x); _ = unix.Munmap(mem) })
	return b
}

func (b *bench) Reserve(n uint64) (uint64, error) {
	off := b.off
	if b.off += n; b.off > uint64(len(b.mem)) {
		return 0, unix.ENOMEM
	}
	return off, nil
}
func (b *bench) Release(_, _ uint64)                        {}
func (b *bench) Bytes(off, n uint64) []byte                 { return b.mem[off : off+n] }
func (b *bench) Copy(f func() error) error                  { return f() }
func (b *bench) Complete(_ *driver.Exec, r *driver.Request) { r.Data.(*ask).done = true }
func (b *bench) Event(_ *driver.Exec, _ driver.Event)       {}
func (b *bench) Report(r driver.Report)                     { b.tb.Fatalf("a failed transaction: %+v", r) }

// ask is one request, used over and over.
type ask struct {
	p    *peer
	r    driver.Request
	done bool

	// The core consumes the request's own.
	gather  []driver.Gather
	objects []driver.Object
	fds     []driver.FD
}

func (a *ask) run() *ask {
	a.done = false
	a.p.seq++
	a.r.Seq = a.p.seq
	a.r.Gather = a.gather
	copy(a.r.Objects, a.objects)
	copy(a.r.FDs, a.fds)
	a.p.b.vm.WriteRead(&a.p.b.x, &a.r)
	return a
}

func (a *ask) mustBe(done bool) {
	if a.done != done {
		a.p.b.tb.Fatalf("a request of process %d is done: %v, want %v", a.p.id, a.done, done)
	}
}

// received is the transaction in a.
func (a *ask) received() uapi.TransactionData {
	pos := a.r.Resp.TxnPos
	if !a.done || pos == driver.NoPos {
		a.p.b.tb.Fatalf("no transaction: done %v, status %v, % x", a.done, a.r.Resp.Status, a.r.Resp.BR)
	}
	return uapi.DecodeTransactionData(a.r.Resp.BR[pos+4:], false)
}

// peer is a process with one thread.
type peer struct {
	b   *bench
	id  driver.ProcID
	tid uint32
	seq uint32

	spare *ask // frees buffers
}

func (b *bench) peer(pid uint32) *peer {
	b.tb.Helper()
	id, err := b.vm.Open(&b.x, driver.OpenArgs{Context: b.binder, PID: pid})
	if err != nil {
		b.tb.Fatal(err)
	}
	if _, errno := b.vm.Mmap(&b.x, id, uint64(pid)<<32, benchWindow); errno != 0 {
		b.tb.Fatal(errno)
	}
	p := &peer{b: b, id: id, tid: pid}
	p.ioctl(uapi.BINDER_VERSION)
	return p
}

// thread introduces another thread of the process.
func (p *peer) thread(tid uint32) *peer {
	t := &peer{b: p.b, id: p.id, tid: tid}
	t.ioctl(uapi.BINDER_VERSION)
	return t
}

func (p *peer) ioctl(cmd uint32) {
	p.b.tb.Helper()
	a := p.ask(nil, 0)
	p.b.vm.Ioctl(&p.b.x, &a.r, cmd, new([24]byte))
	if a.r.Resp.Status != 0 {
		p.b.tb.Fatal(a.r.Resp.Status)
	}
}

type memory []byte

func (m memory) ReadAt(p []byte, pos uint64) error { copy(p, m[pos:]); return nil }

// ask prepares a request; read is the room for its answer.
func (p *peer) ask(stream []byte, read uint32) *ask {
	a := &ask{p: p}
	a.r = driver.Request{Proc: p.id, TID: p.tid, Stream: stream, ReadSize: read, Data: a}
	return a
}

// with gives the stream's transaction, which begins at pos, its data and objects.
func (a *ask) with(pos int, data []byte, objs ...driver.Object) *ask {
	a.r.Payload = memory(data)
	a.objects, a.r.Objects = objs, slices.Clone(objs)
	a.gather = []driver.Gather{{CmdPos: uint32(pos), DataLen: uint64(len(data)), ObjCount: uint32(len(objs))}}
	return a
}

func word(cmd uint32, arg ...uint64) []byte {
	out := le.AppendUint32(nil, cmd)
	for _, v := range arg {
		out = le.AppendUint64(out, v)
	}
	return out
}

func send(cmd uint32, t uapi.TransactionData) []byte {
	return t.Append(le.AppendUint32(nil, cmd), false)
}

// pair is a client and a server in their steady state: the server's read is parked
// in wait.
type pair struct {
	call, serve, wait *ask
}

const freeSize = 12 // BC_FREE_BUFFER with its argument

// newPair prepares calls with the data and objects; the server is the context
// manager.
func newPair(b *bench, pid uint32, data []byte, objs ...driver.Object) *pair {
	server, client := b.peer(pid), b.peer(pid+1)
	arg := [24]byte{}
	le.PutUint32(arg[4:], uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)
	mgr := server.ask(nil, 0)
	b.vm.Ioctl(&b.x, &mgr.r, uapi.BINDER_SET_CONTEXT_MGR_EXT, &arg)
	if mgr.r.Resp.Status != 0 {
		b.tb.Fatal(mgr.r.Resp.Status)
	}
	return pairOf(server, client, data, objs...)
}

func pairOf(server, client *peer, data []byte, objs ...driver.Object) *pair {
	server.ask(le.AppendUint32(nil, uapi.BC_ENTER_LOOPER), 0).run()
	p := &pair{
		call:  client.ask(send(uapi.BC_TRANSACTION, uapi.TransactionData{DataSize: uint64(len(data)), OffsetsSize: 8 * uint64(len(objs))}), 256).with(0, data, objs...),
		serve: server.ask(slices.Concat(word(uapi.BC_FREE_BUFFER, 0), send(uapi.BC_REPLY, uapi.TransactionData{})), 256).with(freeSize, nil),
		wait:  server.ask(nil, 256),
	}
	p.wait.run().mustBe(false)
	return p
}

// run makes one call: four requests, as libbinder's threads make them.
func (p *pair) run() {
	p.call.run()
	le.PutUint64(p.serve.r.Stream[4:], p.wait.received().Buffer)
	p.serve.run().mustBe(true)
	p.wait.run().mustBe(false)
	p.call.p.free(p.call)
}

// loop measures run, in time and in processor time: what a call costs is the latter,
// where others have the processor in between.
func loop(b *testing.B, run func()) {
	run()
	b.ReportAllocs()
	b.ResetTimer()
	begun := processorTime(b)
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(processorTime(b)-begun)/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}

func BenchmarkCall(b *testing.B) {
	for _, size := range []int{0, 4 << 10, 64 << 10, 512 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			loop(b, newPair(newBench(b, 4<<20), 1, make([]byte, size)).run)
		})
	}
}

// object is what a sender writes for one: a flat_binder_object.
func object(kind uint32, value uint64) driver.Object {
	o := driver.Object{RawLen: 24}
	raw := uapi.Object(o.Raw[:])
	raw.SetType(kind)
	raw.SetBinder(value)
	return o
}

func BenchmarkCallHandle(b *testing.B) {
	p := newPair(newBench(b, 4<<20), 1, make([]byte, 24), object(uapi.BINDER_TYPE_HANDLE, 0))
	p.call.p.acquire(0)
	loop(b, p.run)
}

func BenchmarkCallFD(b *testing.B) {
	p := newPair(newBench(b, 4<<20), 1, make([]byte, 24), object(uapi.BINDER_TYPE_FD, 5))
	p.call.fds = []driver.FD{{Token: 7}}
	p.call.r.FDs = slices.Clone(p.call.fds)
	p.call.objects[0].FDCount = 1
	loop(b, p.run)
}

// BenchmarkOneway sends and delivers one; the read that waits for the next frees it.
func BenchmarkOneway(b *testing.B) {
	p := newPair(newBench(b, 4<<20), 1, nil)
	send := p.call.p.ask(send(uapi.BC_TRANSACTION, uapi.TransactionData{Flags: uapi.TF_ONE_WAY}), 256).with(0, nil)
	free := p.serve.p.ask(word(uapi.BC_FREE_BUFFER, 0), 256)
	send.run().mustBe(true)
	buffer := p.wait.received().Buffer
	loop(b, func() {
		le.PutUint64(free.r.Stream[4:], buffer)
		free.run().mustBe(false)
		send.run().mustBe(true)
		buffer = free.received().Buffer
	})
}

// BenchmarkNested answers each call after a call of the server's own into the
// client's waiting thread.
func BenchmarkNested(b *testing.B) {
	p := newPair(newBench(b, 4<<20), 1, make([]byte, 24), object(uapi.BINDER_TYPE_BINDER, 0x1000))
	server, client := p.serve.p, p.call.p
	p.call.run()
	server.acquire(1) // the client's node is the server's first handle
	le.PutUint64(p.serve.r.Stream[4:], p.wait.received().Buffer)
	p.serve.run()
	p.wait.run().mustBe(false)
	for !p.call.done || p.call.r.Resp.TxnPos == driver.NoPos { // after what is said of its node
		p.call.r.Stream, p.call.gather, p.call.r.Objects = nil, nil, nil
		p.call.run()
	}

	p.call = client.ask(send(uapi.BC_TRANSACTION, uapi.TransactionData{}), 256).with(0, nil)
	back := server.ask(send(uapi.BC_TRANSACTION, uapi.TransactionData{Target: 1}), 256).with(0, nil)
	answer := client.ask(slices.Concat(word(uapi.BC_FREE_BUFFER, 0), send(uapi.BC_REPLY, uapi.TransactionData{})), 256).with(freeSize, nil)
	rest := client.ask(nil, 256)
	loop(b, func() {
		p.call.run()
		back.run().mustBe(false)
		le.PutUint64(answer.r.Stream[4:], p.call.received().Buffer)
		answer.run().mustBe(true)
		rest.run().mustBe(false)
		server.free(back)
		le.PutUint64(p.serve.r.Stream[4:], p.wait.received().Buffer)
		p.serve.run().mustBe(true)
		client.free(rest)
		p.wait.run().mustBe(false)
	})
}

func (p *peer) acquire(handle uint32) {
	p.ask(le.AppendUint32(le.AppendUint32(nil, uapi.BC_ACQUIRE), handle), 0).run()
}

// free gives back the buffer that a received.
func (p *peer) free(a *ask) {
	if p.spare == nil {
		p.spare = p.ask(word(uapi.BC_FREE_BUFFER, 0), 0)
	}
	le.PutUint64(p.spare.r.Stream[4:], a.received().Buffer)
	p.spare.run()
}

// BenchmarkCallParallel makes calls of unrelated pairs from all processors: in one
// core, which has one lock, and in one for each, as VMs have.
func BenchmarkCallParallel(b *testing.B) {
	shared := driver.New(driver.Config{})
	b.Run("OneCore", func(b *testing.B) { benchmarkParallel(b, func() *driver.Core { return shared }) })
	b.Run("OwnCores", func(b *testing.B) { benchmarkParallel(b, func() *driver.Core { return driver.New(driver.Config{}) }) })
}

func benchmarkParallel(b *testing.B, core func() *driver.Core) {
	b.ReportAllocs()
	begun := processorTime(b)
	b.RunParallel(func(pb *testing.PB) {
		p := newPair(newBenchOn(b, core(), 4<<20), 1, nil)
		p.run()
		for pb.Next() {
			p.run()
		}
	})
	b.ReportMetric(float64(processorTime(b)-begun)/float64(b.N), "cpu-ns/op")
}

// BenchmarkCallAmong makes null calls in a VM that holds many other things.
func BenchmarkCallAmong(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("%dProcesses", n), func(b *testing.B) {
			w := newBench(b, uint64(n+2)<<20)
			p := newPair(w, 1, nil)
			before := heap()
			for i := range n {
				w.peer(uint32(100 + i))
			}
			perProcess := float64(heap()-before) / float64(n)
			loop(b, p.run)
			b.ReportMetric(perProcess, "B/process")
		})
	}
	b.Run("4000ParkedThreads", benchmarkParkedThreads)
	b.Run("100000Nodes", benchmarkNodes)
	b.Run("100000Handles", benchmarkHandles)
	b.Run("10000Buffers", benchmarkBuffers)
}

func benchmarkParkedThreads(b *testing.B) {
	w := newBench(b, 4<<20)
	p := newPair(w, 1, nil)
	for i := range 4000 {
		t := p.serve.p.thread(uint32(100 + i))
		t.ask(le.AppendUint32(nil, uapi.BC_ENTER_LOOPER), 256).run().mustBe(false)
	}
	// The most recent one to park takes the call: keep it our pair's.
	p.wait.p.b.vm.Cancel(&w.x, p.wait.p.id, p.wait.p.tid, p.wait.r.Seq)
	p.wait.run().mustBe(false)
	loop(b, p.run)
}

// manyObjects is how many objects are handed over, in calls of handedOver each.
const manyObjects, handedOver = 100000, 1000

// give has the pair's client hand over so many objects of its own; the server keeps a
// handle of each.
func (p *pair) give(many int) {
	server, client := p.serve.p, p.call.p
	for first := 0; first < many; first += handedOver {
		objs := make([]driver.Object, handedOver)
		keep := []byte(nil)
		for i := range objs {
			objs[i] = object(uapi.BINDER_TYPE_BINDER, uint64(0x1000+first+i))
			objs[i].Offset = uint64(24 * i)
			keep = le.AppendUint32(le.AppendUint32(keep, uapi.BC_ACQUIRE), uint32(first+i+1))
		}
		size := 24 * handedOver
		call := client.ask(send(uapi.BC_TRANSACTION, uapi.TransactionData{DataSize: uint64(size), OffsetsSize: 8 * handedOver}), 256)
		call.with(0, make([]byte, size), objs...).run()
		buffer := p.wait.received().Buffer
		server.ask(keep, 0).run()
		le.PutUint64(p.serve.r.Stream[4:], buffer)
		p.serve.run().mustBe(true)
		p.wait.run().mustBe(false)
		client.drain(call)
	}
}

// drain reads what is said of new objects, up to the reply, and frees that.
func (p *peer) drain(a *ask) {
	for !a.done || a.r.Resp.TxnPos == driver.NoPos {
		a.r.Stream, a.gather, a.r.Objects = nil, nil, nil
		a.r.ReadSize = 64 << 10
		a.run()
	}
	p.free(a)
}

// benchmarkNodes calls the manager of 100,000 handles from the owner of their nodes.
func benchmarkNodes(b *testing.B) {
	p := newPair(newBench(b, 4<<20), 1, nil)
	p.give(manyObjects)
	loop(b, p.run)
}

// benchmarkHandles calls through one of 100,000 handles, to the owner of the nodes.
func benchmarkHandles(b *testing.B) {
	p := newPair(newBench(b, 4<<20), 1, nil)
	p.give(manyObjects)
	holder, owner := p.serve.p, p.call.p
	p = pairOf(owner.thread(50), holder.thread(51), nil)
	le.PutUint32(p.call.r.Stream[4:], manyObjects/2) // handle
	loop(b, p.run)
}

// benchmarkBuffers calls a server that has not freed 10,000 buffers.
func benchmarkBuffers(b *testing.B) {
	const count, size = 10000, 64
	p := newPair(newBench(b, 4<<20), 1, nil)
	fill := pairOf(p.serve.p.thread(50), p.call.p.thread(51), make([]byte, size))
	keep := fill.serve.p.ask(send(uapi.BC_REPLY, uapi.TransactionData{}), 256).with(0, nil)
	for range count {
		fill.call.run()
		keep.run().mustBe(true)
		fill.wait.run().mustBe(false)
		fill.call.p.free(fill.call)
	}
	fill.call.p.b.vm.Cancel(&fill.call.p.b.x, fill.wait.p.id, fill.wait.p.tid, fill.wait.r.Seq)
	loop(b, p.run)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
