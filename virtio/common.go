// SPDX-License-Identifier: Apache-2.0

package virtio

import "encoding/binary"

// This file is struct virtio_pci_common_cfg: the registers by which a driver
// negotiates features and sets queues up. state.go acts on the status register.

// Offsets of the common configuration.
const (
	ccDeviceFeatureSelect = 0x00
	ccDeviceFeature       = 0x04
	ccDriverFeatureSelect = 0x08
	ccDriverFeature       = 0x0c
	ccConfigVector        = 0x10
	ccNumQueues           = 0x12
	ccStatus              = 0x14
	ccGeneration          = 0x15
	ccQueueSelect         = 0x16
	ccQueueSize           = 0x18
	ccQueueVector         = 0x1a
	ccQueueEnable         = 0x1c
	ccQueueNotifyOff      = 0x1e
	ccQueueDesc           = 0x20
	ccQueueDriver         = 0x28
	ccQueueDevice         = 0x30
	ccQueueNotifyData     = 0x38
)

// noVector is VIRTIO_MSI_NO_VECTOR.
const noVector = 0xffff

// commonState is what PCI.mu guards.
type commonState struct {
	broken        error // why the device cannot be used at all, or nil
	status        byte  // without DEVICE_NEEDS_RESET, which is PCI.failed
	deviceFeature uint32
	driverFeature uint32
	features      uint64 // as the driver wrote them
	selected      uint16
	queue         []queueRegs
}

// queueRegs are the registers of one queue; its vector is in PCI.vectors.
type queueRegs struct {
	size    uint16
	enabled bool
	addr    [3]uint64 // descriptor table, driver ring, device ring
}

// resetRegisters gives every register the value it has after reset. Called with
// mu held or before the device is shared.
func (p *PCI) resetRegisters() {
	c := &p.common
	c.status, c.deviceFeature, c.driverFeature, c.features, c.selected = 0, 0, 0, 0, 0
	for i := range c.queue {
		c.queue[i] = queueRegs{size: p.sizes[i]}
		p.vectors[i].Store(noVector)
	}
	p.configVector.Store(noVector)
	p.isr.Store(0)
	p.failed.Store(false)
}

// commonAccess is an access of the common configuration. Reads may have any size;
// writes must be of one field, or of one half of a 64-bit field.
func (p *PCI) commonAccess(off int, b []byte, write bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !write {
		var regs [commonLen]byte
		p.commonSnapshotLocked(&regs)
		copy(b, regs[off:])
		return
	}
	var raw [8]byte
	if len(b) > len(raw) {
		return
	}
	copy(raw[:], b)
	p.commonWriteLocked(off, len(b), binary.LittleEndian.Uint64(raw[:]))
}

// commonSnapshotLocked renders all registers.
func (p *PCI) commonSnapshotLocked(b *[commonLen]byte) {
	le, c := binary.LittleEndian, &p.common
	le.PutUint32(b[ccDeviceFeatureSelect:], c.deviceFeature)
	le.PutUint32(b[ccDeviceFeature:], half(p.offers, c.deviceFeature))
	le.PutUint32(b[ccDriverFeatureSelect:], c.driverFeature)
	le.PutUint32(b[ccDriverFeature:], half(c.features, c.driverFeature))
	le.PutUint16(b[ccConfigVector:], uint16(p.configVector.Load()))
	le.PutUint16(b[ccNumQueues:], uint16(len(c.queue)))
	b[ccStatus] = p.statusLocked()
	b[ccGeneration] = byte(p.generation.Load())
	le.PutUint16(b[ccQueueSelect:], c.selected)
	if int(c.selected) >= len(c.queue) {
		return // a size of 0: no such queue
	}
	q := &c.queue[c.selected]
	le.PutUint16(b[ccQueueSize:], q.size)
	le.PutUint16(b[ccQueueVector:], uint16(p.vectors[c.selected].Load()))
	if q.enabled {
		b[ccQueueEnable] = 1
	}
	le.PutUint16(b[ccQueueNotifyOff:], c.selected)
	le.PutUint64(b[ccQueueDesc:], q.addr[0])
	le.PutUint64(b[ccQueueDriver:], q.addr[1])
	le.PutUint64(b[ccQueueDevice:], q.addr[2])
	le.PutUint16(b[ccQueueNotifyData:], c.selected)
}

// half returns 32 of 64 feature bits.
func half(bits uint64, sel uint32) uint32 {
	switch sel {
	case 0:
		return uint32(bits)
	case 1:
		return uint32(bits >> 32)
	}
	return 0
}

func (p *PCI) commonWriteLocked(off, n int, v uint64) {
	c := &p.common
	switch {
	case off == ccDeviceFeatureSelect && n == 4:
		c.deviceFeature = uint32(v)
	case off == ccDriverFeatureSelect && n == 4:
		c.driverFeature = uint32(v)
	case off == ccDriverFeature && n == 4:
		p.writeFeaturesLocked(uint32(v))
	case off == ccConfigVector && n == 2:
		p.configVector.Store(p.checkVector(v))
	case off == ccStatus && n == 1:
		p.writeStatusLocked(byte(v))
	case off == ccQueueSelect && n == 2:
		c.selected = uint16(v)
	case off >= ccQueueSize && int(c.selected) < len(c.queue):
		p.writeQueueLocked(off, n, v)
	}
}

// writeFeaturesLocked takes half of the driver's features; they are fixed once
// FEATURES_OK is set.
func (p *PCI) writeFeaturesLocked(v uint32) {
	c := &p.common
	if c.status&statusFeaturesOK != 0 {
		return
	}
	switch c.driverFeature {
	case 0:
		c.features = c.features&^0xffffffff | uint64(v)
	case 1:
		c.features = c.features&0xffffffff | uint64(v)<<32
	}
}

// checkVector returns v, or noVector when there is no such vector: the driver
// reads it back to learn that.
func (p *PCI) checkVector(v uint64) uint32 {
	if v >= uint64(p.msix.Vectors()) {
		return noVector
	}
	return uint32(v)
}

// writeQueueLocked writes a register of the selected queue. Size and addresses
// are fixed once the queue is enabled.
func (p *PCI) writeQueueLocked(off, n int, v uint64) {
	q := &p.common.queue[p.common.selected]
	switch {
	case off == ccQueueVector && n == 2:
		p.vectors[p.common.selected].Store(p.checkVector(v))
	case q.enabled:
		return
	case off == ccQueueSize && n == 2:
		if size := uint16(v); size <= p.sizes[p.common.selected] && size != 0 {
			q.size = size // NewQueue says whether it is a power of two
		}
	case off == ccQueueEnable && n == 2:
		q.enabled = v == 1
	case off >= ccQueueDesc && off < ccQueueNotifyData:
		writeHalf(&q.addr[(off-ccQueueDesc)/8], (off-ccQueueDesc)%8, n, v)
	}
}

// writeHalf writes a 64-bit register, whole or by 32-bit halves.
func writeHalf(reg *uint64, off, n int, v uint64) {
	switch {
	case off == 0 && n == 8:
		*reg = v
	case off == 0 && n == 4:
		*reg = *reg&^0xffffffff | v
	case off == 4 && n == 4:
		*reg = *reg&0xffffffff | v<<32
	}
}
