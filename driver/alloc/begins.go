// SPDX-License-Identifier: Apache-2.0

package alloc

import "math/bits"

// begins knows the allocated range that begins at an offset: tables by the offset in
// units of the alignment, each made when a range first begins in its part of the window.
// To look one up takes as long with one range as with all that fit.
type begins struct {
	shift  int // an offset's unit is off>>shift
	tables []*[tableSize]Range
}

const tableSize = 512 // units

func (b *begins) reset(align uint64) {
	b.shift = bits.TrailingZeros64(align)
	clear(b.tables)
}

// at returns the range that begins at off, any number, or none.
func (b *begins) at(off uint64) Range {
	unit := off >> b.shift
	i := unit / tableSize
	if unit<<b.shift != off || i >= uint64(len(b.tables)) || b.tables[i] == nil {
		return none
	}
	return b.tables[i][unit%tableSize]
}

// set notes that r, or none, begins at off.
func (b *begins) set(off uint64, r Range) {
	unit := off >> b.shift
	i := unit / tableSize
	for uint64(len(b.tables)) <= i {
		b.tables = append(b.tables, nil)
	}
	if b.tables[i] == nil {
		b.tables[i] = new([tableSize]Range)
	}
	b.tables[i][unit%tableSize] = r
}
