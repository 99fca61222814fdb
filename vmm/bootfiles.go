// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"errors"
	"fmt"
	"io"
	"os"

	"virtbinder/vmm/bootimg"
	"virtbinder/vmm/image"
)

// bootFiles are the files to boot from, open, and what they come to.
type bootFiles struct {
	open []*os.File

	kernel  *io.SectionReader
	name    string              // of the kernel, for messages
	initrd  []*io.SectionReader // one after the other
	cmdline string
}

// openBoot opens what is to be booted. The kernel's file may be an Android boot
// image; then its parts, those of the vendor boot image and what was given besides
// are joined. The caller closes it, also after an error.
func openBoot(s bootSpec) (*bootFiles, error) {
	b := &bootFiles{name: s.kernel, cmdline: s.cmdline}
	kernel, err := b.file("kernel", s.kernel)
	if err != nil {
		return b, err
	}
	var initrd []*io.SectionReader
	if s.initrd != "" {
		f, err := b.file("initrd", s.initrd)
		if err != nil {
			return b, err
		}
		if err := checkInitrd(s.initrd, f); err != nil {
			return b, err
		}
		initrd = append(initrd, f)
	}
	kind, err := image.Identify(kernel)
	switch {
	case err != nil:
		return b, fmt.Errorf("kernel: read %s: %w", s.kernel, err)
	case kind == image.AndroidBoot:
		return b, b.android(s, kernel, initrd)
	case s.vendorBoot != "":
		return b, &image.Error{Role: "kernel", Path: s.kernel, Looks: kind.String(), Want: "an Android boot image (boot.img), as a vendor boot image is given too"}
	}
	b.kernel, b.initrd = kernel, initrd
	return b, nil
}

// android joins Android's images.
func (b *bootFiles) android(s bootSpec, file *io.SectionReader, extra []*io.SectionReader) error {
	boot, err := bootimg.ParseBoot(file, file.Size())
	if err != nil {
		return fmt.Errorf("kernel %s is an Android boot image, but %w", s.kernel, err)
	}
	var vendor *bootimg.Vendor
	if s.vendorBoot != "" {
		if vendor, err = b.vendor(s.vendorBoot); err != nil {
			return err
		}
	}
	b.kernel, b.name = boot.Kernel, s.kernel+" (the kernel in it)"
	b.initrd, b.cmdline = bootimg.Initrd(boot, vendor, extra...), bootimg.Cmdline(boot, vendor, s.cmdline)
	return nil
}

func (b *bootFiles) vendor(path string) (*bootimg.Vendor, error) {
	const role = "vendor boot image"
	f, err := b.file(role, path)
	if err != nil {
		return nil, err
	}
	kind, err := image.Identify(f)
	if err != nil {
		return nil, fmt.Errorf("%s: read %s: %w", role, path, err)
	}
	if kind != image.AndroidVendorBoot {
		return nil, &image.Error{Role: role, Path: path, Looks: kind.String(), Want: "a vendor_boot.img"}
	}
	v, err := bootimg.ParseVendor(f, f.Size())
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", role, path, err)
	}
	return v, nil
}

// file opens a file as a whole.
func (b *bootFiles) file(role, path string) (*io.SectionReader, error) {
	f, size, err := image.Open(role, path)
	if err != nil {
		return nil, err
	}
	b.open = append(b.open, f)
	return io.NewSectionReader(f, 0, size), nil
}

func (b *bootFiles) close() error {
	var errs []error
	for _, f := range b.open {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// checkInitrd refuses what the kernel would only refuse after a long boot. It
// takes a cpio archive, bare or compressed as the kernel can.
func checkInitrd(path string, r io.ReaderAt) error {
	kind, err := image.Identify(r)
	if err != nil {
		return fmt.Errorf("initrd: read %s: %w", path, err)
	}
	switch kind {
	case image.Cpio, image.Gzip, image.XZ, image.Zstd, image.LZ4, image.Bzip2, image.Unknown:
		// An unknown one may be lzma or lzo, or an old-style disk.
		return nil
	}
	return &image.Error{Role: "initrd", Path: path, Looks: kind.String(), Want: "a cpio archive (newc), bare or compressed"}
}
