// SPDX-License-Identifier: Apache-2.0

package vmm

import "fmt"

// The guest-physical address space. boot.go draws it.
const (
	gdtAddr       = 0x00_0500 // boot GDT
	zeroPageAddr  = 0x00_7000 // struct boot_params
	stackAddr     = 0x00_8ff0 // top of the boot stack
	pageTableAddr = 0x00_9000 // PML4, PDPT, four page directories
	cmdlineAddr   = 0x02_0000
	cmdlineRoom   = 0x01_0000
	lowRAMEnd     = 0x09_fc00 // conventional memory ends here
	acpiAddr      = 0x0e_0000 // ACPI tables, up to 1 MiB
	acpiEnd       = 0x10_0000
	highRAMStart  = 0x10_0000

	mmioHoleStart = 0xc000_0000 // RAM below 4 GiB ends here at the latest
	pci32Start    = mmioHoleStart
	pci32End      = 0xfe00_0000
	ioapicAddr    = 0xfec0_0000
	lapicAddr     = 0xfee0_0000
	identityAddr  = 0xfeff_c000 // KVM's own four pages
	tssAddr       = 0xfeff_d000
	fourGiB       = 0x1_0000_0000

	// The part of the I/O space that BARs are placed in.
	pciIOStart = 0xc000
	pciIOEnd   = 0x1_0000

	// pci64Align and pci64Room give the 64-bit window its place above RAM.
	pci64Align = 16 << 30
	pci64Room  = 256 << 30
	// pci64Ceiling stays below the range that AMD's interconnect keeps.
	pci64Ceiling = 0xfd_0000_0000
)

// span is the half-open address range [start, end).
type span struct{ start, end uint64 }

func (s span) size() uint64 { return s.end - s.start }

func (s span) contains(addr, n uint64) bool {
	return addr >= s.start && addr < s.end && n <= s.end-addr
}

// layout is where the machine's memory and windows are, given its size.
type layout struct {
	low   span // RAM below 4 GiB, from 0
	high  span // RAM above 4 GiB; empty for small machines
	pci32 span // memory window for 32-bit BARs
	pci64 span // memory window for 64-bit BARs, above RAM
	pciIO span // port window for I/O BARs
}

// newLayout places mem bytes of RAM and the PCI windows in an address space of
// physBits bits.
func newLayout(mem uint64, physBits uint8) (layout, error) {
	l := layout{
		low:   span{0, min(mem, mmioHoleStart)},
		pci32: span{pci32Start, pci32End},
		pciIO: span{pciIOStart, pciIOEnd},
	}
	if mem > mmioHoleStart {
		l.high = span{fourGiB, fourGiB + mem - mmioHoleStart}
	}
	start := alignUp(max(l.high.end, fourGiB), pci64Align)
	end := min(start+pci64Room, 1<<physBits, pci64Ceiling)
	if start >= end {
		return layout{}, fmt.Errorf("%d MiB of guest memory leave no room for PCI devices in the %d physical address bits of this processor: use less memory", mem>>20, physBits)
	}
	l.pci64 = span{start, end}
	return l, nil
}

func alignUp(n, align uint64) uint64   { return (n + align - 1) &^ (align - 1) }
func alignDown(n, align uint64) uint64 { return n &^ (align - 1) }
