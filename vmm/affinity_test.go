// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func allowed(t *testing.T) (all []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all
}

func TestAffinity(t *testing.T) {
	cpus := allowed(t)
	last := cpus[len(cpus)-1]
	m := &Machine{cfg: Config{CPUs: 3, Affinity: [][]int{nil, {last}}}}
	if err := m.cfg.checkAffinity(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	for vcpu, want := range map[int][]int{0: cpus, 1: {last}, 2: cpus} {
		go func() {
			defer func() { done <- struct{}{} }()
			runtime.LockOSThread() // for good: the thread ends with its affinity
			if err := m.pin(vcpu); err != nil {
				t.Error(err)
			}
			if got := allowed(t); len(got) != len(want) || got[0] != want[0] {
				t.Errorf("vCPU %d runs on %v, want %v", vcpu, got, want)
			}
		}()
		<-done
	}
	for want, list := range map[string][][]int{
		"vCPU 1: host CPU 100000": {{last}, {100000}},
		"4 lists for 3 vCPUs":     {{last}, {last}, {last}, {last}},
	} {
		c := Config{CPUs: 3, Affinity: list}
		if err := c.checkAffinity(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", list, err)
		}
	}
}
