// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"virtbinder/internal/pci"
)

// Identity of a modern virtio function.
const (
	pciVendor     = 0x1af4
	pciDeviceBase = 0x1040 // plus the virtio id
	pciRevision   = 1
	pciClass      = 0xff0000 // unassigned: the driver binds by id
	pciSubsystem  = 0x1100
)

// The BARs, by register index.
const (
	barNotify = 0 // I/O: the doorbell
	barMSIX   = 1 // 32-bit memory: MSI-X table and pending bits
	barRegs   = 2 // 64-bit memory: common, ISR, device configuration
	barShared = 4 // 64-bit prefetchable memory: shared-memory regions, if the device has any
)

// Layout of barRegs, in bytes.
const (
	regsCommon    = 0x0000
	regsISR       = 0x1000
	regsDevice    = 0x2000
	regsDeviceLen = 0x1000
	regsSize      = 0x4000
	commonLen     = 64
	isrLen        = 4
	notifyLen     = 4
	notifyBARSize = 8
)

// maxQueues bounds what a device may have.
const maxQueues = 64

// Options are the transport's settings.
type Options struct {
	// Inline makes Device.Notify run in the kicking vCPU's thread. Otherwise each
	// queue has a worker.
	Inline bool
	// Name is used in logs and errors; by default what the device's String method
	// says, if it has one, else the virtio id.
	Name string
	// Log receives failures and state changes; by default slog.Default().
	Log *slog.Logger
}

// PCI is one virtio device behind the modern PCI transport. Its methods are what
// a PCI bus calls; all may be called from any goroutine.
type PCI struct {
	// Invariant after NewPCI.
	dev    Device
	host   Host
	opts   Options
	log    *slog.Logger
	config *pci.Config
	msix   *pci.MSIX
	offset struct{ msix, pciCfg int } // of capabilities
	sizes  []uint16                   // of queues, at most
	shared []placedShared
	offers uint64 // feature bits

	// Registers that devices reach without a lock, from Fail and ConfigChanged.
	isr          atomic.Uint32
	generation   atomic.Uint32 // of the device configuration; the low byte shows
	configVector atomic.Uint32
	failed       atomic.Bool // DEVICE_NEEDS_RESET
	active       atomic.Bool // between Activate and Reset
	vectors      []atomic.Uint32

	mu     sync.Mutex
	common commonState

	life    sync.RWMutex // see the package comment
	queues  []*Queue     // of the activation; guarded by life, replaced under mu
	workers []*worker    // invariant after NewPCI; empty when inline

	mapMu sync.Mutex
	place placement
}

// placedShared is a shared-memory region and where it sits in its BAR.
type placedShared struct {
	SharedMemory
	off uint64
}

// NewPCI puts dev behind a PCI function of its own. It panics on nothing, but a
// device that describes itself wrongly gives a function that fails at DRIVER_OK
// with that reason; Err tells it earlier.
func NewPCI(dev Device, host Host, opts Options) *PCI {
	p := &PCI{dev: dev, host: host, opts: opts, log: opts.Log, sizes: dev.QueueSizes()}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.opts.Name == "" {
		p.opts.Name = fmt.Sprintf("virtio-%d", dev.Type())
		if named, ok := dev.(fmt.Stringer); ok {
			p.opts.Name = named.String()
		}
	}
	p.log = p.log.With("device", p.opts.Name)
	p.offers = dev.Features() | FeatureVersion1 | FeatureIndirectDesc | FeatureEventIdx
	err := p.build()
	p.vectors = make([]atomic.Uint32, len(p.sizes))
	p.common.queue = make([]queueRegs, len(p.sizes))
	p.resetRegisters()
	if err == nil && !opts.Inline {
		err = p.openWorkers()
	}
	p.common.broken = err
	return p
}

// Err returns why the device cannot be used, or nil. A caller that makes a
// machine should ask before it starts.
func (p *PCI) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.common.broken
}

// build makes the configuration space. On an error the function is still there,
// with what could be built of it.
func (p *PCI) build() (err error) {
	if len(p.sizes) > maxQueues {
		p.sizes = p.sizes[:maxQueues]
		err = fmt.Errorf("%s: more than %d queues", p.opts.Name, maxQueues)
	}
	p.msix, _ = pci.NewMSIX(len(p.sizes)+1, p.sendMSI) // at most maxQueues+1: cannot fail
	bars := []pci.BAR{
		{Index: barNotify, Kind: pci.IO, Size: notifyBARSize},
		{Index: barMSIX, Kind: pci.Mem32, Size: p.msix.BARSize()},
		{Index: barRegs, Kind: pci.Mem64, Size: regsSize},
	}
	size, sharedErr := p.placeShared()
	if size > 0 {
		bars = append(bars, pci.BAR{Index: barShared, Kind: pci.Mem64Prefetch, Size: size})
	}
	header := pci.Header{
		Vendor: pciVendor, Device: pciDeviceBase + p.dev.Type(), Revision: pciRevision,
		Class: pciClass, SubVendor: pciVendor, SubDevice: pciSubsystem,
	}
	config, configErr := pci.NewConfig(header, bars)
	if configErr != nil { // only a BAR of an impossible size: go without
		config, _ = pci.NewConfig(header, bars[:3])
	}
	p.config = config
	capErr := p.addCapabilities()
	for _, e := range []error{sharedErr, configErr, capErr, p.checkDevice()} {
		if err == nil {
			err = e
		}
	}
	return err
}

