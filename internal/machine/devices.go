// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"path/filepath"
	"time"

	"virtbinder/driver"
	"virtbinder/internal/config"
	"virtbinder/internal/hardware"
	"virtbinder/internal/rundir"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder"
	"virtbinder/virtio/vsock"
)

// binderID is the virtio id of the binder device. The guest driver knows the
// device by its config space as well; 63 is the highest id that VMMs have room for.
const binderID = 63

// openDevices makes the machine's virtio devices, in the order of their slots.
func (m *Machine) openDevices() error {
	hw, err := hardware.Open(&m.cfg, m.ports, m.logger)
	if err != nil {
		return err
	}
	m.opened.add(hw.Close)
	m.devices = hw.Devices
	for _, add := range []func() (virtio.Device, error){m.addVsock, m.addBinder} {
		d, err := add()
		if err != nil {
			return err
		}
		if d != nil {
			m.devices = append(m.devices, d)
		}
	}
	return nil
}

func (m *Machine) addVsock() (virtio.Device, error) {
	if !m.cfg.Vsock.Enabled {
		return nil, nil
	}
	d, err := vsock.New(vsock.Config{CID: uint64(m.cfg.Vsock.CID), Path: filepath.Join(m.dir.path, rundir.VsockSocket), Log: m.logger("vsock")})
	if err != nil {
		return nil, err
	}
	m.opened.add(d.Close)
	return d, nil
}

func (m *Machine) addBinder() (virtio.Device, error) {
	b := &m.cfg.Binder
	if !b.Enabled {
		return nil, nil
	}
	log := m.logger("binder")
	core := driver.New(driver.Config{Limits: m.core.Limits.Driver(), Label: m.core.Label, Log: log})
	d, err := vbinder.New(vbinder.Config{
		Name: m.cfg.Name, Core: core, ID: binderID, RequestQueues: min(m.cfg.CPUs, vbinder.MaxRequestQueues), Inline: b.Doorbell == config.Inline,
		Poll:       time.Duration(b.Poll),
		WindowSize: uint64(b.Window), MaxCommitted: uint64(b.Committed),
		Report: m.failures.report, Notice: m.failures.notice,
		Log: log,
	})
	if err != nil {
		return nil, err
	}
	m.opened.add(d.Close)
	m.binder = d
	return d, nil
}
