// SPDX-License-Identifier: Apache-2.0

package device

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/virtio/vbinder"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/virtiotest"
)

var sizes = []int{0, 4 << 10, 64 << 10, 512 << 10}

const ramSize = 32 << 20

// threads is what each process has at most: a thread that comes back from a system call
// must find a place in Go's scheduler, as in the VMM.
const threads = 8

// startGuest makes a device in worker mode and a guest for it in another process.
func startGuest(b *testing.B) *peer {
	b.Helper()
	before := runtime.GOMAXPROCS(threads)
	b.Cleanup(func() { runtime.GOMAXPROCS(before) })
	memory, err := virtiotest.Memfd("guest memory", ramSize)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { memory.Close() })
	ram, err := unix.Mmap(int(memory.Fd()), 0, ramSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Munmap(ram) })
	dev, err := vbinder.New(vbinder.Config{
		Name: "bench", Core: driver.New(driver.Config{}), RequestQueues: 2, WindowSize: 64 << 20, Poll: vbinder.DefaultPoll,
		Report: func(r driver.Report) { b.Errorf("a failed transaction: %+v", r) },
	})
	if err != nil {
		b.Fatal(err)
	}
	drv, err := virtiotest.Start(dev, virtiotest.Config{RAM: ram})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := drv.Close(); err != nil {
			b.Error(err)
		}
		if err := dev.Close(); err != nil {
			b.Error(err)
		}
	})
	m := machine{Taken: drv.Machine.Taken()}
	files := []*os.File{memory}
	for i := range m.Rings {
		q := drv.Queue(wire.QRequest + i)
		m.Rings[i] = q.Ring
		irq := newBell(b)
		q.OnInterrupt(bell{int(irq.Fd())}.ring)
		files = append(files, doorbell(b, drv, wire.QRequest+i), irq)
	}
	p := startPeer(b, "guest", files...)
	p.tell(order{Machine: &m})
	return p
}

func doorbell(b *testing.B, drv *virtiotest.Driver, queue int) *os.File {
	b.Helper()
	fd, ok := drv.Doorbell(queue)
	if ok {
		var err error
		if fd, err = unix.Dup(fd); err == nil {
			f := os.NewFile(uintptr(fd), "doorbell")
			b.Cleanup(func() { f.Close() })
			return f
		}
	}
	b.Fatalf("queue %d has no doorbell", queue)
	return nil
}

// measure has the guest do b.N of what o says.
func measure(b *testing.B, o order) {
	p := startGuest(b)
	o.N = 1
	p.tell(o)
	o.N = b.N
	b.ResetTimer()
	p.tell(o)
}

// BenchmarkPing is an empty round trip of one ring.
func BenchmarkPing(b *testing.B) { measure(b, order{Kind: "ping"}) }

// BenchmarkCall is a synchronous call between two of the guest's processes.
func BenchmarkCall(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) { measure(b, order{Kind: "call", Size: size}) })
	}
}

// BenchmarkCallHandle is such a call with a handle in it.
func BenchmarkCallHandle(b *testing.B) { measure(b, order{Kind: "handle"}) }

// BenchmarkCallFD is such a call with a descriptor in it.
func BenchmarkCallFD(b *testing.B) { measure(b, order{Kind: "fd"}) }

// BenchmarkOneway is a oneway, sent and received.
func BenchmarkOneway(b *testing.B) { measure(b, order{Kind: "oneway"}) }

// BenchmarkNested is a call that is answered after a call back into the waiting thread.
func BenchmarkNested(b *testing.B) { measure(b, order{Kind: "nested"}) }
