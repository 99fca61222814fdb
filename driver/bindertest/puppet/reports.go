// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"errors"
	"fmt"

	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
	"virtbinder/netlink"
)

// reports is a socket in the group on which this kernel tells of failures. A nil one
// hears nothing.
type reports struct{ fd int }

// listenReports joins the group of the family that the driver under test registers.
func listenReports() (*reports, error) {
	group, err := reportGroup()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	err = errors.Join(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group)))
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("puppet: join netlink group %d: %w", group, err)
	}
	return &reports{fd}, nil
}

func reportGroup() (uint32, error) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	family, err := c.GetFamily(netlink.FamilyName)
	if err != nil {
		return 0, fmt.Errorf("puppet: netlink family %s: %w", netlink.FamilyName, err)
	}
	for _, g := range family.Groups {
		if g.Name == netlink.GroupName {
			return g.ID, nil
		}
	}
	return 0, fmt.Errorf("puppet: netlink family %s has no group %s", netlink.FamilyName, netlink.GroupName)
}

// take returns what has come. It is sent before its sender learns of the failure, so
// when the machine is at rest it is here.
func (l *reports) take() (list []bindertest.Report, err error) {
	if l == nil {
		return nil, nil
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(l.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return list, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return list, err
		}
		r, err := netlink.ParseMessage(buf[:n])
		if err != nil {
			return list, err
		}
		list = append(list, bindertest.Report{
			Error: r.Error, Context: r.Context, FromPID: r.FromPID, FromTID: r.FromTID, ToPID: r.ToPID, ToTID: r.ToTID,
			Reply: r.IsReply, Flags: r.Flags, Code: r.Code, DataSize: r.DataSize,
		})
	}
}

func (l *reports) close() error {
	if l == nil {
		return nil
	}
	return unix.Close(l.fd)
}
