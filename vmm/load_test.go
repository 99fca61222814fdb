// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bobuhiro11/gokvm/bootparam"

	"virtbinder/internal/guestmem"
)

// Offsets of setup header fields in a bzImage and in the zero page.
const (
	hdrSetupSects  = 0x1f1
	hdrSysSize     = 0x1f4
	hdrMagic       = 0x202
	hdrVersion     = 0x206
	hdrInitrdMax   = 0x22c
	hdrXloadFlags  = 0x236
	hdrCmdlineSize = 0x238
	hdrPrefAddress = 0x258
	hdrInitSize    = 0x260
)

const fakeSetupSects = 3

// fakeBzImage is a kernel image with a sound header and a body of the text.
func fakeBzImage(body string) []byte {
	le := binary.LittleEndian
	img := make([]byte, (fakeSetupSects+1)*512)
	img[hdrSetupSects] = fakeSetupSects
	for len(body)%16 != 0 {
		body += " "
	}
	le.PutUint32(img[hdrSysSize:], uint32(len(body)/16))
	img[0x200], img[0x201] = 0xeb, 0x6a // jump over a header that ends at 0x26c
	copy(img[hdrMagic:], "HdrS")
	le.PutUint16(img[hdrVersion:], 0x020f)
	le.PutUint32(img[hdrInitrdMax:], 0x7fff_ffff)
	le.PutUint16(img[hdrXloadFlags:], 0x3f)
	le.PutUint32(img[hdrCmdlineSize:], 2047)
	le.PutUint64(img[hdrPrefAddress:], 0x100_0000)
	le.PutUint32(img[hdrInitSize:], 0x10_0000)
	return append(img, body...)
}

// testMemory is guest memory without a guest.
func testMemory(t *testing.T, size int) (*guestmem.Memory, layout) {
	t.Helper()
	var m guestmem.Memory
	if err := m.Add(0, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	return &m, testLayout(t, uint64(size), 40)
}

func writeFile(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readMem(t *testing.T, m *guestmem.Memory, gpa uint64, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if err := m.ReadAt(p, gpa); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLoadBoot reads the zero page back as a kernel would.
func TestLoadBoot(t *testing.T) {
	le := binary.LittleEndian
	mem, l := testMemory(t, 64<<20)
	kernel := writeFile(t, "vmlinuz", fakeBzImage("the kernel's body"))
	initrd := writeFile(t, "initrd", []byte("070701 not much of an archive"))
	entry, err := loadBoot(mem, bootSpec{kernel: kernel, initrd: initrd, cmdline: "console=ttyS0 x", layout: l, rsdp: 0xe1230})
	if err != nil {
		t.Fatal(err)
	}
	if entry != 0x100_0200 {
		t.Errorf("entry is %#x", entry)
	}
	if got := readMem(t, mem, 0x100_0000, 10); string(got) != "the kernel" {
		t.Errorf("kernel body is %q", got)
	}
	zp := readMem(t, mem, zeroPageAddr, 4096)
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"acpi_rsdp_addr", le.Uint64(zp[0x70:]), 0xe1230},
		{"e820_entries", uint64(zp[0x1e8]), 3},
		{"header magic", uint64(le.Uint32(zp[0x202:])), bootparam.MagicSignature},
		{"type_of_loader", uint64(zp[0x210]), bootloaderID},
		{"ramdisk_image", uint64(le.Uint32(zp[0x218:])), 64<<20 - 4096},
		{"ramdisk_size", uint64(le.Uint32(zp[0x21c:])), 29},
		{"cmd_line_ptr", uint64(le.Uint32(zp[0x228:])), cmdlineAddr},
		{"e820[0].addr", le.Uint64(zp[0x2d0:]), 0},
		{"e820[0].size", le.Uint64(zp[0x2d8:]), lowRAMEnd},
		{"e820[0].type", uint64(le.Uint32(zp[0x2e0:])), bootparam.E820Ram},
		{"e820[1].type", uint64(le.Uint32(zp[0x2e0+20:])), bootparam.E820Reserved},
		{"e820[2].addr", le.Uint64(zp[0x2d0+40:]), highRAMStart},
		{"e820[2].size", le.Uint64(zp[0x2d8+40:]), 64<<20 - highRAMStart},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x", c.name, c.got, c.want)
		}
	}
	if got := readMem(t, mem, cmdlineAddr, 16); string(got) != "console=ttyS0 x\x00" {
		t.Errorf("command line is %q", got)
	}
	if got := readMem(t, mem, 64<<20-4096, 6); string(got) != "070701" {
		t.Errorf("initrd is %q", got)
	}
}

