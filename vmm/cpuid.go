// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"math/bits"
	"slices"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// CPUID leaves that the VMM rewrites.
const (
	leafFeatures    = 0x1
	leafCaches      = 0x4 // Intel
	leafTopology    = 0xb
	leafTopologyV2  = 0x1f
	leafExtFeatures = 0x8000_0001
	leafAddressSize = 0x8000_0008
	leafSVM         = 0x8000_000a
	leafCachesAMD   = 0x8000_001d
	leafTopologyAMD = 0x8000_001e
)

// Feature bits of leaf 1 and 0x80000001.
const (
	ecxVMX         = 1 << 5
	ecxX2APIC      = 1 << 21
	ecxTSCDeadline = 1 << 24
	ecxHypervisor  = 1 << 31
	edxHTT         = 1 << 28
	ecxCmpLegacy   = 1 << 1
	ecxSVM         = 1 << 2
)

// Levels of the topology leaves.
const (
	levelSMT  = 1
	levelCore = 2
)

// indexed is the flag of entries that are told apart by ECX.
const indexed = 1

// defaultPhysBits is what processors without leaf 0x80000008 have.
const defaultPhysBits = 36

// physAddrBits returns how many bits a guest-physical address has.
func physAddrBits(supported []gokvm.CPUIDEntry2) uint8 {
	for _, e := range supported {
		if e.Function == leafAddressSize {
			return uint8(e.Eax)
		}
	}
	return defaultPhysBits
}

// cpuShape is what a processor has to know of the machine to describe itself.
type cpuShape struct {
	id          uint32 // APIC id
	count       uint32 // processors, all cores of one package
	tscDeadline bool   // the host's KVM has the TSC-deadline timer
}

// coreShift is the number of APIC id bits below the package.
func (s cpuShape) coreShift() uint32 { return uint32(bits.Len32(s.count - 1)) }

// fixCPUID turns what KVM supports into what one processor says. It adds the
// bits that kernels before about 7 leave out of their answer (a guest without
// them finds no clock and no timer), gives each processor its ids, describes
// count cores in one package, and takes nested virtualization away.
func fixCPUID(supported []gokvm.CPUIDEntry2, s cpuShape) []gokvm.CPUIDEntry2 {
	out := make([]gokvm.CPUIDEntry2, 0, len(supported)+3)
	for _, e := range supported {
		switch e.Function {
		case leafTopology, leafTopologyV2, leafSVM:
			continue // made anew below, or gone
		}
		fixEntry(&e, s)
		out = append(out, e)
	}
	if maxLeaf(out) >= leafTopology {
		out = append(out, topologyLeaves(s)...)
	}
	slices.SortStableFunc(out, func(a, b gokvm.CPUIDEntry2) int {
		if a.Function != b.Function {
			return cmpUint32(a.Function, b.Function)
		}
		return cmpUint32(a.Index, b.Index)
	})
	return out
}

func cmpUint32(a, b uint32) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

func maxLeaf(entries []gokvm.CPUIDEntry2) uint32 {
	for _, e := range entries {
		if e.Function == 0 {
			return e.Eax
		}
	}
	return 0
}

func fixEntry(e *gokvm.CPUIDEntry2, s cpuShape) {
	switch e.Function {
	case leafFeatures:
		fixFeatures(e, s)
	case leafCaches, leafCachesAMD:
		fixCaches(e, s)
	case leafExtFeatures:
		e.Ecx &^= ecxSVM | ecxCmpLegacy
		if s.count > 1 {
			e.Ecx |= ecxCmpLegacy
		}
	case leafAddressSize:
		e.Ecx = e.Ecx&^0xf0ff | s.coreShift()<<12 | (s.count - 1)
	case leafTopologyAMD:
		e.Eax, e.Ebx, e.Ecx = s.id, s.id&0xff, 0
	}
}

func fixFeatures(e *gokvm.CPUIDEntry2, s cpuShape) {
	e.Ebx = e.Ebx&0x0000_ffff | min(s.count, 255)<<16 | s.id<<24
	e.Ecx |= ecxHypervisor | ecxX2APIC
	e.Ecx &^= ecxVMX | ecxTSCDeadline
	if s.tscDeadline {
		e.Ecx |= ecxTSCDeadline
	}
	e.Edx &^= edxHTT
	if s.count > 1 {
		e.Edx |= edxHTT
	}
}

// fixCaches says who shares a cache: levels one and two belong to a core, the
// third to all of them. Both vendors have the count in the same bits of EAX;
// Intel also states the number of cores there.
func fixCaches(e *gokvm.CPUIDEntry2, s cpuShape) {
	if e.Eax&0x1f == 0 {
		return // no more caches
	}
	sharing := uint32(0)
	if level := e.Eax >> 5 & 7; level >= 3 {
		sharing = s.count - 1
	}
	e.Eax = e.Eax&^(0xfff<<14) | sharing<<14
	if e.Function == leafCaches {
		e.Eax = e.Eax&^(0x3f<<26) | min(s.count-1, 0x3f)<<26
	}
}

// topologyLeaves are leaf 0xb: one thread a core, count cores a package.
func topologyLeaves(s cpuShape) []gokvm.CPUIDEntry2 {
	level := func(index, kind, shift, count uint32) gokvm.CPUIDEntry2 {
		return gokvm.CPUIDEntry2{
			Function: leafTopology, Index: index, Flags: indexed,
			Eax: shift, Ebx: count, Ecx: kind<<8 | index, Edx: s.id,
		}
	}
	return []gokvm.CPUIDEntry2{
		level(0, levelSMT, 0, 1),
		level(1, levelCore, s.coreShift(), s.count),
		level(2, 0, 0, 0),
	}
}
