// SPDX-License-Identifier: Apache-2.0

// Command listen prints, in a guest, what is multicast on the kernel's netlink group of
// binder's failure reports: first the family, then a line for each datagram. Tests run
// it; it uses another netlink library than the rest of the project, and none to receive.
package main

import (
	"fmt"
	"log"

	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	log.Fatal("listen: ", listen())
}

// listen returns why it could not go on.
func listen() error {
	family, group, err := find()
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group))
	}
	if err != nil {
		return err
	}
	fmt.Printf("family %d version %d group %d\n", family.ID, family.Version, group)
	buf := make([]byte, 64<<10)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		nl := from.(*unix.SockaddrNetlink)
		fmt.Printf("%d %d %x\n", nl.Pid, nl.Groups, buf[:n])
	}
}

// find asks the kernel for the family and its group.
func find() (family genetlink.Family, group uint32, err error) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return family, 0, err
	}
	defer c.Close()
	if family, err = c.GetFamily("binder"); err != nil {
		return family, 0, fmt.Errorf("family binder: %w", err)
	}
	for _, g := range family.Groups {
		if g.Name == "report" {
			return family, g.ID, nil
		}
	}
	return family, 0, fmt.Errorf("family binder has no group report: %+v", family.Groups)
}