func TestE820(t *testing.T) {
	m := e820Map(testLayout(t, 4<<30, 40))
	last := uint64(0)
	var ram uint64
	for _, e := range m {
		if e.Addr < last {
			t.Errorf("entry at %#x overlaps or is out of order", e.Addr)
		}
		last = e.Addr + e.Size
		if e.Type == bootparam.E820Ram {
			ram += e.Size
		}
	}
	if want := uint64(4<<30 - (highRAMStart - lowRAMEnd)); ram != want {
		t.Errorf("%#x bytes of RAM in the map, want %#x", ram, want)
	}
	if high := m[len(m)-1]; high.Addr != fourGiB || high.Size != 1<<30 {
		t.Errorf("memory above the hole is %+v", high)
	}
}

func TestPlaceInitrd(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		size, kernelEnd, limit, ram, want uint64
	}{
		{mib, 32 * mib, 1<<31 - 1, 256 * mib, 255 * mib},
		{mib + 1, 32 * mib, 1<<31 - 1, 256 * mib, 255*mib - 4096},
		{mib, 32 * mib, 1<<31 - 1, 3 << 30, 1<<31 - mib}, // the kernel's limit counts
		{224 * mib, 32 * mib, 1<<31 - 1, 256 * mib, 32 * mib},
	} {
		got, err := placeInitrd(c.size, c.kernelEnd, c.limit, c.ram)
		if err != nil || got != c.want {
			t.Errorf("%+v: %#x, %v", c, got, err)
		}
	}
	if _, err := placeInitrd(224*mib+1, 32*mib, 1<<31-1, 256*mib); err == nil {
		t.Error("an initrd that overlaps the kernel was placed")
	}
}

// TestWrongImages: each error names the file, what it looks like, what was
// expected.
func TestWrongImages(t *testing.T) {
	mem, l := testMemory(t, 64<<20)
	short := fakeBzImage("body")
	old := fakeBzImage("body")
	binary.LittleEndian.PutUint16(old[hdrXloadFlags:], 0)
	ancient := fakeBzImage("body")
	binary.LittleEndian.PutUint16(ancient[hdrVersion:], 0x0204)
	big := fakeBzImage("body")
	binary.LittleEndian.PutUint32(big[hdrInitSize:], 512<<20)
	for _, c := range []struct {
		name string
		data []byte
		want []string
	}{
		{"empty", nil, []string{"an empty file", "expected a Linux kernel"}},
		{"text", []byte("hello, this is no kernel"), []string{"no format this program knows"}},
		{"initrd.img", []byte("070701000"), []string{"a cpio archive"}},
		{"boot.img", []byte("ANDROID!...."), []string{"Android boot image", "cut off in its header"}},
		{"Image.gz", []byte("\x1f\x8b\x08"), []string{"gzip data"}},
		{"Image", append(make([]byte, 0x38), "ARM\x64"...), []string{"arm64"}},
		{"cut", short[:len(short)-8], []string{"cut off", "promises"}},
		{"header only", short[:0x210], []string{"cut off in its header"}},
		{"i386", old, []string{"no 64-bit entry point"}},
		{"2004", ancient, []string{"boot protocol"}},
		{"program", []byte("\x7fELF\x02\x01\x01"), []string{"ELF file that does not parse"}},
		{"big", big, []string{"512 MiB", "more memory (-m)"}},
	} {
		path := writeFile(t, c.name, c.data)
		_, err := loadBoot(mem, bootSpec{kernel: path, layout: l})
		if err == nil {
			t.Errorf("%s was accepted", c.name)
			continue
		}
		for _, w := range append(c.want, path) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.name, err, w)
			}
		}
	}
	_, err := loadBoot(mem, bootSpec{kernel: "/nonexistent/vmlinuz", layout: l})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nonexistent/vmlinuz") {
		t.Errorf("a missing kernel: %v", err)
	}
	_, err = loadBoot(mem, bootSpec{kernel: t.TempDir(), layout: l})
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory as kernel: %v", err)
	}
}

func TestWrongInitrdAndCmdline(t *testing.T) {
	mem, l := testMemory(t, 64<<20)
	kernel := writeFile(t, "vmlinuz", fakeBzImage("body"))
	for name, data := range map[string][]byte{"an empty file": nil, "x86 kernel": fakeBzImage("b"), "ELF": []byte("\x7fELF..")} {
		_, err := loadBoot(mem, bootSpec{kernel: kernel, initrd: writeFile(t, "initrd", data), layout: l})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s as initrd: %v", name, err)
		}
	}
	_, err := loadBoot(mem, bootSpec{kernel: kernel, cmdline: strings.Repeat("x", 2048), layout: l})
	if err == nil || !strings.Contains(err.Error(), "2048 bytes long, this kernel takes 2047") {
		t.Errorf("a long command line: %v", err)
	}
	_, err = loadBoot(mem, bootSpec{kernel: kernel, cmdline: "a\x00b", layout: l})
	if err == nil {
		t.Error("a command line with a zero byte was accepted")
	}
}

