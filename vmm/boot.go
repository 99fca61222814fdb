// SPDX-License-Identifier: Apache-2.0

package vmm

// Loading the kernel.
//
//	guest-physical                                                 who fills it
//	0x0000_0500  boot GDT                                          boot.go
//	0x0000_7000  zero page (struct boot_params)                    boot.go
//	0x0000_8ff0  boot stack, growing down
//	0x0000_9000  page tables: 4 GiB mapped one to one              boot.go
//	0x0002_0000  command line, 64 KiB at most                      boot.go
//	0x0009_fc00  end of conventional memory; VGA, ROMs: reserved
//	0x000e_0000  ACPI tables, up to 1 MiB                          acpi.go
//	0x0100_0000  kernel, at its preferred address, + init_size     boot.go
//	     ...     initrd, page-aligned, as high as the kernel takes it (2 GiB)
//	end of RAM   at most 3 GiB below the hole
//	0xc000_0000  PCI, 32-bit memory BARs                           pci.go
//	0xfec0_0000  IOAPIC      0xfee0_0000 local APICs               in KVM
//	0xfeff_c000  four pages for KVM itself
//	0x1_0000_0000  the rest of RAM
//	     ...     64-bit PCI window, 16 GiB-aligned, above all RAM  pci.go
//
// The kernel is entered as the 64-bit boot protocol says: long mode, flat
// segments, memory mapped one to one, RSI at the zero page. A bzImage is
// entered at its 64-bit entry point, a vmlinux at its ELF entry.

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/bobuhiro11/gokvm/bootparam"

	"virtbinder/internal/guestmem"
	"virtbinder/vmm/image"
)

const (
	// rsdpOffset is a field of the zero page outside the setup header.
	rsdpOffset = 0x70
	// entry64 is where a bzImage's protected-mode part has its 64-bit entry.
	entry64 = 0x200
	// xlfKernel64 in xloadflags says that it has one.
	xlfKernel64 = 1 << 0
	// bootloaderID says "no assigned id".
	bootloaderID = 0xff
	// protocol212 is the first boot protocol with xloadflags.
	protocol212 = 0x020c
	vmlinuxBoot = 0x020f // what the zero page claims for a vmlinux
)

// bootSpec is what to boot.
type bootSpec struct {
	kernel     string // path of a bzImage, a vmlinux or an Android boot image
	vendorBoot string // path of an Android vendor boot image; may be empty
	initrd     string // path; may be empty
	cmdline    string
	layout     layout
	rsdp       uint64 // address of the ACPI root pointer
}

// kernelImage is a kernel that was put into guest memory.
type kernelImage struct {
	entry   uint64 // guest-physical
	end     uint64 // first byte after all memory it needs to unpack itself
	initMax uint64 // highest address the initrd may have
	bp      *bootparam.BootParam
}

// loadBoot puts kernel, initrd, command line and zero page into guest memory and
// returns the entry point.
func loadBoot(mem *guestmem.Memory, s bootSpec) (entry uint64, err error) {
	files, err := openBoot(s)
	defer files.close()
	if err != nil {
		return 0, err
	}
	k, err := loadKernel(mem, files.kernel, files.name, s.layout)
	if err != nil {
		return 0, err
	}
	if err := loadCmdline(mem, k.bp, files.cmdline); err != nil {
		return 0, err
	}
	if err := loadInitrd(mem, k, files.initrd, s.layout); err != nil {
		return 0, err
	}
	k.bp.Hdr.TypeOfLoader = bootloaderID
	k.bp.Hdr.LoadFlags |= bootparam.LoadedHigh
	binary.LittleEndian.PutUint64(k.bp.Padding[rsdpOffset:], s.rsdp)
	if err := addE820(k.bp, e820Map(s.layout)); err != nil {
		return 0, err
	}
	page, err := k.bp.Bytes()
	if err != nil {
		return 0, fmt.Errorf("encode the zero page: %w", err)
	}
	return k.entry, mem.WriteAt(page, zeroPageAddr)
}

