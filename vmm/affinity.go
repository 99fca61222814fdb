// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// checkAffinity proves that each processor's host CPUs are there for this process.
func (c *Config) checkAffinity() error {
	if len(c.Affinity) > c.CPUs {
		return fmt.Errorf("affinity: %d lists for %d vCPUs", len(c.Affinity), c.CPUs)
	}
	var ours unix.CPUSet
	if err := unix.SchedGetaffinity(0, &ours); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	for vcpu, list := range c.Affinity {
		for _, cpu := range list {
			if cpu < 0 || !ours.IsSet(cpu) {
				return fmt.Errorf("affinity: vCPU %d: host CPU %d does not exist, or is not this process's to use", vcpu, cpu)
			}
		}
	}
	return nil
}

// pin keeps the calling thread, which is a processor's, on its host CPUs.
func (m *Machine) pin(vcpu int) error {
	if vcpu >= len(m.cfg.Affinity) || len(m.cfg.Affinity[vcpu]) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range m.cfg.Affinity[vcpu] {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("affinity: host CPUs %v: %w", m.cfg.Affinity[vcpu], err)
	}
	return nil
}
