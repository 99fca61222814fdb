// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver"
)

// transport takes the guest driver's requests to the core. Requests and ioctls are
// answered through kernel.answered; the rest is answered at once.
type transport interface {
	context(name string) (driver.ContextID, unix.Errno)
	open(driver.OpenArgs) (driver.ProcID, unix.Errno)
	mmap(id driver.ProcID, addr, size uint64) (off uint64, errno unix.Errno)
	writeRead(*request)
	ioctl(r *request, cmd uint32, arg *[24]byte)
	poll(id driver.ProcID, tid uint32) (readable bool, errno unix.Errno)
	cancel(id driver.ProcID, tid, seq uint32)
	release(id driver.ProcID)
	flush(id driver.ProcID)
	unmap(id driver.ProcID)
	undo(id driver.ProcID, tid uint32, delivery uint64)
	// settle takes in what the device has answered; true if there was anything.
	settle() bool
	window() []byte
	counts() driver.Counts
	close() error
}

// request is a WRITE_READ or an ioctl on its way. Its Payload is payload.
type request struct {
	driver.Request
	payload payload
	done    func(*driver.Response)
}

// payload is what a request has read of its sender's memory.
type payload []byte

// ReadAt is driver.Payload's.
func (p payload) ReadAt(b []byte, pos uint64) error {
	if pos > uint64(len(p)) || uint64(len(b)) > uint64(len(p))-pos {
		return unix.EFAULT
	}
	copy(b, p[pos:])
	return nil
}
