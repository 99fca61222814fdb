// SPDX-License-Identifier: Apache-2.0

package vmm

import (
	"errors"
	"fmt"

	"virtbinder/virtio"
)

// transport is a device on the PCI bus, with its end of life.
type transport interface {
	PCIFunction
	Reset()       // back to power-on; complete on return
	Close() error // gives up eventfds and mappings; Reset is included
	Queues() []virtio.QueueState
}

// plugDevices gives each configured device a transport and a place on the PCI
// bus.
func (m *Machine) plugDevices() error {
	for _, dev := range m.cfg.Devices {
		fn := virtio.NewPCI(dev, host{m}, virtio.Options{Inline: m.cfg.Inline, Log: m.log})
		m.devices = append(m.devices, fn) // closeDevices is responsible from here on
		if err := fn.Err(); err != nil {
			return fmt.Errorf("virtio device %d: %w", dev.Type(), err)
		}
		slot, err := m.pci.add(fn)
		if err != nil {
			return fmt.Errorf("virtio device %d: %w", dev.Type(), err)
		}
		m.log.Debug("device plugged", "device", fn.Name(), "slot", slot)
	}
	return nil
}

// resetDevices puts every device back to power-on: whatever the guest had open
// through it is released as if the guest had closed it. The vCPUs have stopped.
func (m *Machine) resetDevices() {
	for _, d := range m.devices {
		d.Reset()
	}
}

// Queues returns where the virtqueues of each device stand, in slot order.
func (m *Machine) Queues() [][]virtio.QueueState {
	states := make([][]virtio.QueueState, len(m.devices))
	for i, d := range m.devices {
		states[i] = d.Queues()
	}
	return states
}

func (m *Machine) closeDevices() error {
	var errs []error
	for _, d := range m.devices {
		errs = append(errs, d.Close())
	}
	m.devices = nil
	return errors.Join(errs...)
}
