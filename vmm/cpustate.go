// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"encoding/binary"

	gokvm "github.com/bobuhiro11/gokvm/kvm"

	"virtbinder/internal/guestmem"
	"virtbinder/vmm/kvm"
)

// Control register and page-table bits of long mode.
const (
	cr0PE    = 1 << 0
	cr0ET    = 1 << 4
	cr0PG    = 1 << 31
	cr4PAE   = 1 << 5
	eferLME  = 1 << 8
	eferLMA  = 1 << 10
	pteValid = 1<<0 | 1<<1 // present, writable
	pteLarge = 1 << 7

	rflagsReserved = 1 << 1
)

// Selectors the boot protocol asks for.
const (
	bootCS = 0x10
	bootDS = 0x18
	bootTR = 0x20
)

// MSRs every processor starts with.
const (
	msrMiscEnable  = 0x1a0
	msrMTRRDefType = 0x2ff

	miscFastStrings = 1 << 0
	// mtrrWriteBack enables MTRRs with write-back as the type of all memory.
	// Without it memory is uncached on Intel as soon as the guest honours
	// MTRRs, and the shared-memory window with it.
	mtrrWriteBack = 1<<11 | 6
)

// initialMSRs returns the MSRs of any processor.
func initialMSRs() []kvm.MSR {
	return []kvm.MSR{
		{Index: msrMTRRDefType, Value: mtrrWriteBack},
		{Index: msrMiscEnable, Value: miscFastStrings},
	}
}

// bootGDT is a flat 64-bit code segment, a flat data segment and a task state.
var bootGDT = [...]uint64{
	0, 0,
	0x00af_9b00_0000_ffff, // 0x10: code, long mode
	0x00cf_9300_0000_ffff, // 0x18: data
	0x008f_8b00_0000_ffff, // 0x20: task state
}

// writeBootTables puts the GDT and page tables that the kernel is entered with
// into guest memory: the first 4 GiB one to one, in 2 MiB pages.
func writeBootTables(mem *guestmem.Memory) error {
	if err := writeWords(mem, gdtAddr, bootGDT[:]); err != nil {
		return err
	}
	const page = 4096
	pdpt := uint64(pageTableAddr + page)
	pd := pdpt + page
	if err := writeWords(mem, pageTableAddr, []uint64{pdpt | pteValid}); err != nil {
		return err
	}
	var dirs [4]uint64
	var pages [4 * 512]uint64
	for i := range dirs {
		dirs[i] = pd + uint64(i)*page | pteValid
	}
	for i := range pages {
		pages[i] = uint64(i)<<21 | pteValid | pteLarge
	}
	if err := writeWords(mem, pdpt, dirs[:]); err != nil {
		return err
	}
	return writeWords(mem, pd, pages[:])
}

func writeWords(mem *guestmem.Memory, gpa uint64, words []uint64) error {
	b := make([]byte, 0, 8*len(words))
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return mem.WriteAt(b, gpa)
}

// bootRegs is how the boot processor enters the kernel.
func bootRegs(entry uint64) gokvm.Regs {
	return gokvm.Regs{
		RIP:    entry,
		RSI:    zeroPageAddr,
		RSP:    stackAddr,
		RBP:    stackAddr,
		RFLAGS: rflagsReserved,
	}
}

// bootSregs turns a processor's reset state into long mode with flat segments.
func bootSregs(s gokvm.Sregs) gokvm.Sregs {
	code := gokvm.Segment{Limit: 0xffff_ffff, Selector: bootCS, Typ: 0xb, Present: 1, S: 1, L: 1, G: 1}
	data := gokvm.Segment{Limit: 0xffff_ffff, Selector: bootDS, Typ: 0x3, Present: 1, S: 1, DB: 1, G: 1}
	task := gokvm.Segment{Limit: 0xf_ffff, Selector: bootTR, Typ: 0xb, Present: 1, G: 1}
	s.CS, s.DS, s.ES, s.FS, s.GS, s.SS, s.TR = code, data, data, data, data, data, task
	s.GDT = gokvm.Descriptor{Base: gdtAddr, Limit: uint16(len(bootGDT)*8 - 1)}
	s.IDT = gokvm.Descriptor{}
	s.CR3 = pageTableAddr
	s.CR4 |= cr4PAE
	s.CR0 = cr0PE | cr0ET | cr0PG
	s.EFER |= eferLME | eferLMA
	return s
}
