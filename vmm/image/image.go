// SPDX-License-Identifier: Apache-2.0

// Package image tells what a file is from its first bytes, so that a file given
// in the wrong place is refused with a message that says what it looks like.
package image

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// Kind is what a file looks like.
type Kind int

// The kinds that are known, in no order.
const (
	Unknown Kind = iota
	Empty
	BzImage
	ELF
	ARM64
	EFI
	Gzip
	XZ
	Zstd
	LZ4
	Bzip2
	Cpio
	AndroidBoot
	AndroidVendorBoot
	AndroidSparse
	AndroidDTBO
	AVBMeta
	DeviceTree
	Qcow2
	VMDK
	VHDX
	VDI
	ISO9660
	Ext4
	Squashfs
	EROFS
	PartitionTable
	Zip
	Tar
	Script
)

var names = [...]string{
	Unknown:           "no format this program knows",
	Empty:             "an empty file",
	BzImage:           "an x86 kernel (bzImage)",
	ELF:               "an ELF file (vmlinux or a program)",
	ARM64:             "an arm64 kernel",
	EFI:               "an EFI program without Linux's boot header",
	Gzip:              "gzip data",
	XZ:                "xz data",
	Zstd:              "zstd data",
	LZ4:               "lz4 data",
	Bzip2:             "bzip2 data",
	Cpio:              "a cpio archive",
	AndroidBoot:       "an Android boot image (boot.img)",
	AndroidVendorBoot: "an Android vendor boot image (vendor_boot.img)",
	AndroidSparse:     "an Android sparse image",
	AndroidDTBO:       "an Android device tree overlay image (dtbo.img)",
	AVBMeta:           "an Android verified-boot image (vbmeta.img)",
	DeviceTree:        "a device tree",
	Qcow2:             "a qcow2 disk",
	VMDK:              "a VMDK disk",
	VHDX:              "a VHDX disk",
	VDI:               "a VirtualBox disk (VDI)",
	ISO9660:           "an ISO 9660 image",
	Ext4:              "an ext2, ext3 or ext4 file system",
	Squashfs:          "a squashfs file system",
	EROFS:             "an EROFS file system",
	PartitionTable:    "a disk with a partition table",
	Zip:               "a zip archive",
	Tar:               "a tar archive",
	Script:            "a script",
}

func (k Kind) String() string { return names[k] }

// magics are looked at in this order: a bzImage also begins as an EFI program,
// and ends its first sector as a partition table does.
var magics = []struct {
	off   int
	magic string
	kind  Kind
}{
	{0x202, "HdrS", BzImage},
	{0, "\x7fELF", ELF},
	{0x38, "ARM\x64", ARM64},
	{0, "MZ", EFI},
	{0, "\x1f\x8b", Gzip},
	{0, "\xfd7zXZ\x00", XZ},
	{0, "\x28\xb5\x2f\xfd", Zstd},
	{0, "\x02\x21\x4c\x18", LZ4},
	{0, "\x04\x22\x4d\x18", LZ4},
	{0, "BZh", Bzip2},
	{0, "070701", Cpio},
	{0, "070702", Cpio},
	{0, "ANDROID!", AndroidBoot},
	{0, "VNDRBOOT", AndroidVendorBoot},
	{0, "\x3a\xff\x26\xed", AndroidSparse},
	{0, "\xd7\xb7\xab\x1e", AndroidDTBO},
	{0, "AVB0", AVBMeta},
	{0, "\xd0\x0d\xfe\xed", DeviceTree},
	{0, "QFI\xfb", Qcow2},
	{0, "KDMV", VMDK},
	{0, "# Disk DescriptorFile", VMDK},
	{0, "vhdxfile", VHDX},
	{0x40, "\x7f\x10\xda\xbe", VDI},
	{0x8001, "CD001", ISO9660},
	{0x438, "\x53\xef", Ext4},
	{0, "hsqs", Squashfs},
	{0x400, "\xe2\xe1\xf5\xe0", EROFS},
	{0x200, "EFI PART", PartitionTable},
	{0x1fe, "\x55\xaa", PartitionTable},
	{0, "PK\x03\x04", Zip},
	{0x101, "ustar", Tar},
	{0, "#!", Script},
}

// probe is as far in as any magic lies.
const probe = 0x8006

// Identify looks at the beginning of a file.
func Identify(r io.ReaderAt) (Kind, error) {
	head := make([]byte, probe)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return Unknown, err
	}
	return identifyBytes(head[:n]), nil
}

func identifyBytes(head []byte) Kind {
	if len(head) == 0 {
		return Empty
	}
	for _, m := range magics {
		if m.off < len(head) && bytes.HasPrefix(head[m.off:], []byte(m.magic)) {
			return m.kind
		}
	}
	return Unknown
}

// Error says that a file is not what it was given as.
type Error struct {
	Role  string // "kernel", "initrd", "disk" and so on
	Path  string
	Looks string // what it looks like
	Want  string // what was expected
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s is %s; expected %s", e.Role, e.Path, e.Looks, e.Want)
}

// Open opens a file that is to be loaded whole; directories and devices are
// refused by name rather than by a failing read later.
func Open(role, path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", role, err)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("%s: %w", role, err)
	}
	if !fi.Mode().IsRegular() {
		f.Close()
		return nil, 0, &Error{Role: role, Path: path, Looks: "not a regular file (" + fi.Mode().Type().String() + ")", Want: "a file"}
	}
	return f, fi.Size(), nil
}
