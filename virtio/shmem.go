// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// This file holds every load and store of a ring field that the guest and the
// device use to talk to each other while both run: avail.idx, avail.flags,
// used_event, used.idx, used.flags and avail_event. They are 16 bits wide and Go
// has no 16-bit atomics, so each access is an atomic access to the aligned
// 32-bit word around the field.
//
// Why sync/atomic and nothing weaker: its operations are sequentially
// consistent, which gives the three orders that a split ring needs.
//
//   - avail.idx is loaded before the ring entry and descriptors it announces (acquire);
//   - a used element is stored before used.idx announces it (release);
//   - used.idx is stored before used_event is loaded, and avail_event is stored
//     before avail.idx is loaded again (store-load; without it both sides can
//     decide that the other needs no wake-up, and the ring sleeps for ever).
//
// Ring entries and descriptors themselves are plain copies: they are ordered by
// the index that announces them. The race detector sees all of it.

// maxStoreTries bounds the compare-and-swap loop of a store. A neighbour of the
// field in its word can be guest data that a hostile guest rewrites in a loop.
const maxStoreTries = 1 << 12

// shared16 is one 16-bit field in guest memory.
type shared16 struct {
	word  *uint32 // the aligned word around the field
	shift uint    // of the field in that word, as the CPU loads it
}

// newShared16 locates the field at b[off:off+2]. b comes from
// guestmem.Memory.Slice, so it is at least as aligned as its guest address.
func newShared16(b []byte, off uint64) (shared16, error) {
	if off+2 > uint64(len(b)) {
		return shared16{}, fmt.Errorf("ring field at %d lies outside %d bytes", off, len(b))
	}
	addr := uintptr(unsafe.Pointer(&b[off]))
	if addr%2 != 0 {
		return shared16{}, fmt.Errorf("ring field at %d is not aligned", off)
	}
	// The word is inside the field's region: regions begin and end on multiples of
	// guestmem.Alignment.
	back := addr % 4
	word := (*uint32)(unsafe.Add(unsafe.Pointer(&b[off]), -int(back)))
	shift := uint(back) * 8
	if bigEndian {
		shift = 16 - shift
	}
	return shared16{word: word, shift: shift}, nil
}

// bigEndian reports the byte order of this machine; rings are little-endian.
var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// load returns the field's value.
func (s shared16) load() uint16 {
	return swapIfBig(uint16(atomic.LoadUint32(s.word) >> s.shift))
}

// store sets the field and leaves its neighbour alone. It fails only if someone
// keeps rewriting the neighbour.
func (s shared16) store(v uint16) error {
	bits, mask := uint32(swapIfBig(v))<<s.shift, uint32(0xffff)<<s.shift
	for range maxStoreTries {
		old := atomic.LoadUint32(s.word)
		if atomic.CompareAndSwapUint32(s.word, old, old&^mask|bits) {
			return nil
		}
	}
	return fmt.Errorf("the guest keeps rewriting the memory beside a ring index")
}

func swapIfBig(v uint16) uint16 {
	if bigEndian {
		return v>>8 | v<<8
	}
	return v
}
