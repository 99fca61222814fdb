// SPDX-License-Identifier: Apache-2.0

// Package hardware makes the devices that a machine's description asks for, but
// for those that make it one of virtbinder's (vsock and binder): disks, networks,
// virtio consoles and the entropy device.
package hardware

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"

	"virtbinder/internal/config"
	"virtbinder/virtio"
	"virtbinder/virtio/block"
	"virtbinder/virtio/console"
	"virtbinder/virtio/entropy"
	vnet "virtbinder/virtio/net"
	"virtbinder/vmm/disk"
	"virtbinder/vmm/tap"
	"virtbinder/vmm/usernet"
)

// Port is the host's end of a console; either may be nil.
type Port struct {
	In  io.Reader
	Out io.Writer
}

// Hardware is a machine's devices.
type Hardware struct {
	Devices []virtio.Device // in slot order: disks first, then networks, so that adding one of a kind moves few

	logger func(component string) *slog.Logger
	close  []func() error
}

// Open makes the devices of vm. The ports are of its consoles of type hvc, in
// order. logger gives a component's log. If it fails nothing stays open.
func Open(vm *config.VM, ports []Port, logger func(component string) *slog.Logger) (*Hardware, error) {
	h := &Hardware{logger: logger}
	if err := h.open(vm, ports); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Hardware) open(vm *config.VM, ports []Port) error {
	for i := range vm.Disks {
		if err := h.disk(i, &vm.Disks[i], vm.CPUs); err != nil {
			return fmt.Errorf("disks[%d]: %w", i, err)
		}
	}
	for i := range vm.Net {
		if err := h.network(i, &vm.Net[i], vm.Name); err != nil {
			return fmt.Errorf("net[%d]: %w", i, err)
		}
	}
	for i, p := range ports {
		d := console.New(console.Config{Name: fmt.Sprintf("hvc%d", i), In: p.In, Out: p.Out, Log: h.logger("console")})
		h.add(d, d.Close)
	}
	if vm.Entropy {
		h.add(entropy.New(), nil)
	}
	return nil
}

func (h *Hardware) add(d virtio.Device, close func() error) {
	h.Devices = append(h.Devices, d)
	if close != nil {
		h.close = append(h.close, close)
	}
}

// Close frees what the devices stand on, in reverse order, and makes disks durable.
// The machine has ended.
func (h *Hardware) Close() error {
	var errs []error
	for i := len(h.close) - 1; i >= 0; i-- {
		errs = append(errs, h.close[i]())
	}
	h.close = nil
	return errors.Join(errs...)
}

// maxDiskQueues bounds the queues of a disk; one for each vCPU up to it spares the
// guest a lock, more would only be memory.
const maxDiskQueues = 4

func (h *Hardware) disk(i int, c *config.Disk, cpus int) error {
	d, err := disk.Open(disk.Options{Path: c.Path, ReadOnly: c.ReadOnly, Direct: c.Direct})
	if err != nil {
		return err
	}
	h.close = append(h.close, d.Close)
	dev, err := block.New(block.Config{
		ID: fmt.Sprintf("disk%d", i), Backend: d, Queues: min(cpus, maxDiskQueues), Log: h.logger("block"),
	})
	if err != nil {
		return err
	}
	h.add(dev, nil)
	return nil
}

func (h *Hardware) network(i int, c *config.Net, vm string) error {
	mac := Address(vm, i)
	if c.MAC != "" {
		var err error
		if mac, err = net.ParseMAC(c.MAC); err != nil {
			return err
		}
	}
	link, closeLink, err := openLink(c, mac)
	if err != nil {
		return err
	}
	h.close = append(h.close, closeLink)
	dev, err := vnet.New(vnet.Config{Name: fmt.Sprintf("net%d", i), MAC: mac, Link: link, Log: h.logger("net")})
	if err != nil {
		return err
	}
	h.add(dev, nil)
	return nil
}

// openLink opens where a network device leads.
func openLink(c *config.Net, mac net.HardwareAddr) (vnet.Link, func() error, error) {
	if c.User == nil {
		var t *tap.Tap
		var err error
		if c.TapFD != nil {
			t, err = tap.FromFD(*c.TapFD)
		} else {
			t, err = tap.Open(c.Tap)
		}
		if err != nil {
			return nil, nil, err
		}
		return t, t.Close, nil
	}
	u := usernet.Config{MAC: mac}
	for _, f := range c.User.Forwards {
		host, err := netip.ParseAddrPort(f.Host)
		if err != nil {
			return nil, nil, err
		}
		u.Forwards = append(u.Forwards, usernet.Forward{UDP: f.Proto == "udp", Host: host, Guest: f.Guest})
	}
	n, err := usernet.New(u)
	if err != nil {
		return nil, nil, err
	}
	return n, n.Close, nil
}

// Address makes the address of a machine's network device from the machine's name,
// so that it is the same at each start and no other machine's.
func Address(vm string, index int) net.HardwareAddr {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", vm, index))
	mac := net.HardwareAddr(sum[:6])
	mac[0] = mac[0]&^1 | 2 // of one station, given locally
	return mac
}
