// SPDX-License-Identifier: Apache-2.0

package vmm

import "errors"

// transport is a device on the PCI bus.
type transport interface {
	PCIFunction
}

// plugDevices gives each configured device its place on the PCI bus.
func (m *Machine) plugDevices() error {
	if len(m.cfg.Devices) > 0 {
		return errors.New("virtio devices are not wired yet")
	}
	return nil
}

func (m *Machine) resetDevices()       {}
func (m *Machine) closeDevices() error { return nil }
