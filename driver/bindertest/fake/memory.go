// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
)

const pageSize = 4096

// memory is a process's address space: the Arena, and binder mappings.
type memory struct {
	arena map[uint64]*[pageSize]byte // by page address
	maps  []*mapping
}

// mapping is one binder mapping, or what is left of it.
type mapping struct {
	addr, size uint64
	binder     *binder
	file       *file
}

func (p *process) arenaPage(addr uint64) []byte {
	if addr < bindertest.Arena || addr >= bindertest.Arena+bindertest.ArenaSize {
		return nil
	}
	page := addr &^ (pageSize - 1)
	if p.memory.arena == nil {
		p.memory.arena = map[uint64]*[pageSize]byte{}
	}
	m := p.memory.arena[page]
	if m == nil {
		m = new([pageSize]byte)
		p.memory.arena[page] = m
	}
	return m[addr-page:]
}

// readable is memory that starts at addr, up to the end of its page; nil if there
// is none.
func (p *process) readable(addr uint64) []byte {
	if b := p.arenaPage(addr); b != nil {
		return b
	}
	for _, m := range p.memory.maps {
		if addr >= m.addr && addr < m.addr+m.size {
			return m.binder.bytes(p.k, addr)
		}
	}
	return nil
}

// read copies memory and returns how many bytes there were.
func (p *process) read(b []byte, addr uint64) (n int) {
	for n < len(b) {
		src := p.readable(addr + uint64(n))
		if src == nil {
			break
		}
		n += copy(b[n:], src)
	}
	return n
}

func (p *process) readAll(addr, n uint64) ([]byte, unix.Errno) {
	b := make([]byte, n)
	if uint64(p.read(b, addr)) < n {
		return nil, unix.EFAULT
	}
	return b, 0
}

// write copies to memory that is writable.
func (p *process) write(addr uint64, b []byte) unix.Errno {
	for len(b) > 0 {
		dst := p.arenaPage(addr)
		if dst == nil {
			return unix.EFAULT
		}
		n := copy(dst, b)
		addr, b = addr+uint64(n), b[n:]
	}
	return 0
}

// unmap ends a mapping: any part of it going away does.
func (m *mapping) unmap(p *process) {
	for i, o := range p.memory.maps {
		if o == m {
			p.memory.maps = append(p.memory.maps[:i], p.memory.maps[i+1:]...)
			break
		}
	}
	p.k.transport.unmap(m.binder.id)
	m.file.put()
}