func (p *PCI) checkDevice() error {
	if t := p.dev.Type(); t < 1 || t > 63 {
		return fmt.Errorf("%s: virtio id %d is not in 1..63", p.opts.Name, t)
	}
	for i, n := range p.sizes {
		if n == 0 || n > MaxQueueSize || n&(n-1) != 0 {
			return fmt.Errorf("%s: queue %d has size %d, not a power of two up to %d", p.opts.Name, i, n, MaxQueueSize)
		}
	}
	return nil
}

// placeShared lays the shared-memory regions out in their BAR, each aligned to its
// own size rounded up to a power of two, and returns the BAR's size.
func (p *PCI) placeShared() (size uint64, err error) {
	var at uint64
	for _, s := range p.dev.SharedMemory() {
		if s.Size == 0 || s.Size%4096 != 0 || s.Size > 1<<40 || s.File == nil {
			return 0, fmt.Errorf("%s: shared memory %d of %d bytes: want a file and a multiple of 4096 up to 1 TiB", p.opts.Name, s.ID, s.Size)
		}
		step := pow2(s.Size)
		at = (at + step - 1) &^ (step - 1)
		p.shared = append(p.shared, placedShared{s, at})
		at += s.Size
	}
	if at == 0 {
		return 0, nil
	}
	return pow2(at), nil
}

func pow2(n uint64) uint64 {
	size := uint64(4096)
	for size < n {
		size *= 2
	}
	return size
}

// Capability types of virtio over PCI.
const (
	capCommon = 1
	capNotify = 2
	capISR    = 3
	capDevice = 4
	capPCI    = 5
	capShared = 8
)

// addCapabilities writes the list that a driver finds the registers by.
func (p *PCI) addCapabilities() error {
	type entry struct {
		kind, bar, id uint8
		off, size     uint64
	}
	list := []entry{
		{kind: capCommon, bar: barRegs, off: regsCommon, size: commonLen},
		{kind: capISR, bar: barRegs, off: regsISR, size: isrLen},
		{kind: capDevice, bar: barRegs, off: regsDevice, size: regsDeviceLen},
		{kind: capNotify, bar: barNotify, size: notifyLen},
	}
	for _, s := range p.shared {
		list = append(list, entry{kind: capShared, bar: barShared, id: s.ID, off: s.off, size: s.Size})
	}
	for _, e := range list {
		body := virtioCap(e.kind, e.bar, e.id, uint32(e.off), uint32(e.size))
		switch e.kind {
		case capNotify:
			body = append(body, 0, 0, 0, 0) // notify_off_multiplier: one port for all queues
		case capShared:
			body = binary.LittleEndian.AppendUint32(body, uint32(e.off>>32))
			body = binary.LittleEndian.AppendUint32(body, uint32(e.size>>32))
		}
		body[0] = byte(2 + len(body)) // cap_len
		if _, err := p.config.AddCapability(pci.CapVendor, body, nil); err != nil {
			return err
		}
	}
	return p.addWindows()
}

// addWindows adds the two capabilities that a guest writes: MSI-X, and access to
// the BARs through configuration space.
func (p *PCI) addWindows() (err error) {
	body := append(virtioCap(capPCI, 0, 0, 0, 0), 0, 0, 0, 0) // pci_cfg_data
	body[0] = byte(2 + len(body))
	writable := make([]byte, len(body))
	writable[2] = 0xff                                  // bar
	for i := pciCfgOffset - 2; i < len(writable); i++ { // offset, length, data
		writable[i] = 0xff
	}
	if p.offset.pciCfg, err = p.config.AddCapability(pci.CapVendor, body, writable); err != nil {
		return err
	}
	body, writable = p.msix.Capability(barMSIX)
	p.offset.msix, err = p.config.AddCapability(pci.CapMSIX, body, writable)
	return err
}

// virtioCap is struct virtio_pci_cap from its third byte on; the first of these,
// cap_len, is left to the caller.
func virtioCap(kind, bar, id uint8, off, size uint32) []byte {
	b := []byte{0, kind, bar, id, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, off)
	return binary.LittleEndian.AppendUint32(b, size)
}

