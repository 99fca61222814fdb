// SPDX-License-Identifier: Apache-2.0

package vmm

import "encoding/binary"

// A few words of AML, ACPI's byte code: as much as the machine's description
// needs. Each function returns the encoding of one object.

const (
	amlZero      = 0x00
	amlOne       = 0x01
	amlNameOp    = 0x08
	amlBytePfx   = 0x0a
	amlWordPfx   = 0x0b
	amlDwordPfx  = 0x0c
	amlStringPfx = 0x0d
	amlScopeOp   = 0x10
	amlBufferOp  = 0x11
	amlPackageOp = 0x12
	amlExtPfx    = 0x5b
	amlDeviceOp  = 0x82
	amlRootChar  = '\\'
)

// amlName encodes a name of up to four characters, `\` before it for the root.
func amlName(name string) []byte {
	var out []byte
	if name[0] == amlRootChar {
		out, name = append(out, amlRootChar), name[1:]
	}
	seg := []byte("____")
	copy(seg, name)
	return append(out, seg...)
}

// amlLength encodes the length of a package: itself and body.
func amlLength(body int) []byte {
	if n := body + 1; n < 1<<6 {
		return []byte{byte(n)}
	}
	extra := 1
	for body+1+extra >= 1<<(4+8*extra) {
		extra++
	}
	n := body + 1 + extra
	out := []byte{byte(extra<<6 | n&0xf)}
	for n >>= 4; extra > 0; extra-- {
		out = append(out, byte(n))
		n >>= 8
	}
	return out
}

// amlPackaged is an opcode, the length, and the parts.
func amlPackaged(op []byte, parts ...[]byte) []byte {
	body := join(parts...)
	return join(op, amlLength(len(body)), body)
}

func amlScope(name string, parts ...[]byte) []byte {
	return amlPackaged([]byte{amlScopeOp}, append([][]byte{amlName(name)}, parts...)...)
}

func amlDevice(name string, parts ...[]byte) []byte {
	return amlPackaged([]byte{amlExtPfx, amlDeviceOp}, append([][]byte{amlName(name)}, parts...)...)
}

// amlNamed gives value a name.
func amlNamed(name string, value []byte) []byte {
	return join([]byte{amlNameOp}, amlName(name), value)
}

// amlInt encodes an integer in its shortest form.
func amlInt(n uint32) []byte {
	switch {
	case n == 0:
		return []byte{amlZero}
	case n == 1:
		return []byte{amlOne}
	case n <= 0xff:
		return []byte{amlBytePfx, byte(n)}
	case n <= 0xffff:
		return binary.LittleEndian.AppendUint16([]byte{amlWordPfx}, uint16(n))
	}
	return binary.LittleEndian.AppendUint32([]byte{amlDwordPfx}, n)
}

func amlString(s string) []byte {
	return append(append([]byte{amlStringPfx}, s...), 0)
}

// amlPackage is a list of at most 255 elements.
func amlPackage(elements ...[]byte) []byte {
	return amlPackaged([]byte{amlPackageOp}, append([][]byte{{byte(len(elements))}}, elements...)...)
}

// amlEISA packs a seven-character id such as PNP0A03 into an integer.
func amlEISA(id string) []byte {
	hex := func(c byte) uint32 {
		if c >= 'A' {
			return uint32(c-'A') + 10
		}
		return uint32(c - '0')
	}
	letters := uint32(id[0]-'@')<<10 | uint32(id[1]-'@')<<5 | uint32(id[2]-'@')
	digits := hex(id[3])<<12 | hex(id[4])<<8 | hex(id[5])<<4 | hex(id[6])
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], letters<<16|digits)
	return append([]byte{amlDwordPfx}, b[:]...)
}

// amlResources is a resource template: the descriptors and the end tag.
func amlResources(descriptors ...[]byte) []byte {
	body := append(join(descriptors...), 0x79, 0)
	return amlPackaged([]byte{amlBufferOp}, amlInt(uint32(len(body))), body)
}

// resIO is a fixed range of ports.
func resIO(port uint16, n byte) []byte {
	lo, hi := byte(port), byte(port>>8)
	return []byte{0x47, 1, lo, hi, lo, hi, 1, n}
}

// resIRQ is one edge-triggered ISA interrupt.
func resIRQ(irq uint) []byte {
	mask := uint16(1) << irq
	return []byte{0x22, byte(mask), byte(mask >> 8)}
}

// Kinds and flags of address space descriptors.
const (
	spaceMemory = 0
	spaceIO     = 1
	spaceBus    = 2

	spaceFixed    = 0x0c // minimum and maximum are fixed
	ioEntireRange = 0x03
	memReadWrite  = 0x01
	memCacheable  = 0x02
)

// resSpace is a window that a bridge passes on. The descriptor is as wide as
// width bytes: 2, 4 or 8.
func resSpace(kind, typeFlags byte, width int, w span) []byte {
	tag := map[int]byte{2: 0x88, 4: 0x87, 8: 0x8a}[width]
	body := []byte{kind, spaceFixed, typeFlags}
	for _, v := range []uint64{0, w.start, w.end - 1, 0, w.size()} {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		body = append(body, b[:width]...)
	}
	return join([]byte{tag}, binary.LittleEndian.AppendUint16(nil, uint16(len(body))), body)
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
