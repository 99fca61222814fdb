// SPDX-License-Identifier: Apache-2.0

package pci

// Kind says what address space a BAR lives in.
type Kind uint8

const (
	// IO is an I/O port BAR.
	IO Kind = iota
	// Mem32 is a memory BAR below 4 GiB.
	Mem32
	// Mem64 is a 64-bit memory BAR, not prefetchable. It takes two registers.
	Mem64
	// Mem64Prefetch is a 64-bit prefetchable memory BAR. It takes two registers.
	Mem64Prefetch
)

func (k Kind) String() string {
	switch k {
	case IO:
		return "io"
	case Mem32:
		return "mem32"
	case Mem64:
		return "mem64"
	case Mem64Prefetch:
		return "mem64pref"
	}
	return "unknown"
}

// Is64 reports whether a BAR of this kind takes two registers.
func (k Kind) Is64() bool { return k == Mem64 || k == Mem64Prefetch }

// BAR describes one base address register of a function.
type BAR struct {
	Index int    // register number, 0 to 5; a 64-bit BAR also takes Index+1
	Kind  Kind   // address space
	Size  uint64 // bytes, a power of two; also the alignment of its address
}