// Fields of the capability that opens a window on the BARs, from its start.
const (
	pciCfgBAR    = 4
	pciCfgOffset = 8
	pciCfgLength = 12
	pciCfgData   = 16
	pciCfgEnd    = 20
)

// Name returns the name used in logs.
func (p *PCI) Name() string { return p.opts.Name }

// Device returns the device behind the transport.
func (p *PCI) Device() Device { return p.dev }

// BARs returns the function's base address registers.
func (p *PCI) BARs() []pci.BAR { return p.config.BARs() }

// ConfigRead fills p from configuration space.
func (p *PCI) ConfigRead(off uint16, b []byte) {
	if p.touchesData(off, len(b)) {
		p.windowRead()
	}
	p.config.Read(off, b)
}

// ConfigWrite writes configuration space. The bus learns from the BAR and command
// registers (pci.Placement) what moved, and calls SetBARAddr.
func (p *PCI) ConfigWrite(off uint16, b []byte) {
	p.config.Write(off, b)
	if p.touchesData(off, len(b)) {
		p.windowWrite()
	}
	if control := p.offset.msix + 2; p.offset.msix != 0 && int(off) < control+2 && int(off)+len(b) > control {
		var v [2]byte
		p.config.Read(uint16(control), v[:])
		p.msix.SetControl(binary.LittleEndian.Uint16(v[:]))
	}
}

// touchesData reports whether an access overlaps pci_cfg_data.
func (p *PCI) touchesData(off uint16, n int) bool {
	data := p.offset.pciCfg + pciCfgData
	return p.offset.pciCfg != 0 && int(off) < data+4 && int(off)+n > data
}

// window returns what the pci_cfg capability points at; ok is false unless it is
// an access a BAR could get.
func (p *PCI) window() (bar int, off uint64, n int, ok bool) {
	var b [pciCfgEnd]byte
	p.config.Read(uint16(p.offset.pciCfg), b[:])
	length := binary.LittleEndian.Uint32(b[pciCfgLength:])
	offset := binary.LittleEndian.Uint32(b[pciCfgOffset:])
	ok = (length == 1 || length == 2 || length == 4) && offset%length == 0
	return int(b[pciCfgBAR]), uint64(offset), int(length), ok
}

func (p *PCI) windowRead() {
	var data [4]byte
	if bar, off, n, ok := p.window(); ok {
		p.BARAccess(bar, off, data[:n], false)
	}
	p.config.Write(uint16(p.offset.pciCfg+pciCfgData), data[:])
}

func (p *PCI) windowWrite() {
	bar, off, n, ok := p.window()
	if !ok {
		return
	}
	var data [4]byte
	p.config.Read(uint16(p.offset.pciCfg+pciCfgData), data[:])
	p.BARAccess(bar, off, data[:n], true)
}

// BARAccess is a guest's load or store of len(b) bytes at off in a BAR. It
// allocates nothing.
func (p *PCI) BARAccess(bar int, off uint64, b []byte, write bool) {
	switch bar {
	case barNotify:
		p.notifyAccess(b, write)
	case barMSIX:
		p.msix.Access(off, b, write)
	case barRegs:
		p.regsAccess(off, b, write)
	default: // shared memory is mapped, not emulated; its padding reads as zero
		if !write {
			clear(b)
		}
	}
}

// regsAccess splits an access of barRegs by structure. An access that is not
// within one reads as zero.
func (p *PCI) regsAccess(off uint64, b []byte, write bool) {
	n := uint64(len(b))
	switch {
	case off+n < off || off+n > regsSize || n == 0:
		zeroUnless(write, b)
	case off+n <= regsCommon+commonLen:
		p.commonAccess(int(off-regsCommon), b, write)
	case off >= regsISR && off < regsISR+isrLen:
		zeroUnless(write, b)
		if off == regsISR && !write {
			b[0] = byte(p.isr.Swap(0)) // reading acknowledges
		}
	case off >= regsDevice && off+n <= regsDevice+regsDeviceLen:
		p.deviceAccess(uint32(off-regsDevice), b, write)
	default:
		zeroUnless(write, b)
	}
}

func zeroUnless(write bool, b []byte) {
	if !write {
		clear(b)
	}
}

func (p *PCI) deviceAccess(off uint32, b []byte, write bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if write {
		p.dev.WriteConfig(off, b)
		return
	}
	clear(b)
	p.dev.ReadConfig(off, b)
}

func (p *PCI) sendMSI(addr uint64, data uint32) {
	if err := p.host.SendMSI(addr, data); err != nil {
		p.log.Warn("interrupt not delivered", "addr", fmt.Sprintf("%#x", addr), "data", data, "err", err)
	}
}
