// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"errors"
	"fmt"
)

// This file is the device's life, as drawn in the package comment.

// Bits of the status register.
const (
	statusAcknowledge = 0x01
	statusDriver      = 0x02
	statusDriverOK    = 0x04
	statusFeaturesOK  = 0x08
	statusNeedsReset  = 0x40
	statusFailed      = 0x80

	statusDriverBits = statusAcknowledge | statusDriver | statusDriverOK | statusFeaturesOK | statusFailed
)

// Causes of an interrupt, in the ISR register.
const (
	isrQueue  = 1
	isrConfig = 2
)

func (p *PCI) statusLocked() byte {
	if p.failed.Load() {
		return p.common.status | statusNeedsReset
	}
	return p.common.status
}

// writeStatusLocked is a write of the status register.
func (p *PCI) writeStatusLocked(v byte) {
	if v == 0 {
		p.resetLocked()
		return
	}
	c := &p.common
	v &= statusDriverBits
	if c.status&^v != 0 {
		return // a driver may only add bits
	}
	added := v &^ c.status
	if added&statusFeaturesOK != 0 && !p.featuresAcceptable() {
		v &^= statusFeaturesOK
		p.log.Warn("features refused", "driver", fmt.Sprintf("%#x", c.features), "device", fmt.Sprintf("%#x", p.offers))
	}
	c.status = v
	if added&statusFailed != 0 {
		p.log.Warn("the driver gave up on the device")
	}
	if added&statusDriverOK == 0 {
		return
	}
	if v&statusFeaturesOK == 0 {
		p.fail(fmt.Errorf("DRIVER_OK without FEATURES_OK"))
		return
	}
	if err := p.activateLocked(); err != nil {
		p.fail(err)
	}
}

func (p *PCI) featuresAcceptable() bool {
	f := p.common.features
	return f&^p.offers == 0 && f&FeatureVersion1 != 0
}

// activateLocked makes the queues and hands them to the device.
func (p *PCI) activateLocked() error {
	if p.common.broken != nil {
		return p.common.broken
	}
	if p.failed.Load() {
		return nil // it needs a reset first
	}
	queues, err := p.makeQueues()
	if err != nil {
		return err
	}
	a := Activation{
		Features: p.common.features, Memory: p.host.Memory(), Queues: queues,
		Inline: p.opts.Inline, Fail: p.fail, ConfigChanged: p.configChanged,
	}
	p.life.Lock()
	p.queues = queues
	err = p.activateDevice(a)
	p.active.Store(err == nil)
	p.life.Unlock()
	if err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	p.startWorkers()
	p.log.Debug("device active", "features", fmt.Sprintf("%#x", a.Features))
	return nil
}

func (p *PCI) makeQueues() ([]*Queue, error) {
	queues := make([]*Queue, len(p.common.queue))
	for i, r := range p.common.queue {
		cfg := QueueConfig{Name: fmt.Sprintf("%s queue %d", p.opts.Name, i)}
		if r.enabled {
			cfg.Memory, cfg.Size, cfg.Features = p.host.Memory(), r.size, p.common.features
			cfg.Desc, cfg.Avail, cfg.Used = r.addr[0], r.addr[1], r.addr[2]
			cfg.Signal = func() { p.queueInterrupt(i) }
			cfg.Fail = p.fail
		}
		q, err := NewQueue(cfg)
		if err != nil {
			return nil, err
		}
		queues[i] = q
	}
	return queues, nil
}

// resetLocked takes the device back to its state before the driver, from any
// state. Queues stop first, so that whatever the device still does to them has no
// effect; then workers join; then the device itself is reset.
func (p *PCI) resetLocked() {
	wasActive := p.active.Swap(false)
	for _, q := range p.queues { // replaced only with mu held
		q.Stop()
	}
	p.stopWorkers()
	p.life.Lock() // waits for inline notifications
	p.resetRegisters()
	p.resetDevice()
	p.queues = nil
	p.life.Unlock()
	if wasActive {
		p.log.Debug("device reset")
	}
}

var errPanicked = errors.New("a bug in the device: it panicked")

// activateDevice hands the queues to the device.
func (p *PCI) activateDevice(a Activation) (err error) {
	err = errPanicked
	defer p.contain()
	return p.dev.Activate(a)
}

// resetDevice resets the device itself; one that panics then is not used again.
func (p *PCI) resetDevice() {
	before := p.common.broken
	p.common.broken = errPanicked
	defer p.contain()
	p.dev.Reset()
	p.common.broken = before
}

// Reset does what a guest's write of 0 to the status register does. A machine
// calls it for each device when it reboots or stops.
func (p *PCI) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resetLocked()
}

// Close resets the device and gives back what the transport holds of the host:
// mappings, doorbell bindings and eventfds. The function must not be used again.
func (p *PCI) Close() error {
	p.Reset()
	err := p.unplaceAll()
	p.closeWorkers()
	return err
}

// fail puts the device into DEVICE_NEEDS_RESET; only the first reason counts. It
// takes no lock but leaves.
func (p *PCI) fail(reason error) {
	if p.failed.Swap(true) {
		return
	}
	p.log.Error("device failed; it needs a reset by its driver", "reason", reason)
	p.configInterrupt()
}

// configChanged announces a change of the device configuration.
func (p *PCI) configChanged() {
	p.generation.Add(1)
	p.configInterrupt()
}

func (p *PCI) configInterrupt() {
	p.isr.Or(isrConfig)
	p.msix.Fire(uint16(p.configVector.Load()))
}

func (p *PCI) queueInterrupt(i int) {
	p.isr.Or(isrQueue)
	p.msix.Fire(uint16(p.vectors[i].Load()))
}
