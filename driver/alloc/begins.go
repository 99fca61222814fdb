// SPDX-License-Identifier: Apache-2.0

package alloc

const (
	page      = 4096         // bytes
	pageSlots = page / Align // places in it where a range can begin
)

// begins knows the allocated range that begins at an offset: for each page of the
// window a table, made when a range first begins there. To look one up takes as long
// with one range as with all that fit.
type begins []*[pageSlots]Range

// at returns the range that begins at off, any number, or none.
func (b begins) at(off uint64) Range {
	if off%Align != 0 || off/page >= uint64(len(b)) || b[off/page] == nil {
		return none
	}
	return b[off/page][off%page/Align]
}

// set notes that r, or none, begins at off.
func (b *begins) set(off uint64, r Range) {
	i := off / page
	for uint64(len(*b)) <= i {
		*b = append(*b, nil)
	}
	if (*b)[i] == nil {
		(*b)[i] = new([pageSlots]Range)
	}
	(*b)[i][off%page/Align] = r
}
