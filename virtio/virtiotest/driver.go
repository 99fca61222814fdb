// SPDX-License-Identifier: Apache-2.0

package virtiotest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"virtbinder/internal/pci"
	"virtbinder/virtio"
)

// Config says how Start makes the machine and drives the device. The zero value
// is good for most tests.
type Config struct {
	Memory    int          // bytes of guest memory; 16 MiB if 0
	RAM       []byte       // guest memory, if it is not to be made
	Inline    bool         // doorbells run in the caller of Kick
	Features  uint64       // what the driver wants of the device's offer; all of it if 0
	QueueSize int          // descriptors, at most; the device's own sizes if 0
	Log       *slog.Logger // of the transport; slog.Default() if nil
}

// Driver is the guest's side of one device.
type Driver struct {
	Machine *Machine
	PCI     *virtio.PCI

	// Features is what was negotiated.
	Features uint64

	regs     [maxCap + 1]window // by virtio capability type
	shared   []SharedWindow
	port     uint16
	queues   []*Queue
	maxQueue int // limit of queue sizes, or 0
	changes  atomic.Int64
}

// window is a structure that a capability points at.
type window struct {
	bar       int
	off, size uint64
}

// SharedWindow is a shared-memory region as the guest finds it.
type SharedWindow struct {
	ID   uint8
	GPA  uint64
	Size uint64
}

const maxCap = 8

// Where the driver puts BARs: ports from portBase, memory from mmioBase, 64-bit
// prefetchable memory from prefetchBase.
const (
	portBase     = 0xc000
	mmioBase     = 0xe0000000
	prefetchBase = 0x4000000000
)

