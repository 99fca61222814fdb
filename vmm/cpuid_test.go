// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"slices"
	"testing"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// hostCPUID is shaped as an old kernel's answer on AMD: no hypervisor and no
// TSC-deadline bit, the host's ids, nested virtualization on.
func hostCPUID() []gokvm.CPUIDEntry2 {
	return []gokvm.CPUIDEntry2{
		{Function: 0, Eax: 0x10},
		{Function: 1, Ebx: 0x0710_0800, Ecx: 1<<13 | ecxVMX, Edx: 1<<25 | edxHTT},
		{Function: 4, Index: 0, Flags: indexed, Eax: 0xfc00_c121},
		{Function: 4, Index: 3, Flags: indexed, Eax: 0xfc00_c163},
		{Function: 4, Index: 4, Flags: indexed, Eax: 0},
		{Function: 0xb, Index: 0, Flags: indexed, Eax: 1, Ebx: 2, Edx: 7},
		{Function: 0x1f, Index: 0, Flags: indexed, Eax: 1, Edx: 7},
		{Function: 0x4000_0000, Eax: 0x4000_0001},
		{Function: 0x8000_0001, Ecx: ecxSVM | ecxCmpLegacy | 1<<6},
		{Function: 0x8000_0008, Eax: 0x3028, Ecx: 0x700f},
		{Function: 0x8000_000a, Eax: 1},
		{Function: 0x8000_001e, Eax: 7, Ebx: 0x103, Ecx: 1},
	}
}

func leaf(entries []gokvm.CPUIDEntry2, function, index uint32) *gokvm.CPUIDEntry2 {
	i := slices.IndexFunc(entries, func(e gokvm.CPUIDEntry2) bool { return e.Function == function && e.Index == index })
	if i < 0 {
		return nil
	}
	return &entries[i]
}

func TestFixCPUIDFeatures(t *testing.T) {
	got := fixCPUID(hostCPUID(), cpuShape{id: 2, count: 4, tscDeadline: true})
	f := leaf(got, 1, 0)
	for name, ok := range map[string]bool{
		"hypervisor is set":        f.Ecx&ecxHypervisor != 0,
		"TSC deadline is set":      f.Ecx&ecxTSCDeadline != 0,
		"x2APIC is set":            f.Ecx&ecxX2APIC != 0,
		"VMX is gone":              f.Ecx&ecxVMX == 0,
		"another bit stays":        f.Ecx&(1<<13) != 0,
		"HTT with several":         f.Edx&edxHTT != 0,
		"APIC id":                  f.Ebx>>24 == 2,
		"logical processors":       f.Ebx>>16&0xff == 4,
		"low half of EBX stays":    f.Ebx&0xffff == 0x0800,
		"SVM is gone":              leaf(got, leafExtFeatures, 0).Ecx&ecxSVM == 0,
		"SVM's leaf is gone":       leaf(got, leafSVM, 0) == nil,
		"KVM's leaf stays":         leaf(got, 0x4000_0000, 0) != nil,
		"core count on AMD":        leaf(got, leafAddressSize, 0).Ecx == 2<<12|3,
		"AMD's extended id":        leaf(got, leafTopologyAMD, 0).Eax == 2,
		"Intel's leaf 0x1f":        leaf(got, leafTopologyV2, 0) == nil,
		"L1 is a core's own":       leaf(got, 4, 0).Eax>>14&0xfff == 0,
		"L3 is everyone's":         leaf(got, 4, 3).Eax>>14&0xfff == 3,
		"the end of caches stays":  leaf(got, 4, 4).Eax == 0,
		"one thread a core":        leaf(got, leafTopology, 0).Ebx == 1,
		"four cores a package":     leaf(got, leafTopology, 1).Ebx == 4 && leaf(got, leafTopology, 1).Eax == 2,
		"x2APIC id on each level":  leaf(got, leafTopology, 0).Edx == 2 && leaf(got, leafTopology, 1).Edx == 2,
		"the end of the levels":    leaf(got, leafTopology, 2).Ebx == 0,
		"physical bits are passed": physAddrBits(got) == 0x28,
	} {
		if !ok {
			t.Errorf("not so: %s", name)
		}
	}
	one := fixCPUID(hostCPUID(), cpuShape{count: 1})
	if f := leaf(one, 1, 0); f.Edx&edxHTT != 0 || f.Ecx&ecxTSCDeadline != 0 || f.Ebx>>24 != 0 {
		t.Errorf("a lone processor without deadline timer says ebx %#x ecx %#x edx %#x", f.Ebx, f.Ecx, f.Edx)
	}
}

// TestFixCPUIDLeavesInputAlone: the host's answer serves every processor.
func TestFixCPUIDLeavesInputAlone(t *testing.T) {
	in := hostCPUID()
	fixCPUID(in, cpuShape{id: 3, count: 4})
	if !slices.Equal(in, hostCPUID()) {
		t.Error("fixCPUID changed its input")
	}
}

func TestCoreShift(t *testing.T) {
	for count, want := range map[uint32]uint32{1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 254: 8} {
		if got := (cpuShape{count: count}).coreShift(); got != want {
			t.Errorf("%d cores take %d bits, want %d", count, got, want)
		}
	}
}

func TestMTRRIsWriteBack(t *testing.T) {
	for _, m := range initialMSRs() {
		if m.Index == msrMTRRDefType && m.Value == 0x806 {
			return
		}
	}
	t.Error("no MSR makes memory write-back by default")
}
