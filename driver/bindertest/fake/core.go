// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/alloc"
)

// windowSize is the room for the buffers of all processes of a System.
const windowSize = 64 << 20

// NewCore makes a System whose guest driver calls a core of its own.
func NewCore() (*Kernel, error) {
	k := newKernel("core")
	c := &direct{k: k, mem: make([]byte, windowSize)}
	c.ranges.Reset(windowSize, 4096)
	c.vm = driver.New(driver.Config{}).NewVM("fake", c)
	k.transport = c
	return k, nil
}

// direct is the transport without any: the core's methods. It is also the core's
// environment.
type direct struct {
	k   *Kernel
	vm  *driver.VM
	x   driver.Exec
	mem []byte

	mu     sync.Mutex // timers complete freezes; guards the rest
	ranges alloc.Allocator
	done   []*driver.Request
}

func (c *direct) context(name string) (driver.ContextID, unix.Errno) {
	id, err := c.vm.NewContext(name)
	return id, errnoOf(err)
}

func (c *direct) open(a driver.OpenArgs) (driver.ProcID, unix.Errno) {
	id, err := c.vm.Open(&c.x, a)
	return id, errnoOf(err)
}

// errnoOf is the errno within err, as the device answers it.
func errnoOf(err error) (errno unix.Errno) {
	if err != nil && !errors.As(err, &errno) {
		errno = unix.ENODEV
	}
	return errno
}

func (c *direct) mmap(id driver.ProcID, addr, size uint64) (uint64, unix.Errno) {
	return c.vm.Mmap(&c.x, id, addr, size)
}

func (c *direct) writeRead(r *request) {
	r.Payload, r.Data = r.payload, r
	c.vm.WriteRead(&c.x, &r.Request)
}

func (c *direct) ioctl(r *request, cmd uint32, arg *[24]byte) {
	r.Data = r
	c.vm.Ioctl(&c.x, &r.Request, cmd, arg)
}

func (c *direct) poll(id driver.ProcID, tid uint32) (bool, unix.Errno) {
	return c.vm.Poll(&c.x, id, tid)
}

func (c *direct) cancel(id driver.ProcID, tid, seq uint32) { c.vm.Cancel(&c.x, id, tid, seq) }
func (c *direct) release(id driver.ProcID)                 { c.vm.Release(&c.x, id) }
func (c *direct) flush(id driver.ProcID)                   { c.vm.Flush(&c.x, id) }
func (c *direct) unmap(id driver.ProcID)                   { c.vm.Unmap(&c.x, id) }

func (c *direct) undo(id driver.ProcID, tid uint32, delivery uint64) {
	c.vm.Undo(&c.x, id, tid, delivery)
}

func (c *direct) settle() bool {
	c.mu.Lock()
	done := c.done
	c.done = nil
	c.mu.Unlock()
	for _, r := range done {
		r.Data.(*request).done(&r.Resp)
	}
	return len(done) > 0
}

func (c *direct) window() []byte        { return c.mem }
func (c *direct) counts() driver.Counts { return c.vm.Counts() }

func (c *direct) close() error {
	c.vm.Close(&c.x)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.ranges.Len(); n != 0 {
		return fmt.Errorf("%d ranges of the window are left", n)
	}
	return nil
}

// Reserve is driver.Window's.
func (c *direct) Reserve(size uint64) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, off, err := c.ranges.Alloc(size, false)
	if err != nil {
		return 0, unix.ENOMEM
	}
	return off, nil
}

// Release is driver.Window's.
func (c *direct) Release(off, size uint64) {
	clear(c.mem[off : off+size])
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.ranges.Find(off); ok {
		c.ranges.Free(r)
	}
}

// Bytes is driver.Window's.
func (c *direct) Bytes(off, size uint64) []byte { return c.mem[off : off+size] }

// Copy is driver.Window's.
func (c *direct) Copy(f func() error) error { return f() }

// Complete is driver.Env's.
func (c *direct) Complete(_ *driver.Exec, r *driver.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = append(c.done, r)
}

// Event is driver.Env's.
func (c *direct) Event(_ *driver.Exec, e driver.Event) { c.k.event(e) }

// Report is driver.Env's.
func (c *direct) Report(r driver.Report) { c.k.report(r) }
