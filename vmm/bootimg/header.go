// SPDX-License-Identifier: Apache-2.0

package bootimg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Magic numbers, and the sizes of headers by version.
const (
	bootMagic   = "ANDROID!"
	vendorMagic = "VNDRBOOT"

	versionOffset = 40 // in boot.img; in vendor_boot it is 8
	pageSizeV3    = 4096
	minPage       = 2048
	maxPage       = 1 << 20
)

// Offsets of fields in boot.img, versions 0 to 2.
const (
	v0KernelSize   = 8
	v0RamdiskSize  = 16
	v0PageSize     = 36
	v0Cmdline      = 64
	v0CmdlineEnd   = v0Cmdline + 512
	v0Extra        = 608
	v0ExtraEnd     = v0Extra + 1024
	v0HeaderLength = v0ExtraEnd
)

// Offsets of fields in boot.img, versions 3 and 4.
const (
	v3KernelSize   = 8
	v3RamdiskSize  = 12
	v3Cmdline      = 44
	v3CmdlineEnd   = v3Cmdline + 1536
	v3HeaderLength = v3CmdlineEnd
)

// Offsets of fields in vendor_boot.
const (
	vendorVersion      = 8
	vendorPageSize     = 12
	vendorRamdiskSize  = 24
	vendorCmdline      = 28
	vendorCmdlineEnd   = vendorCmdline + 2048
	vendorDTBSize      = 2100
	vendorLengthV3     = 2112
	vendorTableSize    = 2112
	vendorTableEntries = 2116
	vendorEntrySize    = 2120
	vendorConfigSize   = 2124
	vendorLengthV4     = 2128
)

// Offsets in an entry of vendor_boot's table of ramdisks.
const (
	entrySize      = 0
	entryOffset    = 4
	entryType      = 8
	entryName      = 12
	entryNameEnd   = entryName + 32
	entryLength    = 108
	maxRamdisks    = 64
	typeRecovery   = 2
	maxBootconfig  = 1 << 20
	configTrailer  = "#BOOTCONFIG\n"
	maxHeaderBytes = vendorLengthV4
)

// Boot is a boot.img.
type Boot struct {
	Version int
	Kernel  *io.SectionReader
	Ramdisk *io.SectionReader // may be empty
	Cmdline string
}

// Vendor is a vendor_boot.img.
type Vendor struct {
	Version    int
	Ramdisks   []Ramdisk
	Cmdline    string
	Bootconfig []byte // without trailer; nil if there is none
}

// Ramdisk is one of vendor_boot's.
type Ramdisk struct {
	Name     string
	Recovery bool // only for a boot into recovery
	Data     *io.SectionReader
}

// file is an image that is read section by section, each on a page of its own.
type file struct {
	r    io.ReaderAt
	size int64
	head []byte // as much of the beginning as headers take
	page int64
	next int64 // offset of the next section
}

