// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A client of the kernel's reports that shares no code with package netlink, nor
// with any netlink library: a raw socket, its messages taken apart by hand.

var ne = binary.NativeEndian

// capture is one datagram as it came.
type capture struct {
	bytes []byte
	port  uint32 // of the sender; 0 is the kernel
	group uint32 // as a mask
}

func (c capture) typ() uint16 { return ne.Uint16(c.bytes[4:]) }

// attr finds an attribute in the message.
func (c capture) attr(want uint16) (payload []byte, ok bool) {
	for b := c.bytes[20:]; len(b) >= 4; {
		n, typ := int(ne.Uint16(b)), ne.Uint16(b[2:])
		if typ == want {
			return b[4:n], true
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil, false
}

// number is an attribute of four bytes, or 0.
func (c capture) number(want uint16) uint32 {
	b, ok := c.attr(want)
	if !ok || len(b) != 4 {
		return 0
	}
	return ne.Uint32(b)
}

func (c capture) String() string {
	return fmt.Sprintf("port %d group %#x %s", c.port, c.group, hex.EncodeToString(c.bytes))
}

// rawListener collects what arrives on the groups it joins.
type rawListener struct {
	fd   int
	mu   sync.Mutex
	got  []capture // guarded by mu
	fail error     // guarded by mu: what ended it
}

func newRawListener(t *testing.T) *rawListener {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
	l := &rawListener{fd: fd}
	go l.receive()
	return l
}

func (l *rawListener) join(t *testing.T, group uint32) {
	t.Helper()
	if err := unix.SetsockoptInt(l.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group)); err != nil {
		t.Fatalf("join netlink group %d: %v", group, err)
	}
}

func (l *rawListener) receive() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := unix.Recvfrom(l.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		l.mu.Lock()
		if err != nil {
			l.fail = err
			l.mu.Unlock()
			return
		}
		nl := from.(*unix.SockaddrNetlink)
		l.got = append(l.got, capture{append([]byte{}, buf[:n]...), nl.Pid, nl.Groups})
		l.mu.Unlock()
	}
}

// all is what has come so far; the program that makes failures ends with one that
// says that there are no more.
func (l *rawListener) all() ([]capture, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]capture{}, l.got...), l.fail
}

// family asks the kernel for the binder family's id and its group's.
func family(t *testing.T) (id uint16, group uint32, ok bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const nlctrl, getFamily, familyName, familyID, groups = 16, 3, 2, 1, 7
	name := "binder\x00\x00" // padded
	req := ne.AppendUint32(nil, uint32(16+4+4+len(name)))
	req = ne.AppendUint16(req, nlctrl)
	req = ne.AppendUint16(req, unix.NLM_F_REQUEST)
	req = append(req, make([]byte, 8)...)
	req = append(req, getFamily, 2, 0, 0)
	req = ne.AppendUint16(req, uint16(4+len(name)-1))
	req = ne.AppendUint16(req, familyName)
	req = append(req, name...)
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16<<10)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	for err == unix.EINTR {
		n, _, err = unix.Recvfrom(fd, buf, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	answer := capture{bytes: buf[:n]}
	if answer.typ() == unix.NLMSG_ERROR {
		return 0, 0, false
	}
	idBytes, _ := answer.attr(familyID)
	list, _ := answer.attr(groups)
	// The list has one nested entry, whose attributes are the group's id (2) and name (1).
	entry := capture{bytes: append(make([]byte, 20), list[4:]...)}
	return ne.Uint16(idBytes), entry.number(2), true
}

// until waits for something that is bound to happen.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(4 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
