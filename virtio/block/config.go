// SPDX-License-Identifier: Apache-2.0

package block

import "encoding/binary"

// SectorSize is the unit in which drivers count, in bytes, whatever the disk's
// own block is.
const SectorSize = 512

// Feature bits of a block device.
const (
	featureSegMax      uint64 = 1 << 2
	featureReadOnly    uint64 = 1 << 5
	featureBlockSize   uint64 = 1 << 6
	featureFlush       uint64 = 1 << 9
	featureTopology    uint64 = 1 << 10
	featureConfigWCE   uint64 = 1 << 11
	featureMultiQueue  uint64 = 1 << 12
	featureDiscard     uint64 = 1 << 13
	featureWriteZeroes uint64 = 1 << 14
)

// Offsets in the configuration space.
const (
	configCapacity        = 0
	configSegMax          = 12
	configBlockSize       = 20
	configPhysicalExp     = 24
	configWriteback       = 32
	configNumQueues       = 34
	configDiscardSectors  = 36
	configDiscardSegments = 40
	configDiscardAlign    = 44
	configZeroesSectors   = 48
	configZeroesSegments  = 52
	configZeroesMayUnmap  = 56
	configSize            = 60
)

// Limits told to the driver.
const (
	// segMax leaves room in a chain for header and status.
	segMax = 62
	// eraseSectors bounds one range of a discard or of zeroes, 1 GiB.
	eraseSectors = 1 << 30 / SectorSize
	// eraseSegments bounds the ranges in one request.
	eraseSegments = 16
)

// configSpace is the configuration at rest; only writeback changes.
func (d *Device) configSpace() (c [configSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(c[configCapacity:], d.sectors)
	le.PutUint32(c[configSegMax:], segMax)
	le.PutUint32(c[configBlockSize:], uint32(d.blockSize))
	c[configPhysicalExp] = physicalExp(d.blockSize)
	if d.writeback.Load() {
		c[configWriteback] = 1
	}
	le.PutUint16(c[configNumQueues:], uint16(d.cfg.Queues))
	le.PutUint32(c[configDiscardSectors:], eraseSectors)
	le.PutUint32(c[configDiscardSegments:], eraseSegments)
	le.PutUint32(c[configDiscardAlign:], uint32(max(d.blockSize, physicalBlock)/SectorSize))
	le.PutUint32(c[configZeroesSectors:], eraseSectors)
	le.PutUint32(c[configZeroesSegments:], eraseSegments)
	c[configZeroesMayUnmap] = 1
	return c
}

// physicalBlock is what file systems should align to: a page of the host's.
const physicalBlock = 4096

// physicalExp is how many logical blocks a physical one has, as an exponent.
func physicalExp(logical int) (exp uint8) {
	for n := logical; n < physicalBlock; n *= 2 {
		exp++
	}
	return exp
}

// ReadConfig reads the configuration.
func (d *Device) ReadConfig(off uint32, p []byte) {
	if c := d.configSpace(); int(off) < len(c) {
		copy(p, c[off:])
	}
}

// WriteConfig lets the driver switch the write cache; nothing else is writable.
func (d *Device) WriteConfig(off uint32, p []byte) {
	if off == configWriteback && len(p) > 0 && d.features.Load()&featureConfigWCE != 0 {
		d.writeback.Store(p[0] != 0)
	}
}
