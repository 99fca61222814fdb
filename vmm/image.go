// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// imageKind is what a file looks like from its first bytes.
type imageKind int

const (
	imageUnknown imageKind = iota
	imageEmpty
	imageBzImage
	imageELF
	imageARM64
	imageEFI
	imageGzip
	imageXZ
	imageZstd
	imageLZ4
	imageCpio
	imageAndroid
	imageVendorBoot
	imageQcow2
	imageScript
)

func (k imageKind) String() string {
	names := [...]string{
		imageUnknown:    "no format this program knows",
		imageEmpty:      "an empty file",
		imageBzImage:    "an x86 kernel (bzImage)",
		imageELF:        "an ELF file (vmlinux or a program)",
		imageARM64:      "an arm64 kernel",
		imageEFI:        "an EFI program without Linux's boot header",
		imageGzip:       "gzip data",
		imageXZ:         "xz data",
		imageZstd:       "zstd data",
		imageLZ4:        "lz4 data",
		imageCpio:       "a cpio archive",
		imageAndroid:    "an Android boot image (boot.img)",
		imageVendorBoot: "an Android vendor boot image",
		imageQcow2:      "a qcow2 disk",
		imageScript:     "a script",
	}
	return names[k]
}

// imageMagics are looked at in this order.
var imageMagics = []struct {
	off   int
	magic string
	kind  imageKind
}{
	{0x202, "HdrS", imageBzImage},
	{0, "\x7fELF", imageELF},
	{0x38, "ARM\x64", imageARM64},
	{0, "MZ", imageEFI},
	{0, "\x1f\x8b", imageGzip},
	{0, "\xfd7zXZ\x00", imageXZ},
	{0, "\x28\xb5\x2f\xfd", imageZstd},
	{0, "\x02\x21\x4c\x18", imageLZ4},
	{0, "\x04\x22\x4d\x18", imageLZ4},
	{0, "070701", imageCpio},
	{0, "070702", imageCpio},
	{0, "ANDROID!", imageAndroid},
	{0, "VNDRBOOT", imageVendorBoot},
	{0, "QFI\xfb", imageQcow2},
	{0, "#!", imageScript},
}

// bzImage's magic stands at 0x202 and its neighbours; nothing we look for lies
// further in.
const imageProbe = 0x1000

func identify(r io.ReaderAt) (imageKind, error) {
	head := make([]byte, imageProbe)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return imageUnknown, err
	}
	return identifyBytes(head[:n]), nil
}

func identifyBytes(head []byte) imageKind {
	if len(head) == 0 {
		return imageEmpty
	}
	for _, m := range imageMagics {
		if m.off < len(head) && bytes.HasPrefix(head[m.off:], []byte(m.magic)) {
			return m.kind
		}
	}
	return imageUnknown
}

// ImageError says that a file is not what it was given as.
type ImageError struct {
	Role  string // "kernel" or "initrd"
	Path  string
	Looks string // what it looks like
	Want  string // what was expected
}

func (e *ImageError) Error() string {
	return fmt.Sprintf("%s %s is %s; expected %s", e.Role, e.Path, e.Looks, e.Want)
}

const wantKernel = "a Linux kernel for x86-64: a bzImage (the vmlinuz of a distribution) or an uncompressed vmlinux"

// openImage opens a file that is to be loaded; directories and devices are
// refused by name rather than by a failing read later.
func openImage(role, path string) (*os.File, int64, error) {
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
		return nil, 0, &ImageError{Role: role, Path: path, Looks: "not a regular file (" + fi.Mode().Type().String() + ")", Want: "a file"}
	}
	return f, fi.Size(), nil
}

// checkInitrd refuses what the kernel would only refuse after a long boot. It
// takes a cpio archive, bare or compressed as the kernel can.
func checkInitrd(path string, r io.ReaderAt) error {
	kind, err := identify(r)
	if err != nil {
		return fmt.Errorf("initrd: read %s: %w", path, err)
	}
	switch kind {
	case imageCpio, imageGzip, imageXZ, imageZstd, imageLZ4, imageUnknown:
		// An unknown one may be lzma, lzo or bzip2, or an old-style disk.
		return nil
	}
	return &ImageError{Role: "initrd", Path: path, Looks: kind.String(), Want: "a cpio archive (newc), bare or compressed"}
}
