// SPDX-License-Identifier: Apache-2.0

package usernet

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	vnet "virtbinder/virtio/net"
)

var guestAddress = tcpip.AddrFrom4(netip.MustParseAddr(Guest).As4())

// guest is a whole network stack at the guest's end.
type guest struct {
	n     *Network
	link  *channel.Endpoint
	stack *stack.Stack
}

func newGuest(t *testing.T, forwards ...Forward) *guest {
	t.Helper()
	g := &guest{n: start(t, forwards...), link: channel.New(256, mtu+14, tcpip.LinkAddress(station))}
	g.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	if err := g.stack.CreateNIC(1, ethernet.New(g.link)); err != nil {
		t.Fatal(err)
	}
	address := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: guestAddress, PrefixLen: 24}}
	if err := g.stack.AddProtocolAddress(1, address, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, Gateway: tcpip.AddrFrom4(netip.MustParseAddr(Gateway).As4()), NIC: 1}})
	t.Cleanup(g.stack.Close)
	go g.send()
	go g.receive()
	return g
}

// send carries the stack's frames to the network, as the device does.
func (g *guest) send() {
	for {
		pkt := g.link.ReadContext(context.Background())
		if pkt == nil {
			return
		}
		frame := append(make([]byte, vnet.HeaderSize), pkt.ToView().AsSlice()...)
		pkt.DecRef()
		_, _ = g.n.Write(frame) // what is refused is dropped
	}
}

func (g *guest) receive() {
	frame := make([]byte, vnet.HeaderSize+mtu+14)
	for {
		n, err := g.n.Read(frame)
		if err != nil {
			g.link.Close()
			return
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(bytes.Clone(frame[vnet.HeaderSize:n]))})
		g.link.InjectInbound(0, pkt) // the frame says which protocol
		pkt.DecRef()
	}
}

// echoes checks that much data goes to the other end of c and comes back.
func echoes(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	want := bytes.Repeat([]byte("there and back "), 20000)
	go func() { _, _ = c.Write(want) }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what comes back is something else: %v", err)
	}
}

func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

// TestForwarded: a connection to the host's port arrives in the guest.
func TestForwarded(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := netip.MustParseAddrPort(port.Addr().String())
	port.Close()
	g := newGuest(t, Forward{Host: host, Guest: 7})
	l, err := gonet.ListenTCP(g.stack, tcpip.FullAddress{NIC: 1, Addr: guestAddress, Port: 7}, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go echo(l)
	c, err := net.Dial("tcp", host.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoes(t, c)
}

// TestHostLoopback: what listens there is out of the guest's reach, by each name.
func TestHostLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go echo(l)
	g := newGuest(t)
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	for _, address := range []string{"127.0.0.1", "127.1.2.3", "0.0.0.0", Gateway} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		c, err := gonet.DialContextTCP(ctx, g.stack, tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(netip.MustParseAddr(address).As4()), Port: port}, ipv4.ProtocolNumber)
		cancel()
		if err == nil {
			c.Close()
			t.Errorf("%s led to the host's loopback", address)
		}
	}
}
