// SPDX-License-Identifier: Apache-2.0

// Package tap opens tap interfaces of the host as links of virtio/net devices.
package tap

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"virtbinder/virtio/net"
)

// Tap is an open tap interface.
type Tap struct {
	*os.File
	control int // the file's descriptor, for ioctls
}

// Open attaches to the tap interface of that name; it is made if it is not there,
// which takes CAP_NET_ADMIN, and then ends with us.
func Open(name string) (*Tap, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("network interface %s: /dev/net/tun: %w", name, err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("network interface %q: a name has 1 to 15 bytes", name)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, explain(name, err)
	}
	return prepare(fd, name)
}

// explain says what to do about an interface that cannot be had.
func explain(name string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("network interface %s: not permitted; let an administrator make it once: ip tuntap add dev %s mode tap user %d", name, name, os.Getuid())
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("network interface %s is in use by another process: give each machine its own", name)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("network interface %s is no tap interface with one queue", name)
	}
	return fmt.Errorf("network interface %s: %w", name, err)
}

// FromFD takes over a tap interface that another program opened and left to us.
func FromFD(fd int) (*Tap, error) {
	name := fmt.Sprintf("file descriptor %d", fd)
	req, err := unix.NewIfreq("x")
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, req); err != nil {
		return nil, fmt.Errorf("network: %s is no open tap interface (%w)", name, err)
	}
	const want = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if flags := req.Uint16(); flags&want != want || flags&unix.IFF_TUN != 0 {
		return nil, fmt.Errorf("network: %s is a tun interface, or one that was opened without IFF_NO_PI and IFF_VNET_HDR", name)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("network: %s: %w", name, err)
	}
	unix.CloseOnExec(fd)
	return prepare(fd, name)
}

// prepare makes the headers virtio's and offloads nothing.
func prepare(fd int, name string) (*Tap, error) {
	t := &Tap{control: fd}
	err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, net.HeaderSize)
	if err == nil {
		err = t.SetOffload(net.Offload{})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("network: %s: %w", name, err)
	}
	t.File = os.NewFile(uintptr(fd), name) // pollable from here on
	return t, nil
}

// CanOffload is true: the host's kernel does it.
func (t *Tap) CanOffload() bool { return true }

// Flags of TUNSETOFFLOAD.
const (
	offloadSum  = 1
	offloadTSO4 = 2
	offloadTSO6 = 4
	offloadECN  = 8
)

// SetOffload tells the kernel what the guest can take.
func (t *Tap) SetOffload(o net.Offload) error {
	flags := 0
	if o.Sum { // the others need it
		flags |= offloadSum
		for flag, on := range map[int]bool{offloadTSO4: o.TSO4, offloadTSO6: o.TSO6, offloadECN: o.ECN && (o.TSO4 || o.TSO6)} {
			if on {
				flags |= flag
			}
		}
	}
	if err := unix.IoctlSetInt(t.control, unix.TUNSETOFFLOAD, flags); err != nil {
		return fmt.Errorf("offloads %#x: %w", flags, err)
	}
	return nil
}
