// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// guestTap is a tap interface of the lab's host, and what the guest has at its other end.
type guestTap struct {
	name, host, guest, mac string
}

// Two ways to give a machine a tap interface.
var (
	tapByName = guestTap{name: "tap0", host: "10.98.0.1", guest: "10.98.0.2", mac: "52:54:00:98:00:02"}
	tapByFD   = guestTap{name: "tap1", host: "10.98.1.1", guest: "10.98.1.2", mac: "52:54:00:98:01:02"}
)

// open attaches to the interface, which is made if it is not there.
func (i *guestTap) open(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	req, err := unix.NewIfreq(i.name)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	return f
}

// address gives the host its end.
func (i *guestTap) address(t *testing.T) {
	t.Helper()
	shell(t, "ip", "address", "add", i.host+"/24", "dev", i.name)
	shell(t, "ip", "link", "set", i.name, "up")
}

// makeTaps makes both: one as an administrator would, for machines to come, and one
// that belongs to the file which the machine inherits.
func makeTaps(t *testing.T) (inherited *os.File) {
	t.Helper()
	made := tapByName.open(t)
	if err := unix.IoctlSetInt(int(made.Fd()), unix.TUNSETPERSIST, 1); err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	tapByName.address(t)
	inherited = tapByFD.open(t)
	tapByFD.address(t)
	return inherited
}

// check uses the interface in both directions, and looks at what goes through it.
func (i *guestTap) check(t *testing.T, c *terminal) {
	t.Helper()
	frames := watchFrames(t, i.name)
	c.run(fmt.Sprintf(`printf '[Match]\nMACAddress=%s\n[Network]\nAddress=%s/24\nLinkLocalAddressing=no\n' >/run/systemd/network/10-%s.network
until networkctl reload; do sleep 1; done`, // D-Bus gives a slow guest's 25 s
		i.mac, i.guest, i.name))
	c.run("until grep -q " + i.guest + " /proc/net/fib_trie; do sleep 0.2; done")
	shell(t, "ping", "-c", "1", "-W", "60", i.guest)
	guestConnects(t, c, i.host)
	echoes(t, net.JoinHostPort(i.guest, "7"))
	largest := frames()
	for direction, n := range map[string]int{"to": largest.sent, "from": largest.received} {
		if n <= ethernetFrame {
			t.Errorf("%s: the largest frame %s the guest has %d bytes: its segmentation is not left to the other end", i.name, direction, n)
		}
	}
}

// ethernetFrame is the largest frame of a network with an MTU of 1500.
const ethernetFrame = 1514

// frameSizes are the largest frames that were seen.
type frameSizes struct{ sent, received int }

// watchFrames begins to keep an interface's frames; what it returns looks at them.
func watchFrames(t *testing.T, name string) (look func() frameSizes) {
	t.Helper()
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in the network's order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index})
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() (s frameSizes) {
		defer unix.Close(fd)
		var b [1]byte
		for {
			n, from, err := unix.Recvfrom(fd, b[:], unix.MSG_TRUNC)
			if err == unix.EINTR {
				continue
			}
			if errors.Is(err, unix.EAGAIN) {
				return s
			}
			if err != nil {
				t.Fatal(err)
			}
			if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
				s.sent = max(s.sent, n)
			} else {
				s.received = max(s.received, n)
			}
		}
	}
}

// guestConnects makes a connection from the guest to an address of the host.
func guestConnects(t *testing.T, c *terminal, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b := make([]byte, len("from the guest"))
		_, _ = io.ReadFull(conn, b)
		got <- string(b)
		_, _ = io.WriteString(conn, "from the host\n")
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if answer := c.run(fmt.Sprintf("exec 3<>/dev/tcp/%s/%s; printf 'from the guest' >&3; head -n 1 <&3; exec 3>&-", address, port)); answer != "from the host" {
		t.Errorf("the guest got %q", answer)
	}
	if text := <-got; text != "from the guest" {
		t.Errorf("the host got %q", text)
	}
}

// echoes has the guest's service at an address say back many segments.
func echoes(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(machineTime))
	echo := strings.Repeat("to the guest and back ", 5000)
	go func() { _, _ = io.WriteString(conn, echo) }()
	back := make([]byte, len(echo))
	if _, err := io.ReadFull(conn, back); err != nil || string(back) != echo {
		t.Errorf("from %s came %.40q, %v", address, back, err)
	}
}