// androidImages is a pair of images of header version 3.
func androidImages(kernel []byte) (boot, vendor []byte) {
	page := func(b []byte) []byte { return append(b, make([]byte, -len(b)&4095)...) }
	header := func(magic, cmdline string, at int, fields map[int]int) []byte {
		b := make([]byte, 4096)
		copy(b, magic)
		copy(b[at:], cmdline)
		for off, v := range fields {
			binary.LittleEndian.PutUint32(b[off:], uint32(v))
		}
		return b
	}
	generic, platform := []byte("070701 generic"), []byte("070701 platform ")
	boot = header("ANDROID!", "from boot", 44, map[int]int{8: len(kernel), 12: len(generic), 40: 3})
	boot = append(append(boot, page(kernel)...), page(generic)...)
	vendor = header("VNDRBOOT", "from vendor", 28, map[int]int{8: 3, 12: 4096, 24: len(platform)})
	return boot, append(vendor, page(platform)...)
}

// TestLoadAndroid: the images' parts and what is given besides lie in memory one
// after the other.
func TestLoadAndroid(t *testing.T) {
	mem, l := testMemory(t, 64<<20)
	b, v := androidImages(fakeBzImage("the kernel's body"))
	boot, vendor := writeFile(t, "boot.img", b), writeFile(t, "vendor_boot.img", v)
	s := bootSpec{kernel: boot, vendorBoot: vendor, initrd: writeFile(t, "initrd", []byte("070701 ours")), cmdline: "from us", layout: l}
	if _, err := loadBoot(mem, s); err != nil {
		t.Fatal(err)
	}
	zp := readMem(t, mem, zeroPageAddr, 4096)
	at, n := binary.LittleEndian.Uint32(zp[0x218:]), binary.LittleEndian.Uint32(zp[0x21c:])
	if got, want := string(readMem(t, mem, uint64(at), int(n))), "070701 platform 070701 generic070701 ours"; got != want {
		t.Errorf("initrd is %q", got)
	}
	if got, want := string(readMem(t, mem, cmdlineAddr, 30)), "from boot from vendor from us\x00"; got != want {
		t.Errorf("command line is %q", got)
	}
	if got := readMem(t, mem, 0x100_0000, 10); string(got) != "the kernel" {
		t.Errorf("kernel body is %q", got)
	}
	packed, _ := androidImages([]byte("\x1f\x8b packed"))
	for want, s := range map[string]bootSpec{
		"vendor boot image " + boot + " is an Android boot image": {kernel: boot, vendorBoot: boot},
		"as a vendor boot image is given too":                     {kernel: s.initrd, vendorBoot: vendor},
		"it is cut off: its ramdisk":                              {kernel: writeFile(t, "cut.img", b[:len(b)-4096])},
		"(the kernel in it) is gzip data":                         {kernel: writeFile(t, "packed.img", packed)},
		"vendor boot image (vendor_boot.img); expected a Linux":   {kernel: vendor},
	} {
		s.layout = l
		if _, err := loadBoot(mem, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// FuzzLoadKernel: no file makes the loader panic or write outside memory.
func FuzzLoadKernel(f *testing.F) {
	f.Add(fakeBzImage("body"))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		f.Add(self[:min(len(self), 1<<14)])
	}
	dir := f.TempDir()
	l, err := newLayout(32<<20, 40)
	if err != nil {
		f.Fatal(err)
	}
	host := make([]byte, 32<<20)
	f.Fuzz(func(t *testing.T, image []byte) {
		var mem guestmem.Memory
		if err := mem.Add(0, host); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "kernel")
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		entry, err := loadBoot(&mem, bootSpec{kernel: path, layout: l})
		if err == nil && (entry < highRAMStart || entry >= 32<<20) {
			t.Errorf("entry %#x is outside memory", entry)
		}
	})
}

func TestBootTables(t *testing.T) {
	mem, _ := testMemory(t, 64<<20)
	if err := writeBootTables(mem); err != nil {
		t.Fatal(err)
	}
	word := func(gpa uint64) uint64 { return binary.LittleEndian.Uint64(readMem(t, mem, gpa, 8)) }
	for _, virt := range []uint64{0, 0x100_0200, 0x7fff_ffff, fourGiB - 1} {
		pdpt := word(pageTableAddr) &^ 0xfff
		pd := word(pdpt+virt>>30*8) &^ 0xfff
		entry := word(pd + virt>>21&0x1ff*8)
		if entry&pteLarge == 0 || entry&^0x1fffff|virt&0x1fffff != virt {
			t.Errorf("%#x is mapped by %#x", virt, entry)
		}
	}
	if !bytes.Equal(readMem(t, mem, gdtAddr, 8), make([]byte, 8)) {
		t.Error("the GDT has no null descriptor")
	}
}
