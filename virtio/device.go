// SPDX-License-Identifier: Apache-2.0

package virtio

import (
	"os"

	"virtbinder/internal/guestmem"
)

// Feature bits that the transport and the queues know; a device adds its own
// below bit 24.
const (
	FeatureIndirectDesc uint64 = 1 << 28 // VIRTIO_F_INDIRECT_DESC
	FeatureEventIdx     uint64 = 1 << 29 // VIRTIO_F_EVENT_IDX
	FeatureVersion1     uint64 = 1 << 32 // VIRTIO_F_VERSION_1
)

// Device is a virtio device without its transport.
//
// The transport calls Activate and Reset one at a time and never while a Notify
// runs. ReadConfig and WriteConfig may be called at any moment, also while the
// device is active, one at a time. None of them may call back into the transport
// except through the functions of Activation, which never block on the transport.
type Device interface {
	// Type returns the virtio device id, 1 to 63.
	Type() uint16
	// Features returns the device's own feature bits; the transport adds
	// VERSION_1, INDIRECT_DESC and EVENT_IDX.
	Features() uint64
	// QueueSizes returns the largest size of each queue in descriptors, each a
	// power of two up to 32768. Its length is the number of queues, at most 64.
	QueueSizes() []uint16
	// ReadConfig fills p from the device configuration space at offset off in
	// bytes; what lies beyond the device's fields reads as zero. The offset and
	// the length are the guest's, within 4096 bytes.
	ReadConfig(off uint32, p []byte)
	// WriteConfig is a guest's write to that space; a device ignores what is not
	// writable.
	WriteConfig(off uint32, p []byte)
	// Activate hands the queues over when the driver has set DRIVER_OK. If it
	// fails the device goes to NEEDS_RESET with that reason.
	Activate(a Activation) error
	// Notify is the doorbell of one queue. Inline, it runs in the kicking
	// vCPU's own thread, several at a time, even for one queue; else in that queue's worker.
	Notify(queue int)
	// Reset returns the device to the state before Activate. It must be complete
	// on return: no goroutine of the device touches guest memory afterwards.
	// It may be called on a device that was never activated.
	Reset()
	// SharedMemory lists the device's shared-memory regions; the answer must not
	// change.
	SharedMemory() []SharedMemory
}

// SharedMemory is a region of host memory that the guest maps through a BAR.
type SharedMemory struct {
	ID   uint8    // shmid, unique within the device
	Size uint64   // bytes, a multiple of 4096
	File *os.File // a memfd of at least Size bytes; owned by the device
}

// Activation is what a device gets when its driver is ready.
type Activation struct {
	// Features are the bits that the driver accepted.
	Features uint64
	// Memory is the guest's memory.
	Memory *guestmem.Memory
	// Queues are all queues, by index. One that the driver did not enable is
	// there too: its Pop finds nothing and its Push does nothing.
	Queues []*Queue
	// Inline says that Notify runs in vCPU threads.
	Inline bool
	// Fail puts the device into DEVICE_NEEDS_RESET and logs why; the first
	// reason is kept. It may be called from anywhere, also under locks and from
	// within Notify. A queue calls it by itself when its ring is broken.
	Fail func(error)
	// ConfigChanged tells the driver that the configuration space has changed.
	// It may be called from anywhere.
	ConfigChanged func()
}

// Host is what the transport needs of the machine around it. All methods may be
// called from any goroutine.
type Host interface {
	// Memory returns the guest's memory.
	Memory() *guestmem.Memory
	// SendMSI raises a message-signalled interrupt.
	SendMSI(addr uint64, data uint32) error
	// IOEventFD binds eventfd fd to guest writes of width bytes with value
	// datamatch to an I/O port, or takes the binding away.
	IOEventFD(port uint16, width int, datamatch uint64, fd int, assign bool) error
	// MapShared shows the first size bytes of f at guest-physical address gpa,
	// until unmap is called.
	MapShared(gpa uint64, size uint64, f *os.File) (unmap func() error, err error)
}