func open(r io.ReaderAt, size int64, magic string) (*file, error) {
	f := &file{r: r, size: size, head: make([]byte, maxHeaderBytes)}
	n, err := r.ReadAt(f.head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	f.head = f.head[:n]
	if !bytes.HasPrefix(f.head, []byte(magic)) {
		return nil, fmt.Errorf("it does not begin with %q", magic)
	}
	return f, nil
}

// need proves that the header is there.
func (f *file) need(n int) error {
	if len(f.head) < n {
		return fmt.Errorf("it is cut off in its header: %d bytes of %d", len(f.head), n)
	}
	return nil
}

// at is a field of the header, which need has proved.
func (f *file) at(off int) uint32 { return binary.LittleEndian.Uint32(f.head[off:]) }

// text is a field of the header that ends with a zero byte or with the field.
func (f *file) text(from, to int) string {
	s, _, _ := bytes.Cut(f.head[from:to], []byte{0})
	return string(s)
}

// begin places the first section, after the header.
func (f *file) begin(page uint32, header int64) error {
	if page < minPage || page > maxPage || page&(page-1) != 0 {
		return fmt.Errorf("it states pages of %d bytes", page)
	}
	f.page = int64(page)
	f.next = f.round(header)
	return nil
}

func (f *file) round(n int64) int64 { return (n + f.page - 1) / f.page * f.page }

// section takes the next n bytes.
func (f *file) section(what string, n uint32) (*io.SectionReader, error) {
	off, size := f.next, int64(n)
	if off > f.size || size > f.size-off {
		return nil, fmt.Errorf("it is cut off: its %s is %d bytes at %d, the file has %d", what, size, off, f.size)
	}
	f.next = off + f.round(size)
	return io.NewSectionReader(f.r, off, size), nil
}

// ParseBoot reads a boot.img of size bytes.
func ParseBoot(r io.ReaderAt, size int64) (*Boot, error) {
	f, err := open(r, size, bootMagic)
	if err != nil {
		return nil, err
	}
	if err := f.need(versionOffset + 4); err != nil {
		return nil, err
	}
	switch version := f.at(versionOffset); version {
	case 0, 1, 2:
		return f.bootV0(int(version))
	case 3, 4:
		return f.bootV3(int(version))
	default:
		return nil, fmt.Errorf("its header has version %d, 0 to 4 are known", version)
	}
}

func (f *file) bootV0(version int) (*Boot, error) {
	if err := f.need(v0HeaderLength); err != nil {
		return nil, err
	}
	if err := f.begin(f.at(v0PageSize), 1); err != nil { // the header takes one page
		return nil, err
	}
	cmdline := f.text(v0Cmdline, v0CmdlineEnd) + f.text(v0Extra, v0ExtraEnd) // one text, cut where the first field was full
	return f.boot(version, cmdline, f.at(v0KernelSize), f.at(v0RamdiskSize))
}

func (f *file) bootV3(version int) (*Boot, error) {
	if err := f.need(v3HeaderLength); err != nil {
		return nil, err
	}
	if err := f.begin(pageSizeV3, 1); err != nil {
		return nil, err
	}
	return f.boot(version, f.text(v3Cmdline, v3CmdlineEnd), f.at(v3KernelSize), f.at(v3RamdiskSize))
}

func (f *file) boot(version int, cmdline string, kernel, ramdisk uint32) (*Boot, error) {
	b := &Boot{Version: version, Cmdline: cmdline}
	var err error
	if b.Kernel, err = f.section("kernel", kernel); err != nil {
		return nil, err
	}
	if b.Ramdisk, err = f.section("ramdisk", ramdisk); err != nil {
		return nil, err
	}
	if kernel == 0 {
		return nil, errors.New("it has no kernel (an init_boot or recovery image?)")
	}
	return b, nil
}

// ParseVendor reads a vendor_boot.img of size bytes.
func ParseVendor(r io.ReaderAt, size int64) (*Vendor, error) {
	f, err := open(r, size, vendorMagic)
	if err != nil {
		return nil, err
	}
	if err := f.need(vendorLengthV3); err != nil {
		return nil, err
	}
	v, header := &Vendor{Version: int(f.at(vendorVersion)), Cmdline: f.text(vendorCmdline, vendorCmdlineEnd)}, vendorLengthV3
	switch v.Version {
	case 3:
	case 4:
		header = vendorLengthV4
	default:
		return nil, fmt.Errorf("its header has version %d, 3 and 4 are known", v.Version)
	}
	if err := f.need(header); err != nil {
		return nil, err
	}
	if err := f.begin(f.at(vendorPageSize), int64(header)); err != nil {
		return nil, err
	}
	return v, f.vendorSections(v)
}

func (f *file) vendorSections(v *Vendor) error {
	ramdisks, err := f.section("ramdisk section", f.at(vendorRamdiskSize))
	if err != nil {
		return err
	}
	if _, err := f.section("device tree", f.at(vendorDTBSize)); err != nil {
		return err
	}
	if v.Version == 3 {
		v.Ramdisks = []Ramdisk{{Data: ramdisks}}
		return nil
	}
	table, err := f.section("table of ramdisks", f.at(vendorTableSize))
	if err != nil {
		return err
	}
	if v.Ramdisks, err = readTable(table, f.at(vendorTableEntries), f.at(vendorEntrySize), ramdisks); err != nil {
		return err
	}
	config, err := f.section("bootconfig", f.at(vendorConfigSize))
	if err != nil || config.Size() == 0 {
		return err
	}
	if config.Size() > maxBootconfig {
		return fmt.Errorf("its bootconfig has %d bytes", config.Size())
	}
	v.Bootconfig = make([]byte, config.Size())
	_, err = io.ReadFull(config, v.Bootconfig)
	return err
}

// readTable reads the table that divides the ramdisk section.
func readTable(table *io.SectionReader, entries, size uint32, section *io.SectionReader) ([]Ramdisk, error) {
	if entries > maxRamdisks || entries > 0 && size < entryLength || int64(entries)*int64(size) > table.Size() {
		return nil, fmt.Errorf("its table of ramdisks has %d entries of %d bytes in %d", entries, size, table.Size())
	}
	var all []Ramdisk
	for i := range entries {
		var e [entryLength]byte
		if _, err := table.ReadAt(e[:], int64(i)*int64(size)); err != nil {
			return nil, fmt.Errorf("its table of ramdisks: %w", err)
		}
		n, off := int64(binary.LittleEndian.Uint32(e[entrySize:])), int64(binary.LittleEndian.Uint32(e[entryOffset:]))
		if off > section.Size() || n > section.Size()-off {
			return nil, fmt.Errorf("ramdisk %d of its table is %d bytes at %d, outside the section of %d", i, n, off, section.Size())
		}
		name, _, _ := bytes.Cut(e[entryName:entryNameEnd], []byte{0})
		all = append(all, Ramdisk{
			Name: string(name), Recovery: binary.LittleEndian.Uint32(e[entryType:]) == typeRecovery,
			Data: io.NewSectionReader(section, off, n),
		})
	}
	return all, nil
}
