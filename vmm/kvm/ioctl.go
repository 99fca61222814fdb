// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"syscall"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// Ioctl numbers that gokvm does not export.
const (
	nrGetSupportedCPUID   = 0x05
	nrSetUserMemoryRegion = 0x46
	nrSetIdentityMapAddr  = 0x48
	nrIRQLine             = 0x61
	nrSetGSIRouting       = 0x6a
	nrIRQFD               = 0x76
	nrCreatePIT2          = 0x77
	nrIOEventFD           = 0x79
	nrRun                 = 0x80
	nrGetRegs             = 0x81
	nrSetRegs             = 0x82
	nrGetSregs            = 0x83
	nrSetSregs            = 0x84
	nrGetMSRs             = 0x88
	nrSetMSRs             = 0x89
	nrSetCPUID2           = 0x90
	nrEnableCap           = 0xa3
	nrSignalMSI           = 0xa5
	nrClockCtrl           = 0xad
)

// RunIoctls lists the ioctls that a machine issues once it is made; a jail allows no
// others.
func RunIoctls() []uintptr {
	return []uintptr{
		gokvm.IIO(nrRun),
		iow(nrSignalMSI, unsafe.Sizeof(msi{})),
		iow(nrIRQLine, unsafe.Sizeof(irqLevel{})),
		iow(nrIRQFD, unsafe.Sizeof(irqfd{})),
		iow(nrIOEventFD, unsafe.Sizeof(ioeventfd{})),
		iow(nrSetGSIRouting, 8),
		iow(nrSetUserMemoryRegion, unsafe.Sizeof(gokvm.UserspaceMemoryRegion{})),
		ior(nrGetRegs, unsafe.Sizeof(gokvm.Regs{})),
		gokvm.IIO(nrClockCtrl),
	}
}

// ioctlPtr issues an ioctl whose argument is a pointer. The conversion to an
// integer stands in the argument list of syscall.Syscall, which is what keeps
// the object alive and in place while the kernel uses it.
func ioctlPtr(fd int, op uintptr, p unsafe.Pointer) (int, error) {
	r, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), op, uintptr(p))
	if errno != 0 {
		return int(r), errno
	}
	return int(r), nil
}

// iow, iowr and ior build ioctl numbers for a structure of the given size.
func iow(nr, size uintptr) uintptr  { return gokvm.IIOW(nr, size) }
func ior(nr, size uintptr) uintptr  { return gokvm.IIOR(nr, size) }
func iowr(nr, size uintptr) uintptr { return gokvm.IIOWR(nr, size) }
