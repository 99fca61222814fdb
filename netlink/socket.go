// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// groupSocket is a netlink socket connected to one multicast group: a plain
// write multicasts, with no privilege asked any more.
type groupSocket struct {
	fd     int
	portID uint32
}

// connectGroup opens a socket of protocol and connects it to group (1..32). On
// generic netlink the connect needs CAP_NET_ADMIN over the network namespace.
func connectGroup(protocol int, group uint32) (groupSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return groupSocket{}, fmt.Errorf("open netlink socket: %w", err)
	}
	s := groupSocket{fd: fd}
	if err := s.connect(group); err != nil {
		unix.Close(fd)
		return groupSocket{}, fmt.Errorf("connect to netlink group %d: %w", group, err)
	}
	return s, nil
}

func (s *groupSocket) connect(group uint32) error {
	if err := unix.Connect(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (group - 1)}); err != nil {
		return err
	}
	var err error
	s.portID, err = portID(s.fd)
	return err
}

// portID is the netlink address of the socket, given by the kernel.
func portID(fd int) (uint32, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	nl, ok := sa.(*unix.SockaddrNetlink)
	if !ok {
		return 0, errors.New("not a netlink socket")
	}
	return nl.Pid, nil
}

// groupSockets are sockets for groups 1 to 32, by group. They are all opened
// while there is privilege, because the id of the kernel's group is not known
// before the kernel's driver is loaded, which may be after it is given up.
type groupSockets [maxMaskGroup + 1]groupSocket

// connectGroups opens them all, or none.
func connectGroups() (*groupSockets, error) {
	var set groupSockets
	for i := range set {
		set[i].fd = -1
	}
	for g := uint32(1); g <= maxMaskGroup; g++ {
		s, err := connectGroup(unix.NETLINK_GENERIC, g)
		if err != nil {
			set.close()
			return nil, err
		}
		set[g] = s
	}
	return &set, nil
}

func (set *groupSockets) close() {
	for i := range set {
		if set[i].fd >= 0 {
			unix.Close(set[i].fd)
			set[i].fd = -1
		}
	}
}

// send multicasts one message. On NETLINK_USERSOCK nobody in the kernel takes
// the copy that would go to port 0, hence ECONNREFUSED after the multicast was
// delivered.
func (s groupSocket) send(b []byte) error {
	for {
		_, err := unix.Write(s.fd, b)
		switch err {
		case unix.EINTR:
			continue
		case unix.ECONNREFUSED:
			return nil
		}
		return err
	}
}
