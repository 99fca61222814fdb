// SPDX-License-Identifier: Apache-2.0

package virtiotest

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"virtbinder/internal/guestmem"
)

// Machine is a virtio.Host over plain memory. Guest memory begins at RAMBase, so
// that a guest address of 0 is a mistake that shows.
type Machine struct {
	mem guestmem.Memory
	ram []byte

	mu     sync.Mutex
	next   uint64 // where Alloc continues
	irqs   map[uint32]func()
	evfds  map[doorbell]int
	shared map[uint64][]byte
}

// RAMBase is the guest-physical address of the first byte of memory.
const RAMBase = 0x10000

// msiBase is where this machine takes message-signalled interrupts.
const msiBase = 0xfee00000

type doorbell struct {
	port  uint16
	value uint64
}

// NewMachine makes a machine with the given amount of memory in bytes, a multiple
// of 4096.
func NewMachine(bytes int) (*Machine, error) { return NewMachineOn(make([]byte, bytes), 0) }

// NewMachineOn makes a machine of memory that is there, of which the first taken
// bytes are another's to allocate: another process may have the same memory.
func NewMachineOn(ram []byte, taken int) (*Machine, error) {
	m := &Machine{
		ram: ram, next: RAMBase + uint64(taken),
		irqs: map[uint32]func(){}, evfds: map[doorbell]int{}, shared: map[uint64][]byte{},
	}
	return m, m.mem.Add(RAMBase, m.ram)
}

// Memory returns the guest's memory, as devices see it.
func (m *Machine) Memory() *guestmem.Memory { return &m.mem }

// Alloc takes n bytes of guest memory, aligned to align, a power of two. It panics
// when the machine was made too small, which is a mistake in the test.
func (m *Machine) Alloc(n, align int) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := (m.next + uint64(align) - 1) &^ (uint64(align) - 1)
	if at+uint64(n) > RAMBase+uint64(len(m.ram)) {
		panic(fmt.Sprintf("virtiotest: machine of %d bytes is too small", len(m.ram)))
	}
	m.next = at + uint64(n)
	return at
}

// Bytes returns n bytes of guest memory at gpa, as the guest sees them. It panics
// outside of it.
func (m *Machine) Bytes(gpa uint64, n int) []byte {
	off := gpa - RAMBase
	return m.ram[off : off+uint64(n) : off+uint64(n)]
}

// SendMSI runs the handler that the driver gave to the interrupt.
func (m *Machine) SendMSI(addr uint64, data uint32) error {
	m.mu.Lock()
	handler := m.irqs[data]
	m.mu.Unlock()
	if addr != msiBase || handler == nil {
		return fmt.Errorf("virtiotest: stray interrupt %#x, %d", addr, data)
	}
	handler()
	return nil
}

// onMSI registers an interrupt handler and returns the message data that raises it.
func (m *Machine) onMSI(handler func()) (data uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data = uint32(len(m.irqs)) + 0x20
	m.irqs[data] = handler
	return data
}

// IOEventFD binds an eventfd to a value written to a port.
func (m *Machine) IOEventFD(port uint16, width int, datamatch uint64, fd int, assign bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := doorbell{port, datamatch}
	_, bound := m.evfds[key]
	if width != 2 || bound == assign {
		return fmt.Errorf("virtiotest: ioeventfd port %#x, width %d, assign %v: bound is %v", port, width, assign, bound)
	}
	if assign {
		m.evfds[key] = fd
	} else {
		delete(m.evfds, key)
	}
	return nil
}

// Taken returns how many bytes of guest memory, from its beginning, are allocated.
func (m *Machine) Taken() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int(m.next - RAMBase)
}

// Doorbells returns how many eventfds are bound to ports.
func (m *Machine) Doorbells() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.evfds)
}

// ring writes to a port; it reports false if no eventfd took the write.
func (m *Machine) ring(port uint16, value uint16) bool {
	m.mu.Lock()
	fd, ok := m.evfds[doorbell{port, uint64(value)}]
	m.mu.Unlock()
	if !ok {
		return false
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, err := unix.Write(fd, one[:])
	return err == nil
}

// MapShared maps a device's shared memory where the guest can reach it.
func (m *Machine) MapShared(gpa uint64, size uint64, f *os.File) (unmap func() error, err error) {
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shared[gpa] = b
	return func() error {
		m.mu.Lock()
		delete(m.shared, gpa)
		m.mu.Unlock()
		return unix.Munmap(b)
	}, nil
}

// Shared returns the shared memory that is mapped at gpa, or nil.
func (m *Machine) Shared(gpa uint64) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shared[gpa]
}
