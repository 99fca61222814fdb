// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func testLayout(t *testing.T, mem uint64, bits uint8) layout {
	t.Helper()
	l, err := newLayout(mem, bits)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// table follows an address into the blob and checks what every table has.
func table(t *testing.T, blob []byte, addr uint64, signature string) []byte {
	t.Helper()
	if addr < acpiAddr || addr-acpiAddr+8 > uint64(len(blob)) {
		t.Fatalf("%s at %#x is outside the tables", signature, addr)
	}
	tab := blob[addr-acpiAddr:]
	n := binary.LittleEndian.Uint32(tab[4:])
	if int(n) > len(tab) {
		t.Fatalf("%s: length %d runs past the end", signature, n)
	}
	tab = tab[:n]
	if got := string(tab[:4]); got != signature {
		t.Fatalf("table at %#x is %q, want %q", addr, got, signature)
	}
	if signature != "FACS" && checksum(tab) != 0 {
		t.Errorf("%s: checksum is wrong by %d", signature, checksum(tab))
	}
	return tab
}

// TestACPITablesLinked walks the tables as a kernel does: every pointer leads to
// a table with the right signature, length and checksum.
func TestACPITablesLinked(t *testing.T) {
	le := binary.LittleEndian
	for _, cpus := range []int{1, 2, MaxCPUs} {
		blob, root, err := acpiTables(acpiAddr, cpus, testLayout(t, 1<<30, 40))
		if err != nil {
			t.Fatal(err)
		}
		rsdp := blob[root-acpiAddr:]
		if root%16 != 0 || string(rsdp[:8]) != "RSD PTR " || checksum(rsdp[:20]) != 0 || checksum(rsdp[:36]) != 0 {
			t.Errorf("%d cpus: bad root pointer at %#x: % x", cpus, root, rsdp[:36])
		}
		xsdt := table(t, blob, le.Uint64(rsdp[24:]), "XSDT")
		if n := (len(xsdt) - acpiHeaderBytes) / 8; n != 2 {
			t.Fatalf("XSDT has %d entries, want 2", n)
		}
		fadt := table(t, blob, le.Uint64(xsdt[36:]), "FACP")
		if len(fadt) != 276 {
			t.Errorf("FADT is %d bytes, revision 6 has 276", len(fadt))
		}
		table(t, blob, uint64(le.Uint32(fadt[36:])), "FACS")
		table(t, blob, uint64(le.Uint32(fadt[40:])), "DSDT")
		table(t, blob, le.Uint64(fadt[140:]), "DSDT")
		madt := table(t, blob, le.Uint64(xsdt[44:]), "APIC")
		if got := countLAPICs(t, madt); got != cpus {
			t.Errorf("MADT lists %d processors, want %d", got, cpus)
		}
	}
}

// TestFADTFields pins the offsets ACPI gives the fields we fill.
func TestFADTFields(t *testing.T) {
	f := fadtTable(0xe0000, 0xe0040)
	le := binary.LittleEndian
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"SCI_INT", uint64(le.Uint16(f[46:])), sciIRQ},
		{"PM1a_EVT_BLK", uint64(le.Uint32(f[56:])), pm1EventPort},
		{"PM1a_CNT_BLK", uint64(le.Uint32(f[64:])), pm1ControlPort},
		{"PM1_EVT_LEN", uint64(f[88]), 4},
		{"PM1_CNT_LEN", uint64(f[89]), 2},
		{"IAPC_BOOT_ARCH", uint64(le.Uint16(f[109:])), bootArchLegacyDevices | bootArchNoVGA | bootArchNoRTC},
		{"RESET_REG space", uint64(f[116]), acpiSystemIO},
		{"RESET_REG address", le.Uint64(f[120:]), resetPort},
		{"RESET_VALUE", uint64(f[128]), resetValue},
		{"X_PM1a_EVT_BLK address", le.Uint64(f[152:]), pm1EventPort},
		{"X_PM1a_CNT_BLK address", le.Uint64(f[176:]), pm1ControlPort},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x", c.name, c.got, c.want)
		}
	}
}

func countLAPICs(t *testing.T, madt []byte) (n int) {
	t.Helper()
	for e := madt[acpiHeaderBytes+8:]; len(e) > 0; e = e[e[1]:] {
		if e[1] < 2 || int(e[1]) > len(e) {
			t.Fatalf("MADT entry with length %d, %d bytes left", e[1], len(e))
		}
		if e[0] == 0 {
			n++
		}
	}
	return n
}

// TestAMLEncodings pins the encodings that AML's grammar gives by example.
func TestAMLEncodings(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want []byte
	}{
		{"EISA id PNP0A03", amlEISA("PNP0A03"), []byte{0x0c, 0x41, 0xd0, 0x0a, 0x03}},
		{"name padded", amlName("S5"), []byte("S5__")},
		{"root name", amlName(`\_SB`), []byte(`\_SB_`)},
		{"zero", amlInt(0), []byte{0}},
		{"byte", amlInt(5), []byte{0x0a, 5}},
		{"word", amlInt(0x1234), []byte{0x0b, 0x34, 0x12}},
		{"dword", amlInt(0x12345678), []byte{0x0c, 0x78, 0x56, 0x34, 0x12}},
		{"length of 62", amlLength(62), []byte{63}},
		{"length of 63", amlLength(63), []byte{0x41, 0x04}}, // 65: two bytes of length, 63 of body
		{"length of 4093", amlLength(4093), []byte{0x4f, 0xff}},
		{"length of 4094", amlLength(4094), []byte{0x81, 0x00, 0x01}}, // 4097
		{"serial interrupt 4", resIRQ(4), []byte{0x22, 0x10, 0x00}},
		{"ports 0x3f8", resIO(0x3f8, 8), []byte{0x47, 1, 0xf8, 0x03, 0xf8, 0x03, 1, 8}},
		{"empty package", amlPackage(), []byte{0x12, 2, 0}},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("%s: % x, want % x", c.name, c.got, c.want)
		}
	}
}

// TestPCIWindowHoldsBinderWindow is the reason for the 64-bit window: the default
// shared-memory BAR of 8 GiB fits in, naturally aligned, on a processor with the
// fewest address bits in use, and stays clear of RAM.
func TestPCIWindowHoldsBinderWindow(t *testing.T) {
	const bar = 8 << 30
	for _, mem := range []uint64{MinMemory, 2 << 30, 3 << 30, 4 << 30, 64 << 30} {
		l := testLayout(t, mem, 39)
		addr := alignUp(l.pci64.start, bar)
		if !l.pci64.contains(addr, bar) {
			t.Errorf("%d MiB: no room for 8 GiB in [%#x, %#x)", mem>>20, l.pci64.start, l.pci64.end)
		}
		if l.pci64.start < l.high.end || l.low.end > l.pci32.start {
			t.Errorf("%d MiB: windows overlap memory: %+v", mem>>20, l)
		}
		if got := l.low.size() + l.high.size(); got != mem {
			t.Errorf("%d MiB of memory laid out as %d", mem>>20, got>>20)
		}
	}
	if _, err := newLayout(1<<36, 36); err == nil {
		t.Error("memory that fills the address space was accepted")
	}
}
