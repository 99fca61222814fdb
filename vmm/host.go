// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"virtbinder/internal/guestmem"
	"virtbinder/vmm/kvm"
)

// host is the machine as a virtio transport sees it (virtio.Host).
type host struct{ m *Machine }

// Memory returns the guest's memory.
func (h host) Memory() *guestmem.Memory { return &h.m.ram.mem }

// SendMSI raises a message-signalled interrupt. No allocation.
func (h host) SendMSI(addr uint64, data uint32) error { return h.m.vm.SignalMSI(addr, data) }

// IOEventFD binds an eventfd to a port, or undoes it.
func (h host) IOEventFD(port uint16, width int, datamatch uint64, fd int, assign bool) error {
	e := kvm.IOEvent{PIO: true, Addr: uint64(port), Width: width, Match: datamatch, MatchValue: true, FD: fd}
	if assign {
		return h.m.vm.AddIOEvent(e)
	}
	return h.m.vm.RemoveIOEvent(e)
}

// MapShared shows a file's memory to the guest through a slot of its own.
func (h host) MapShared(gpa uint64, size uint64, f *os.File) (unmap func() error, err error) {
	if size == 0 || size%4096 != 0 || size > math.MaxInt {
		return nil, fmt.Errorf("shared memory of %#x bytes: not a number of pages", size)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d MiB of shared memory: %w", size>>20, err)
	}
	_ = unix.Madvise(mem, unix.MADV_DONTDUMP)
	slot := h.m.slots.take()
	if err := h.m.vm.SetMemory(slot, gpa, mem); err != nil {
		h.m.slots.give(slot)
		_ = unix.Munmap(mem)
		return nil, err
	}
	return func() error {
		if err := h.m.vm.RemoveMemory(slot); err != nil {
			return err // still in use: keep the mapping
		}
		h.m.slots.give(slot)
		return unix.Munmap(mem)
	}, nil
}

// slotTable hands out numbers of memory slots.
type slotTable struct {
	mu   sync.Mutex // a leaf
	next uint32
	free []uint32
}

func (t *slotTable) take() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		slot := t.free[n-1]
		t.free = t.free[:n-1]
		return slot
	}
	t.next++
	return t.next - 1
}

func (t *slotTable) give(slot uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free = append(t.free, slot)
}