const wantKernel = "a Linux kernel for x86-64: a bzImage (the vmlinuz of a distribution) or an uncompressed vmlinux"

func loadKernel(mem *guestmem.Memory, f *io.SectionReader, name string, l layout) (*kernelImage, error) {
	kind, err := image.Identify(f)
	if err != nil {
		return nil, fmt.Errorf("kernel: read %s: %w", name, err)
	}
	switch kind {
	case image.BzImage:
		return loadBzImage(mem, f, name, l)
	case image.ELF:
		return loadVmlinux(mem, f, name, l)
	}
	return nil, &image.Error{Role: "kernel", Path: name, Looks: kind.String(), Want: wantKernel}
}

// loadBzImage loads the protected-mode part of a bzImage at the address it
// prefers, where it unpacks itself in place.
func loadBzImage(mem *guestmem.Memory, r *io.SectionReader, path string, l layout) (*kernelImage, error) {
	bad := func(format string, args ...any) error {
		return &image.Error{Role: "kernel", Path: path, Looks: "a bzImage that " + fmt.Sprintf(format, args...), Want: wantKernel}
	}
	file, err := bootparam.New(r)
	if errors.Is(err, bootparam.ErrorOldProtocolVersion) {
		return nil, bad("speaks a boot protocol from before 2007 (%v)", err)
	}
	if err != nil {
		return nil, bad("is cut off in its header (%v)", err)
	}
	h := file.Hdr
	if h.Version < protocol212 || h.XloadFlags&xlfKernel64 == 0 {
		return nil, bad("has no 64-bit entry point (boot protocol %d.%02d): a 32-bit kernel?", h.Version>>8, h.Version&0xff)
	}
	sects := int64(h.SetupSects)
	if sects == 0 {
		sects = 4
	}
	setup := (sects + 1) * 512
	body := int64(h.SysSize) * 16
	if setup+body > r.Size() {
		return nil, bad("is cut off: its header promises %d bytes, it has %d", setup+body, r.Size())
	}
	load := h.PrefAddress
	need := max(uint64(h.InitSize), uint64(body))
	if load < highRAMStart || load > l.low.end || need > l.low.end-load {
		return nil, fmt.Errorf("kernel %s needs %d MiB at %#x to unpack itself, the guest has memory up to %#x: give it more memory (-m)", path, need>>20, load, l.low.end)
	}
	if err := copyFile(mem, load, io.NewSectionReader(r, setup, body)); err != nil {
		return nil, fmt.Errorf("kernel: load %s: %w", path, err)
	}
	bp := &bootparam.BootParam{Hdr: trimHeader(h)}
	return &kernelImage{entry: load + entry64, end: load + need, initMax: uint64(h.InitrdAddrMax), bp: bp}, nil
}

// trimHeader clears the fields that lie beyond the header's own end (its length
// follows from the jump instruction over it): in older kernels that is code.
func trimHeader(h bootparam.SetupHeader) bootparam.SetupHeader {
	end := 0x202 + int(h.Jump>>8)
	for _, f := range []struct {
		off   int
		clear func()
	}{
		{0x260, func() { h.InitSize = 0 }},
		{0x264, func() { h.HandoverOffset = 0 }},
		{0x268, func() { h.KernelInfoOffset = 0 }},
	} {
		if end < f.off+4 {
			f.clear()
		}
	}
	return h
}

