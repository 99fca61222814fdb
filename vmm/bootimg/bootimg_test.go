// SPDX-License-Identifier: Apache-2.0

package bootimg

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden is an image that Debian's mkbootimg made (testdata/make.sh).
func golden(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".img.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parseBoot(b []byte) (*Boot, error) { return ParseBoot(bytes.NewReader(b), int64(len(b))) }

func parseVendor(b []byte) (*Vendor, error) { return ParseVendor(bytes.NewReader(b), int64(len(b))) }

func read(t testing.TB, r *io.SectionReader) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func initrd(t testing.TB, b *Boot, v *Vendor, extra ...*io.SectionReader) string {
	t.Helper()
	var s strings.Builder
	for _, r := range Initrd(b, v, extra...) {
		s.WriteString(read(t, r))
	}
	return s.String()
}

func TestBoot(t *testing.T) {
	var long strings.Builder
	for i := range 40 {
		fmt.Fprintf(&long, "long.argument.%03d=value ", i+1)
	}
	for version, cmdline := range []string{strings.TrimSpace(long.String()), "one two", "one two", "one two", "one two"} {
		b, err := parseBoot(golden(t, fmt.Sprintf("v%d", version)))
		if err != nil {
			t.Errorf("version %d: %v", version, err)
			continue
		}
		if got := read(t, b.Kernel); b.Version != version || got != "the kernel" {
			t.Errorf("version %d: says %d, kernel %q", version, b.Version, got)
		}
		if got := initrd(t, b, nil); got != "<generic ramdisk>" {
			t.Errorf("version %d: initrd %q", version, got)
		}
		if diff := cmp.Diff(cmdline+" ours", Cmdline(b, nil, "ours")); diff != "" {
			t.Errorf("version %d: command line (-want +got):\n%s", version, diff)
		}
	}
}

// TestJoined: as a bootloader joins the two images.
func TestJoined(t *testing.T) {
	b, err := parseBoot(golden(t, "v4"))
	if err != nil {
		t.Fatal(err)
	}
	const config = "androidboot.hardware=virt\n"
	var sum uint32
	for _, c := range []byte(config) {
		sum += uint32(c)
	}
	trailer := string(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(len(config))), sum)) + "#BOOTCONFIG\n"
	extra := io.NewSectionReader(strings.NewReader("<extra>"), 0, 7)
	for name, want := range map[string]struct{ initrd, cmdline string }{
		"vendor3": {"<platform ramdisk><generic ramdisk><extra>", "one two three four ours"},
		"vendor4": {"<platform ramdisk><dlkm ramdisk><generic ramdisk><extra>" + config + trailer, "one two three four bootconfig ours"},
	} {
		v, err := parseVendor(golden(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := initrd(t, b, v, extra); got != want.initrd {
			t.Errorf("%s: initrd %q, want %q", name, got, want.initrd)
		}
		if got := Cmdline(b, v, "ours"); got != want.cmdline {
			t.Errorf("%s: command line %q", name, got)
		}
	}
}

// TestVendorTable: what is for recovery is known as such.
func TestVendorTable(t *testing.T) {
	v, err := parseVendor(golden(t, "vendor4"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, r := range v.Ramdisks {
		got[r.Name+" "+read(t, r.Data)] = r.Recovery
	}
	want := map[string]bool{" <platform ramdisk>": false, "r <recovery ramdisk>": true, "modules <dlkm ramdisk>": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ramdisks (-want +got):\n%s", diff)
	}
}

// TestBootconfigWithTrailer: one that has its trailer already gets no second one,
// and the kernel is not told twice.
func TestBootconfigWithTrailer(t *testing.T) {
	done := trailed([]byte("a=b\n"))
	if got := trailed(done); !bytes.Equal(got, done) {
		t.Errorf("%q", got)
	}
	b := &Boot{Cmdline: "bootconfig x", Kernel: io.NewSectionReader(nil, 0, 0), Ramdisk: io.NewSectionReader(nil, 0, 0)}
	if got := Cmdline(b, &Vendor{Bootconfig: done}, ""); got != "bootconfig x" {
		t.Errorf("%q", got)
	}
}

// TestCutOff: an image that is cut off anywhere within its last section or before
// says so.
func TestCutOff(t *testing.T) {
	for _, name := range []string{"v0", "v2", "v4"} {
		whole := golden(t, name)
		b, err := parseBoot(whole)
		if err != nil {
			t.Fatal(err)
		}
		_, off, n := b.Ramdisk.Outer()
		for _, end := range []int64{9, 40, 44, 600, 1600, 2048, off, off + n - 1} {
			if _, err := parseBoot(whole[:end]); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("%s, %d bytes of it: %v", name, end, err)
			}
		}
	}
	for _, name := range []string{"vendor3", "vendor4"} {
		for _, end := range []int64{9, 2000, 2110, 4096} {
			if _, err := parseVendor(golden(t, name)[:end]); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("%s, %d bytes of it: %v", name, end, err)
			}
		}
	}
}

func TestWrong(t *testing.T) {
	set := func(name string, off int, v uint32) []byte {
		b := golden(t, name)
		binary.LittleEndian.PutUint32(b[off:], v)
		return b
	}
	for want, image := range map[string][]byte{
		"version 9":                      set("v3", versionOffset, 9),
		"pages of 1000 bytes":            set("v0", v0PageSize, 1000),
		"no kernel":                      set("v3", v3KernelSize, 0),
		"kernel is 4294967295 bytes":     set("v2", v0KernelSize, 1<<32-1),
		`does not begin with "ANDROID!"`: golden(t, "vendor3"),
	} {
		if _, err := parseBoot(image); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	for want, image := range map[string][]byte{
		"version 2":                      set("vendor3", vendorVersion, 2),
		"pages of 0 bytes":               set("vendor3", vendorPageSize, 0),
		"65 entries":                     set("vendor4", vendorTableEntries, 65),
		"entries of 4 bytes":             set("vendor4", vendorEntrySize, 4),
		"outside the section":            set("vendor4", 3*4096+entrySize, 1<<31),
		`does not begin with "VNDRBOOT"`: golden(t, "v3"),
	} {
		if _, err := parseVendor(image); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// FuzzParse checks that whatever parses can be read to its end within the file.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"v0", "v1", "v2", "v3", "v4", "vendor3", "vendor4"} {
		f.Add(golden(f, name))
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		b, err := parseBoot(image)
		if err != nil {
			b = &Boot{Kernel: io.NewSectionReader(nil, 0, 0), Ramdisk: io.NewSectionReader(nil, 0, 0)}
		}
		v, err := parseVendor(image)
		if err != nil {
			v = nil
		}
		read(t, b.Kernel)
		if got := initrd(t, b, v); len(got) > maxRamdisks*len(image)+len(configTrailer)+8 {
			t.Errorf("an initrd of %d bytes out of %d", len(got), len(image))
		}
		if strings.Contains(Cmdline(b, v, "x"), "\x00") {
			t.Error("a zero byte in the command line")
		}
	})
}
