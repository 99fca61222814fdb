// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/bindertest"
)

// binder is what the guest driver keeps for an open file of its own.
type binder struct {
	id     driver.ProcID
	owner  *process
	seq    uint32
	mapped bool
	addr   uint64           // of the mapping
	size   uint64           // of what has window behind it
	off    uint64           // in the window
	fdas   map[uint64][]int // descriptors of array objects, by their buffer in the window
}

// bytes is the window behind an address, to the end of the page.
func (b *binder) bytes(k *Kernel, addr uint64) []byte {
	pos := addr - b.addr
	if pos >= b.size {
		return nil
	}
	end := pos&^(pageSize-1) + pageSize
	return k.transport.window()[b.off+pos : b.off+end]
}

// node is the context of a device node, made when it is first opened.
func (k *Kernel) node(name string) (driver.ContextID, unix.Errno) {
	if id, is := k.nodes[name]; is {
		return id, 0
	}
	id, errno := k.transport.context(name)
	if errno == 0 {
		k.nodes[name] = id
	}
	return id, errno
}

func (p *process) openBinder(context string, nonblock bool) (int, unix.Errno) {
	node, errno := p.k.node(context)
	if errno != 0 {
		return 0, errno
	}
	id, errno := p.k.transport.open(driver.OpenArgs{Context: node, PID: p.pid, Nice: int32(p.threads[0].nice)})
	if errno != 0 {
		return 0, errno
	}
	b := &binder{id: id, owner: p, fdas: map[uint64][]int{}}
	f := p.k.newFile("binder")
	f.binder, f.nonblock = b, nonblock
	p.k.binders[id] = b
	f.release = func() {
		delete(p.k.binders, id)
		p.k.transport.release(id)
	}
	return p.add(f, true)
}

func (p *process) mapBinder(f *file, size uint64, prot uint32, index int) (uint64, unix.Errno) {
	b := f.binder
	switch {
	case b == nil:
		return 0, unix.ENODEV
	case b.owner != p:
		return 0, unix.EINVAL
	case prot&unix.PROT_WRITE != 0:
		return 0, unix.EPERM
	case b.mapped:
		return 0, unix.EBUSY
	}
	addr := uint64(bindertest.MapAddr + index*bindertest.MapStride)
	size = (size + pageSize - 1) &^ (pageSize - 1)
	b.size = min(size, 4<<20)
	off, errno := p.k.transport.mmap(b.id, addr, b.size)
	if errno != 0 {
		return 0, errno
	}
	b.mapped, b.addr, b.off = true, addr, off
	f.refs++
	p.memory.maps = append(p.memory.maps, &mapping{addr: addr, size: size, binder: b, file: f})
	return addr, 0
}

// nextSeq numbers the requests of a file.
func (b *binder) nextSeq() uint32 { b.seq++; return b.seq }
