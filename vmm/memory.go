// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"virtbinder/internal/guestmem"
	"virtbinder/vmm/kvm"
)

// Memory slots of the machine; MapShared takes numbers from slotShared on.
const (
	slotLow = iota
	slotHigh
	slotShared
)

// ram is the guest's memory: one sealed memfd, mapped once, shown to the guest
// in one or two pieces.
type ram struct {
	file *os.File
	host []byte
	mem  guestmem.Memory
}

// newRAM makes the memory and puts it into the machine's slots.
func newRAM(vm *kvm.VM, l layout) (*ram, error) {
	size := l.low.size() + l.high.size()
	fd, err := unix.MemfdCreate("virtbinder-ram", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a memory file for the guest: %w", err)
	}
	r := &ram{file: os.NewFile(uintptr(fd), "virtbinder-ram")}
	if err := r.mapFile(size); err != nil {
		r.close()
		return nil, err
	}
	if err := r.addPiece(vm, slotLow, l.low, r.host[:l.low.size()]); err != nil {
		r.close()
		return nil, err
	}
	if l.high.size() > 0 {
		if err := r.addPiece(vm, slotHigh, l.high, r.host[l.low.size():]); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

func (r *ram) mapFile(size uint64) error {
	if err := r.file.Truncate(int64(size)); err != nil {
		return fmt.Errorf("give the guest %d MiB of memory: %w", size>>20, err)
	}
	// A file that cannot shrink cannot fault under us.
	fd := int(r.file.Fd())
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return fmt.Errorf("seal the guest's memory file: %w", err)
	}
	host, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("map %d MiB of guest memory: %w", size>>20, err)
	}
	r.host = host
	// Only a wish: the host may not allow huge pages for shared memory.
	_ = unix.Madvise(host, unix.MADV_HUGEPAGE)
	_ = unix.Madvise(host, unix.MADV_DONTDUMP)
	return nil
}

func (r *ram) addPiece(vm *kvm.VM, slot uint32, at span, host []byte) error {
	if err := r.mem.Add(at.start, host); err != nil {
		return err
	}
	return vm.SetMemory(slot, at.start, host)
}

// close unmaps the memory; the vCPUs and devices have stopped.
func (r *ram) close() error {
	var err error
	if r.host != nil {
		err = unix.Munmap(r.host)
		r.host = nil
	}
	if cerr := r.file.Close(); err == nil {
		err = cerr
	}
	return err
}
