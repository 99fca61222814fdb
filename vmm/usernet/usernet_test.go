// SPDX-License-Identifier: Apache-2.0

package usernet

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	vnet "virtbinder/virtio/net"
)

var station = net.HardwareAddr{0x52, 0x54, 0, 1, 2, 3}

func start(t *testing.T, forwards ...Forward) *Network {
	t.Helper()
	n, err := New(Config{MAC: station, Forwards: forwards})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// arpRequest asks for the gateway's address.
func arpRequest() []byte {
	b := make([]byte, vnet.HeaderSize, vnet.HeaderSize+60)
	b = append(b, 255, 255, 255, 255, 255, 255)
	b = append(b, station...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(b, station...)
	b = append(b, 192, 168, 127, 2, 0, 0, 0, 0, 0, 0, 192, 168, 127, 1)
	return append(b, make([]byte, vnet.HeaderSize+60-len(b))...)
}

// answered sends an ARP request and reads the answer: the network is alive.
func answered(t *testing.T, n *Network) {
	t.Helper()
	_ = n.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := n.Write(arpRequest()); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, vnet.HeaderSize+1600)
	for {
		got, err := n.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		if got < vnet.HeaderSize+42 || !bytes.Equal(p[:vnet.HeaderSize], make([]byte, vnet.HeaderSize)) {
			t.Fatalf("%d bytes arrive: %x", got, p[:got])
		}
		if f := p[vnet.HeaderSize:]; f[12] == 8 && f[13] == 6 && bytes.Equal(f[:6], station) && f[21] == 2 {
			if got := net.HardwareAddr(f[22:28]).String(); got != gatewayMAC {
				t.Errorf("the gateway is %s", got)
			}
			return
		}
	}
}

// TestHostileFrames: what could hurt the library or reach the host's loopback does
// not get to it.
func TestHostileFrames(t *testing.T) {
	n := start(t)
	answered(t, n)
	ip := func(to ...byte) []byte {
		b := arpRequest()
		f := b[vnet.HeaderSize:]
		f[12], f[13], f[14] = 8, 0, 0x45
		copy(f[ipv4Dest:], to)
		return b
	}
	for what, b := range map[string][]byte{
		"no frame":          arpRequest()[:vnet.HeaderSize],
		"13 bytes":          arpRequest()[:vnet.HeaderSize+13],
		"too long":          append(arpRequest(), make([]byte, 1600)...),
		"another's address": bytes.Replace(arpRequest(), station, net.HardwareAddr{2, 2, 2, 2, 2, 2}, 1),
		"to loopback":       ip(127, 0, 0, 1),
		"to 0.0.0.0":        ip(0, 0, 0, 0),
	} {
		if _, err := n.Write(b); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	answered(t, n)
}

// FuzzFrames gives the library whatever a guest could send.
func FuzzFrames(f *testing.F) {
	n, err := New(Config{MAC: station})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { n.Close() })
	go func() { // what it answers has to be taken
		p := make([]byte, 4096)
		for {
			if _, err := n.Read(p); err != nil {
				return
			}
		}
	}()
	f.Add(arpRequest()[vnet.HeaderSize:])
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, frame []byte) {
		b := append(make([]byte, vnet.HeaderSize), frame...)
		if len(frame) >= etherType {
			copy(b[vnet.HeaderSize+etherSource:], station)
		}
		_, _ = n.Write(b)
	})
}

func TestForwards(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	busy := netip.MustParseAddrPort(taken.Addr().String())
	if _, err := New(Config{MAC: station, Forwards: []Forward{{Host: busy, Guest: 80}}}); err == nil || !strings.Contains(err.Error(), busy.String()) {
		t.Errorf("an address in use: %v", err)
	}
	taken.Close()
	for range 2 { // the second finds the address free again
		n := start(t, Forward{Host: busy, Guest: 80}, Forward{UDP: true, Host: busy, Guest: 53})
		c, err := net.Dial("tcp", busy.String())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}