// loadVmlinux loads the segments of an uncompressed ELF kernel at their physical
// addresses.
func loadVmlinux(mem *guestmem.Memory, r io.ReaderAt, path string, l layout) (*kernelImage, error) {
	bad := func(format string, args ...any) error {
		return &image.Error{Role: "kernel", Path: path, Looks: "an ELF file that " + fmt.Sprintf(format, args...), Want: wantKernel}
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, bad("does not parse (%v)", err)
	}
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 {
		return nil, bad("is for %v", f.Machine)
	}
	if f.Type != elf.ET_EXEC {
		return nil, bad("is no kernel (ELF type %v)", f.Type)
	}
	k := &kernelImage{entry: f.Entry, initMax: 1<<31 - 1, bp: &bootparam.BootParam{}}
	k.bp.Hdr.Header, k.bp.Hdr.Version = bootparam.MagicSignature, vmlinuxBoot
	k.bp.Hdr.BootFlag, k.bp.Hdr.CmdlineSize = 0xaa55, 2047
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		if p.Paddr < highRAMStart || p.Paddr > l.low.end || p.Memsz > l.low.end-p.Paddr || p.Filesz > p.Memsz {
			return nil, bad("wants %d bytes at physical address %#x, outside the guest's memory (a user program, or too little memory)", p.Memsz, p.Paddr)
		}
		if err := copyFile(mem, p.Paddr, io.NewSectionReader(p, 0, int64(p.Filesz))); err != nil {
			return nil, fmt.Errorf("kernel: load %s: %w", path, err)
		}
		k.end = max(k.end, p.Paddr+p.Memsz)
	}
	if k.end == 0 || k.entry < highRAMStart || k.entry >= k.end {
		return nil, bad("has no physical entry point (%#x)", k.entry)
	}
	return k, nil
}

func loadCmdline(mem *guestmem.Memory, bp *bootparam.BootParam, cmdline string) error {
	limit := min(int(bp.Hdr.CmdlineSize), cmdlineRoom-1)
	if len(cmdline) > limit {
		return fmt.Errorf("the kernel command line is %d bytes long, this kernel takes %d: shorten it", len(cmdline), limit)
	}
	for i := range len(cmdline) {
		if cmdline[i] == 0 {
			return fmt.Errorf("the kernel command line has a zero byte at %d", i)
		}
	}
	bp.Hdr.CmdlinePtr = cmdlineAddr
	return mem.WriteAt(append([]byte(cmdline), 0), cmdlineAddr)
}

// loadInitrd puts the parts of the initial RAM file system one after the other.
func loadInitrd(mem *guestmem.Memory, k *kernelImage, parts []*io.SectionReader, l layout) error {
	var size uint64
	for _, p := range parts {
		size += uint64(p.Size())
	}
	if size == 0 {
		return nil
	}
	at, err := placeInitrd(size, k.end, k.initMax, l.low.end)
	if err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	k.bp.Hdr.RamdiskImage, k.bp.Hdr.RamdiskSize = uint32(at), uint32(size)
	for _, p := range parts {
		if err := copyFile(mem, at, p); err != nil {
			return fmt.Errorf("initrd: load: %w", err)
		}
		at += uint64(p.Size())
	}
	return nil
}

// placeInitrd puts size bytes as high as possible below both the end of low
// memory and the kernel's limit (an inclusive address), above the kernel.
func placeInitrd(size, kernelEnd, limit, ramEnd uint64) (uint64, error) {
	top := min(ramEnd, limit+1)
	bottom := alignUp(kernelEnd, 4096)
	if bottom > top || size > top-bottom {
		return 0, fmt.Errorf("%d MiB do not fit between the kernel's end at %#x and %#x: give the guest more memory (-m)", size>>20, kernelEnd, top)
	}
	return alignDown(top-size, 4096), nil
}

// copyFile copies all of r into guest memory at gpa, straight from the file.
func copyFile(mem *guestmem.Memory, gpa uint64, r *io.SectionReader) (err error) {
	host, err := mem.Slice(gpa, uint64(r.Size()))
	if err != nil {
		return err
	}
	defer guestmem.Recover(guestmem.Enter(), &err)
	n, err := io.ReadFull(r, host)
	if err != nil {
		return fmt.Errorf("at byte %d of %d: %w", n, r.Size(), err)
	}
	return nil
}
