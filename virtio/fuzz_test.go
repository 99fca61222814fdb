// SPDX-License-Identifier: Apache-2.0

package virtio_test

import (
	"encoding/binary"
	"testing"

	"virtbinder/internal/pci"
	"virtbinder/virtio"
	"virtbinder/virtio/virtiotest"
)

// script reads a fuzzer's input as a sequence of small numbers.
type script struct{ b []byte }

func (s *script) more() bool { return len(s.b) > 0 }

func (s *script) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	v := s.b[0]
	s.b = s.b[1:]
	return v
}

func (s *script) u16() uint16 { return uint16(s.byte()) | uint16(s.byte())<<8 }

func (s *script) u64() uint64 {
	var b [8]byte
	n := copy(b[:], s.b)
	s.b = s.b[n:]
	return binary.LittleEndian.Uint64(b[:])
}

// address is mostly an address in or around guest memory.
func (s *script) address() uint64 {
	switch v := s.u16(); s.byte() % 8 {
	case 0:
		return s.u64()
	case 1:
		return virtiotest.RAMBase + fuzzRAM - uint64(v%64)
	default:
		return virtiotest.RAMBase + uint64(v)
	}
}

const fuzzRAM = 1 << 20

// FuzzQueue plays a driver that writes anything into its ring and kicks, resets
// and goes on. Checked: no panic, no used entry for a head that was not offered,
// and the device works after a reset.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 0, 0, 2})
	f.Add([]byte{0, 0, 0, 1, 2, 10, 0, 1, 0, 1, 0, 2, 3, 0, 1, 0, 2, 4, 0, 1})
	f.Add([]byte{3, 9, 0, 2, 4, 2})
	f.Fuzz(func(t *testing.T, input []byte) {
		echo := virtiotest.NewEcho(8)
		d := start(t, echo, virtiotest.Config{Inline: true, Memory: fuzzRAM})
		s := &script{input}
		offered := map[uint16]int{}
		for steps := 0; s.more() && steps < 200; steps++ {
			q := d.Queue(0)
			switch s.byte() % 6 {
			case 0:
				q.SetDesc(int(s.byte()%8), virtiotest.Desc{
					Addr: s.address(), Len: uint32(s.u16()), Flags: uint16(s.byte() % 8), Next: uint16(s.byte() % 10),
				})
			case 1:
				h := uint16(s.byte() % 9)
				if offered != nil {
					offered[h]++
				}
				q.Offer(h)
			case 2:
				q.ForceKick()
			case 3:
				offered = nil // anything may be on the ring now
				q.SetAvailIdx(s.u16())
			case 4:
				room := s.address()
				if room >= virtiotest.RAMBase && room+8 < virtiotest.RAMBase+fuzzRAM {
					binary.LittleEndian.PutUint64(d.Machine.Bytes(room, 8), s.u64())
					offered = nil // that may have been the ring
				}
			case 5:
				d.SetStatus(0)
				if err := d.Up(0); err != nil {
					t.Fatal(err)
				}
				if offered = map[uint16]int{}; steps > 20 {
					steps = 200 // each takes memory
				}
			}
			checkUsed(t, d.Queue(0), offered)
		}
		if err := d.Up(0); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Queue(0).Call(patience(t), []byte("after"), 8); err != nil || string(got) != "after" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

// checkUsed takes what came back and compares it with what was offered.
func checkUsed(t *testing.T, q *virtiotest.Queue, offered map[uint16]int) {
	if offered == nil {
		return
	}
	for {
		u, ok := q.Used()
		if !ok {
			return
		}
		if offered[u.Head]--; offered[u.Head] < 0 {
			t.Fatalf("chain %d came back without being offered", u.Head)
		}
	}
}

// FuzzRegisters plays a guest that accesses configuration space and BARs in any
// order with any width, moves BARs, and kicks. Checked: no panic, the identity
// stays, and a driver can still bring the device up.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0, 4, 0, 2, 7, 1, 16, 0, 4, 255, 255, 255, 255})
	f.Add([]byte{2, 2, 0x14, 0, 1, 15, 0, 2, 2, 0x14, 0, 1, 0})
	f.Add([]byte{3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0})
	f.Fuzz(func(t *testing.T, input []byte) {
		file, err := virtiotest.Memfd("shm", 8192)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		echo := virtiotest.NewEcho(8, 2)
		echo.Shared = []virtio.SharedMemory{{ID: 3, Size: 8192, File: file}}
		d := start(t, echo, virtiotest.Config{Inline: true, Memory: fuzzRAM})
		p, s := d.PCI, &script{input}
		for steps := 0; s.more() && steps < 300; steps++ {
			var b [8]byte
			op, bar, off := s.byte()%4, int(s.byte()%7), uint64(s.u16())
			p8 := b[:s.byte()%9]
			switch op {
			case 0:
				p.ConfigRead(uint16(off), p8)
			case 1:
				binary.LittleEndian.PutUint64(b[:], s.u64())
				p.ConfigWrite(uint16(off)%300, p8)
			case 2:
				binary.LittleEndian.PutUint64(b[:], s.u64())
				p.BARAccess(bar, off, p8, s.byte()%2 == 0)
			case 3:
				p.SetBARAddr(bar, s.u64()&^0xfff, s.byte()%2 == 0)
			}
		}
		var id [4]byte
		p.ConfigRead(pci.OffVendor, id[:])
		if id != [4]byte{0xf4, 0x1a, 0x40 + 18, 0x10} {
			t.Fatalf("identity is %x now", id)
		}
		again, err := virtiotest.Attach(d.Machine, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Up(0); err != nil {
			t.Fatal(err)
		}
		if _, err := again.Queue(0).Call(patience(t), []byte("x"), 1); err != nil {
			t.Fatal(err)
		}
	})
}
