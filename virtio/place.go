// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"errors"
	"fmt"
)

// This file acts on where the guest puts the BARs: the doorbell port is bound to
// its eventfds, and shared memory is mapped.

// placement is what PCI.mapMu guards.
type placement struct {
	port    uint16 // where the doorbell is bound, if it is
	bound   bool
	shared  uint64 // where shared memory is mapped, if it is
	unmap   []func() error
	enabled bool // shared memory is mapped
}

// SetBARAddr tells the function that one of its BARs now decodes at addr, or with
// enabled false that it does not decode. The bus calls it at set-up and whenever
// the guest moves a BAR or changes the command register. The BAR register follows,
// if it does not say so already.
func (p *PCI) SetBARAddr(bar int, addr uint64, enabled bool) {
	if now, _ := p.config.Placement(bar); now != addr && (enabled || addr != 0) {
		p.config.SetBARAddr(bar, addr)
	}
	p.mapMu.Lock()
	defer p.mapMu.Unlock()
	var err error
	switch bar {
	case barNotify:
		err = p.bindDoorbellLocked(addr, enabled)
	case barShared:
		err = p.mapSharedLocked(addr, enabled)
	}
	if err != nil {
		p.fail(err)
	}
}

// bindDoorbellLocked moves the eventfds to a port. A doorbell without them still
// works: its writes are exits, which kick the workers.
func (p *PCI) bindDoorbellLocked(addr uint64, enabled bool) error {
	pl := &p.place
	if pl.bound && (!enabled || uint64(pl.port) != addr) {
		for _, w := range p.workers {
			if err := p.host.IOEventFD(pl.port, 2, uint64(w.queue), w.fd, false); err != nil {
				return fmt.Errorf("unbind doorbell of queue %d from port %#x: %w", w.queue, pl.port, err)
			}
		}
		pl.bound = false
	}
	if !enabled || pl.bound || len(p.workers) == 0 || addr > 0xffff {
		return nil
	}
	for _, w := range p.workers {
		if err := p.host.IOEventFD(uint16(addr), 2, uint64(w.queue), w.fd, true); err != nil {
			return fmt.Errorf("bind doorbell of queue %d to port %#x: %w", w.queue, addr, err)
		}
	}
	pl.port, pl.bound = uint16(addr), true
	return nil
}

// mapSharedLocked moves the shared-memory regions.
func (p *PCI) mapSharedLocked(addr uint64, enabled bool) error {
	pl := &p.place
	if pl.enabled && enabled && pl.shared == addr {
		return nil
	}
	err := p.unmapSharedLocked()
	if err != nil || !enabled {
		return err
	}
	pl.shared, pl.enabled = addr, true
	for _, s := range p.shared {
		unmap, err := p.host.MapShared(addr+s.off, s.Size, s.File)
		if err != nil {
			err = fmt.Errorf("map shared memory %d at %#x: %w", s.ID, addr+s.off, err)
			return errors.Join(err, p.unmapSharedLocked())
		}
		pl.unmap = append(pl.unmap, unmap)
	}
	return nil
}

func (p *PCI) unmapSharedLocked() (err error) {
	for _, unmap := range p.place.unmap {
		if e := unmap(); e != nil && err == nil {
			err = fmt.Errorf("unmap shared memory: %w", e)
		}
	}
	p.place.unmap, p.place.enabled = nil, false
	return err
}

// unplaceAll takes back every mapping and binding.
func (p *PCI) unplaceAll() error {
	p.mapMu.Lock()
	defer p.mapMu.Unlock()
	err := p.bindDoorbellLocked(0, false)
	if e := p.unmapSharedLocked(); err == nil {
		err = e
	}
	return err
}
