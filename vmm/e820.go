// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"fmt"

	"github.com/bobuhiro11/gokvm/bootparam"
)

// e820Map is the memory map the kernel is told: conventional memory, the
// firmware's area with the ACPI tables, RAM up to the hole, RAM above 4 GiB.
func e820Map(l layout) []bootparam.E820Entry {
	m := []bootparam.E820Entry{
		{Addr: 0, Size: lowRAMEnd, Type: bootparam.E820Ram},
		{Addr: lowRAMEnd, Size: highRAMStart - lowRAMEnd, Type: bootparam.E820Reserved},
		{Addr: highRAMStart, Size: l.low.end - highRAMStart, Type: bootparam.E820Ram},
	}
	if l.high.size() > 0 {
		m = append(m, bootparam.E820Entry{Addr: l.high.start, Size: l.high.size(), Type: bootparam.E820Ram})
	}
	return m
}

// addE820 writes the map into the zero page.
func addE820(bp *bootparam.BootParam, m []bootparam.E820Entry) error {
	if len(m) > bootparam.E820Max {
		return fmt.Errorf("memory map has %d entries, the zero page holds %d", len(m), bootparam.E820Max)
	}
	for _, e := range m {
		bp.AddE820Entry(e.Addr, e.Size, e.Type)
	}
	return nil
}