// Start makes a machine with one device and drives it up to DRIVER_OK with all its
// queues.
func Start(dev virtio.Device, cfg Config) (*Driver, error) {
	if cfg.Memory == 0 {
		cfg.Memory = 16 << 20
	}
	if cfg.RAM == nil {
		cfg.RAM = make([]byte, cfg.Memory)
	}
	m, err := NewMachineOn(cfg.RAM, 0)
	if err != nil {
		return nil, err
	}
	p := virtio.NewPCI(dev, m, virtio.Options{Inline: cfg.Inline, Log: cfg.Log})
	if err := p.Err(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	d, err := Attach(m, p)
	if err == nil {
		d.maxQueue = cfg.QueueSize
		err = d.Up(cfg.Features)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return d, nil
}

// Attach probes a function: it places the BARs, walks the capabilities, and
// enables MSI-X. The device is left in reset.
func Attach(m *Machine, p *virtio.PCI) (*Driver, error) {
	d := &Driver{Machine: m, PCI: p}
	if err := d.placeBARs(); err != nil {
		return nil, err
	}
	if err := d.findCapabilities(); err != nil {
		return nil, err
	}
	return d, nil
}

// Close resets the device and releases what the transport holds.
func (d *Driver) Close() error { return d.PCI.Close() }

// placeBARs does what firmware and the PCI core do: sizes each BAR, assigns an
// address and enables decoding.
func (d *Driver) placeBARs() error {
	next := map[pci.Kind]uint64{pci.IO: portBase, pci.Mem32: mmioBase, pci.Mem64: mmioBase + 1<<24, pci.Mem64Prefetch: prefetchBase}
	for _, b := range d.PCI.BARs() {
		if size := d.sizeBAR(b); size != b.Size {
			return fmt.Errorf("virtiotest: BAR %d sizes to %#x, want %#x", b.Index, size, b.Size)
		}
		addr := (next[b.Kind] + b.Size - 1) &^ (b.Size - 1)
		next[b.Kind] = addr + b.Size
		d.configWrite(uint16(pci.OffBAR0+4*b.Index), 4, addr)
		if b.Kind.Is64() {
			d.configWrite(uint16(pci.OffBAR0+4*b.Index+4), 4, addr>>32)
		}
		if b.Kind == pci.IO {
			d.port = uint16(addr)
		}
	}
	d.configWrite(pci.OffCommand, 2, pci.CommandIO|pci.CommandMemory|pci.CommandMaster)
	for _, b := range d.PCI.BARs() {
		addr, enabled := pci.Placement(configReader{d.PCI}, b)
		if !enabled {
			return fmt.Errorf("virtiotest: BAR %d does not decode", b.Index)
		}
		d.PCI.SetBARAddr(b.Index, addr, true)
	}
	return nil
}

func (d *Driver) sizeBAR(b pci.BAR) uint64 {
	off := uint16(pci.OffBAR0 + 4*b.Index)
	d.configWrite(off, 4, 0xffffffff)
	mask := d.configRead(off, 4) | 0xffffffff00000000
	if b.Kind.Is64() {
		d.configWrite(off+4, 4, 0xffffffff)
		mask = mask&0xffffffff | d.configRead(off+4, 4)<<32
	}
	low := uint64(15)
	if b.Kind == pci.IO {
		low = 3
	}
	return ^(mask &^ low) + 1
}

type configReader struct{ p *virtio.PCI }

func (r configReader) Read(off uint16, p []byte) { r.p.ConfigRead(off, p) }

// findCapabilities walks the list as a driver does.
func (d *Driver) findCapabilities() error {
	at := uint16(d.configRead(pci.OffCapabilities, 1))
	for seen := 0; at != 0; seen++ {
		if seen > 48 {
			return errors.New("virtiotest: the capability list does not end")
		}
		switch d.configRead(at, 1) {
		case pci.CapVendor:
			d.addCapability(at)
		case pci.CapMSIX:
			d.configWrite(at+2, 2, 1<<15)
		}
		at = uint16(d.configRead(at+1, 1))
	}
	for _, kind := range []int{1, 2, 3, 4, 5} {
		if kind != 5 && d.regs[kind].size == 0 {
			return fmt.Errorf("virtiotest: no virtio capability of type %d", kind)
		}
	}
	return nil
}

func (d *Driver) addCapability(at uint16) {
	kind, bar := d.configRead(at+3, 1), int(d.configRead(at+4, 1))
	off, size := d.configRead(at+8, 4), d.configRead(at+12, 4)
	if kind == maxCap {
		off |= d.configRead(at+16, 4) << 32
		size |= d.configRead(at+20, 4) << 32
		base, _ := pci.Placement(configReader{d.PCI}, d.bar(bar))
		d.shared = append(d.shared, SharedWindow{ID: uint8(d.configRead(at+5, 1)), GPA: base + off, Size: size})
		return
	}
	if kind < maxCap && d.regs[kind].size == 0 { // the first of a kind is the preferred one
		d.regs[kind] = window{bar, off, size}
	}
}

func (d *Driver) bar(index int) pci.BAR {
	for _, b := range d.PCI.BARs() {
		if b.Index == index {
			return b
		}
	}
	return pci.BAR{}
}

// SharedMemory returns the device's shared-memory regions.
func (d *Driver) SharedMemory() []SharedWindow { return d.shared }

func (d *Driver) configRead(off uint16, n int) uint64 {
	var b [8]byte
	d.PCI.ConfigRead(off, b[:n])
	return binary.LittleEndian.Uint64(b[:])
}

func (d *Driver) configWrite(off uint16, n int, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	d.PCI.ConfigWrite(off, b[:n])
}

// Virtio capability types.
const (
	capCommon = 1
	capNotify = 2
	capDevice = 4
)

// Registers of the common configuration that the driver uses.
const (
	regDeviceFeatureSelect = 0x00
	regDeviceFeature       = 0x04
	regDriverFeatureSelect = 0x08
	regDriverFeature       = 0x0c
	regConfigVector        = 0x10
	regNumQueues           = 0x12
	regStatus              = 0x14
	regQueueSelect         = 0x16
	regQueueSize           = 0x18
	regQueueVector         = 0x1a
	regQueueEnable         = 0x1c
	regQueueDesc           = 0x20
	regQueueDriver         = 0x28
	regQueueDevice         = 0x30
)

// Status bits.
const (
	StatusAcknowledge = 0x01
	StatusDriver      = 0x02
	StatusDriverOK    = 0x04
	StatusFeaturesOK  = 0x08
	StatusNeedsReset  = 0x40
	StatusFailed      = 0x80
)

// Read reads n bytes, up to 8, of the common configuration.
func (d *Driver) Read(reg uint64, n int) uint64 {
	var b [8]byte
	w := d.regs[capCommon]
	d.PCI.BARAccess(w.bar, w.off+reg, b[:n], false)
	return binary.LittleEndian.Uint64(b[:])
}

// Write writes n bytes, up to 8, of the common configuration.
func (d *Driver) Write(reg uint64, n int, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	w := d.regs[capCommon]
	d.PCI.BARAccess(w.bar, w.off+reg, b[:n], true)
}

// Status returns the status register.
func (d *Driver) Status() byte { return byte(d.Read(regStatus, 1)) }

// SetStatus writes the status register; 0 resets the device.
func (d *Driver) SetStatus(v byte) { d.Write(regStatus, 1, uint64(v)) }

// ReadConfig reads the device configuration.
func (d *Driver) ReadConfig(off uint64, b []byte) {
	w := d.regs[capDevice]
	d.PCI.BARAccess(w.bar, w.off+off, b, false)
}

// WriteConfig writes the device configuration.
func (d *Driver) WriteConfig(off uint64, b []byte) {
	w := d.regs[capDevice]
	d.PCI.BARAccess(w.bar, w.off+off, b, true)
}

// ConfigChanges returns how many configuration interrupts came.
func (d *Driver) ConfigChanges() int { return int(d.changes.Load()) }

// Up negotiates and brings all queues and the device up. want limits the features
// to accept; 0 accepts all on offer.
func (d *Driver) Up(want uint64) error {
	if err := d.Negotiate(want); err != nil {
		return err
	}
	n := int(d.Read(regNumQueues, 2))
	d.queues = make([]*Queue, n)
	for i := range n {
		if _, err := d.SetupQueue(i); err != nil {
			return err
		}
	}
	return d.Ready()
}

// Negotiate resets the device and settles the features.
func (d *Driver) Negotiate(want uint64) error {
	d.SetStatus(0)
	if s := d.Status(); s != 0 {
		return fmt.Errorf("virtiotest: status is %#x after reset", s)
	}
	d.SetStatus(StatusAcknowledge)
	d.SetStatus(StatusAcknowledge | StatusDriver)
	d.Features = d.Offered()
	if want != 0 {
		d.Features &= want | virtio.FeatureVersion1
	}
	for sel := range uint64(2) {
		d.Write(regDriverFeatureSelect, 4, sel)
		d.Write(regDriverFeature, 4, d.Features>>(32*sel)&0xffffffff)
	}
	d.SetStatus(StatusAcknowledge | StatusDriver | StatusFeaturesOK)
	if d.Status()&StatusFeaturesOK == 0 {
		return fmt.Errorf("virtiotest: the device refused features %#x", d.Features)
	}
	d.Write(regConfigVector, 2, 0)
	d.setVector(0, d.Machine.onMSI(func() { d.changes.Add(1) }))
	return nil
}

// Offered returns the device's feature bits.
func (d *Driver) Offered() uint64 {
	d.Write(regDeviceFeatureSelect, 4, 0)
	low := d.Read(regDeviceFeature, 4)
	d.Write(regDeviceFeatureSelect, 4, 1)
	return low | d.Read(regDeviceFeature, 4)<<32
}

// SetupQueue places and enables one queue, with interrupt vector index+1.
func (d *Driver) SetupQueue(index int) (*Queue, error) {
	d.Write(regQueueSelect, 2, uint64(index))
	size := int(d.Read(regQueueSize, 2))
	if size == 0 {
		return nil, fmt.Errorf("virtiotest: no queue %d", index)
	}
	if d.maxQueue > 0 {
		size = min(size, d.maxQueue)
	}
	q := newQueue(d, index, size)
	d.Write(regQueueSize, 2, uint64(size))
	vector := uint64(index + 1)
	d.Write(regQueueVector, 2, vector)
	if got := d.Read(regQueueVector, 2); got != vector {
		return nil, fmt.Errorf("virtiotest: queue %d: vector reads back as %#x", index, got)
	}
	d.setVector(int(vector), d.Machine.onMSI(q.interrupt))
	for i, addr := range []uint64{q.DescGPA, q.AvailGPA, q.UsedGPA} {
		reg := uint64(regQueueDesc + 8*i)
		d.Write(reg, 4, addr&0xffffffff)
		d.Write(reg+4, 4, addr>>32)
	}
	d.Write(regQueueEnable, 2, 1)
	if len(d.queues) <= index {
		d.queues = append(d.queues, make([]*Queue, index+1-len(d.queues))...)
	}
	d.queues[index] = q
	return q, nil
}

// setVector writes and unmasks an entry of the MSI-X table.
func (d *Driver) setVector(vector int, data uint32) {
	var e [16]byte
	binary.LittleEndian.PutUint64(e[:], msiBase)
	binary.LittleEndian.PutUint32(e[8:], data)
	const barMSIX = 1
	d.PCI.BARAccess(barMSIX, uint64(vector)*16, e[:], true)
}

// Ready sets DRIVER_OK.
func (d *Driver) Ready() error {
	d.SetStatus(StatusAcknowledge | StatusDriver | StatusFeaturesOK | StatusDriverOK)
	if d.Status()&StatusNeedsReset != 0 {
		return errors.New("virtiotest: the device needs a reset as soon as it was started")
	}
	return nil
}

// Queue returns a queue that was set up.
func (d *Driver) Queue(index int) *Queue { return d.queues[index] }

// Doorbell returns the eventfd that is bound to a queue's doorbell; ok is false if a
// kick of it is an exit.
func (d *Driver) Doorbell(queue int) (fd int, ok bool) {
	d.Machine.mu.Lock()
	defer d.Machine.mu.Unlock()
	fd, ok = d.Machine.evfds[doorbell{d.port + uint16(d.regs[capNotify].off), uint64(queue)}]
	return fd, ok
}

// kick writes a queue's index, which is also in bell, to the doorbell port: to the
// eventfd bound there if there is one, else as an exit.
func (d *Driver) kick(index int, bell []byte) {
	w := d.regs[capNotify]
	if d.Machine.ring(d.port+uint16(w.off), uint16(index)) {
		return
	}
	d.PCI.BARAccess(w.bar, w.off, bell, true)
}
