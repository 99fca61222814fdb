// SPDX-License-Identifier: Apache-2.0

package net

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"virtbinder/virtio"
)

// Feature bits of a network device.
const (
	featureCSum       uint64 = 1 << 0
	featureGuestCSum  uint64 = 1 << 1
	featureMAC        uint64 = 1 << 5
	featureGuestTSO4  uint64 = 1 << 7
	featureGuestTSO6  uint64 = 1 << 8
	featureGuestECN   uint64 = 1 << 9
	featureHostTSO4   uint64 = 1 << 11
	featureHostTSO6   uint64 = 1 << 12
	featureHostECN    uint64 = 1 << 13
	featureMergeRxBuf uint64 = 1 << 15
)

// offloads are the features that are up to the link.
const offloads = featureCSum | featureGuestCSum | featureGuestTSO4 | featureGuestTSO6 | featureGuestECN |
	featureHostTSO4 | featureHostTSO6 | featureHostECN

// HeaderSize is the size of struct virtio_net_hdr_v1, which precedes each frame on
// the rings and on a Link that does offloads.
const HeaderSize = 12

const (
	headerBuffers = 10 // offset of num_buffers
	ethernetSize  = 14 // the least a frame has
	// maxFrame is the largest frame, with segmentation left to the other end.
	maxFrame = 65536 + ethernetSize + 4
	// maxMerged is how many buffers a frame may be spread over.
	maxMerged = 32
)

// Queues of the device.
const (
	queueReceive  = 0 // to the guest
	queueTransmit = 1 // from the guest
	numQueues     = 2
	queueSize     = 256
)

// Link is where frames go to and come from. Reads and writes carry one frame each,
// after a header. One goroutine reads and one writes.
type Link interface {
	// Read fills p with the next frame and returns its length.
	Read(p []byte) (int, error)
	// Write sends a frame. The guest made it and its header.
	Write(p []byte) (int, error)
	// SetReadDeadline ends a Read in progress at that time, with
	// os.ErrDeadlineExceeded.
	SetReadDeadline(time.Time) error
	// CanOffload says whether the link understands the headers.
	CanOffload() bool
	// SetOffload says what of it the guest can take: sums left to the receiver,
	// and segmentation.
	SetOffload(Offload) error
}

// Offload is what may be left to the guest's end.
type Offload struct{ Sum, TSO4, TSO6, ECN bool }

// Config describes a network device.
type Config struct {
	Name string // for the log
	MAC  net.HardwareAddr
	Link Link
	Log  *slog.Logger // slog.Default() if nil
}

// Stats are counts of frames, and of their bytes.
type Stats struct {
	Received, Sent           uint64 // by the guest
	ReceivedBytes, SentBytes uint64
	Dropped                  uint64 // in either direction
}

// Device is a virtio network device. The caller closes the link after the machine
// has ended.
type Device struct {
	cfg Config
	log *slog.Logger

	received, sent, receivedBytes, sentBytes, dropped atomic.Uint64

	mu      sync.Mutex
	session *session // guarded by mu: nil while not active
}

// New makes the device.
func New(cfg Config) (*Device, error) {
	if len(cfg.MAC) != 6 || cfg.MAC[0]&1 != 0 {
		return nil, fmt.Errorf("network %s: %v is no address of one station", cfg.Name, cfg.MAC)
	}
	d := &Device{cfg: cfg, log: cfg.Log}
	if d.log == nil {
		d.log = slog.Default()
	}
	return d, nil
}

// String returns the device's name for logs.
func (d *Device) String() string { return d.cfg.Name }

// Type returns the id of a network device.
func (d *Device) Type() uint16 { return 1 }

// Features returns what the device offers.
func (d *Device) Features() uint64 {
	f := featureMAC | featureMergeRxBuf
	if d.cfg.Link.CanOffload() {
		f |= offloads
	}
	return f
}

// QueueSizes returns the sizes of the receive and transmit queues.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize, queueSize} }

// SharedMemory returns none.
func (d *Device) SharedMemory() []virtio.SharedMemory { return nil }

// ReadConfig reads the configuration: the address, and a link that is always up.
func (d *Device) ReadConfig(off uint32, p []byte) {
	if int(off) < len(d.cfg.MAC) {
		copy(p, d.cfg.MAC[off:])
	}
}

// WriteConfig ignores the write.
func (d *Device) WriteConfig(uint32, []byte) {}

// Stats returns the counts so far.
func (d *Device) Stats() Stats {
	return Stats{
		Received: d.received.Load(), Sent: d.sent.Load(),
		ReceivedBytes: d.receivedBytes.Load(), SentBytes: d.sentBytes.Load(), Dropped: d.dropped.Load(),
	}
}

// Activate starts carrying frames.
func (d *Device) Activate(a virtio.Activation) error {
	if len(a.Queues) != numQueues || a.Queues[queueReceive].Size() == 0 || a.Queues[queueTransmit].Size() == 0 {
		return errors.New("the driver did not set up its two queues")
	}
	if err := d.cfg.Link.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	s := startSession(d, a)
	d.mu.Lock()
	d.session = s
	d.mu.Unlock()
	return nil
}

// Notify wakes the sender, or the receiver that waits for buffers.
func (d *Device) Notify(queue int) {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if s != nil && queue < numQueues {
		ring(s.bells[queue])
	}
}

// Reset stops carrying frames.
func (d *Device) Reset() {
	d.mu.Lock()
	s := d.session
	d.session = nil
	d.mu.Unlock()
	if s != nil {
		s.stop()
	}
}

// putBuffers says in a header how many buffers the frame is spread over.
func putBuffers(header []byte, n int) {
	binary.LittleEndian.PutUint16(header[headerBuffers:], uint16(n))
}
