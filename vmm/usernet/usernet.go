// SPDX-License-Identifier: Apache-2.0

// Package usernet is a network inside this process, for which nobody needs a
// privilege: the guest's packets end in gVisor's network stack, which makes
// connections of them (containers/gvisor-tap-vsock, as podman machine uses it).
//
// The guest gets its address by DHCP, always Guest, and reaches the world through
// Gateway, which also answers DNS. The host is reached like any other address, but
// not its loopback. Nothing reaches the guest but what Forwards say.
package usernet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/containers/gvisor-tap-vsock/pkg/virtualnetwork"
	"github.com/sirupsen/logrus"

	vnet "virtbinder/virtio/net"
)

// Addresses of the network.
const (
	Subnet  = "192.168.127.0/24"
	Gateway = "192.168.127.1"
	Guest   = "192.168.127.2"

	gatewayMAC = "5a:94:ef:e4:0c:dd"
	mtu        = 1500
)

// Forward leads connections to an address of the host into the guest.
type Forward struct {
	UDP   bool
	Host  netip.AddrPort // listened on
	Guest uint16         // port
}

func (f Forward) protocol() types.TransportProtocol {
	if f.UDP {
		return types.UDP
	}
	return types.TCP
}

// Config describes a network.
type Config struct {
	MAC      net.HardwareAddr // the guest's
	Forwards []Forward
}

// Network is a running network and the guest's link to it.
type Network struct {
	net.Conn // the guest's end: a frame a read, a frame a write

	cfg    Config
	stack  *virtualnetwork.VirtualNetwork
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// silence keeps the library from writing to standard error: a guest could fill it.
var silence = sync.OnceFunc(func() { logrus.SetOutput(io.Discard) })

// New starts a network.
func New(cfg Config) (*Network, error) {
	silence()
	stack, err := virtualnetwork.New(&types.Configuration{
		MTU: mtu, Subnet: Subnet, GatewayIP: Gateway, GatewayMacAddress: gatewayMAC,
		DHCPStaticLeases: map[string]string{Guest: cfg.MAC.String()},
	})
	if err != nil {
		return nil, fmt.Errorf("user-mode network: %w", err)
	}
	ours, theirs := net.Pipe() // a write is read whole: both ends' buffers hold a frame
	ctx, cancel := context.WithCancel(context.Background())
	n := &Network{Conn: ours, cfg: Config{MAC: cfg.MAC}, stack: stack, cancel: cancel}
	n.done.Go(func() { _ = stack.AcceptBess(ctx, theirs) })
	for _, f := range cfg.Forwards {
		if err := n.forward("expose", types.ExposeRequest{Local: f.Host.String(), Remote: fmt.Sprintf("%s:%d", Guest, f.Guest), Protocol: f.protocol()}); err != nil {
			n.Close()
			return nil, fmt.Errorf("user-mode network: forward %v to port %d of the guest: %w", f.Host, f.Guest, err)
		}
		n.cfg.Forwards = append(n.cfg.Forwards, f)
	}
	return n, nil
}

// Close ends the network: its forwards, and the guest's link.
func (n *Network) Close() error {
	n.cancel()
	err := n.Conn.Close()
	for _, f := range n.cfg.Forwards {
		_ = n.forward("unexpose", types.UnexposeRequest{Local: f.Host.String(), Protocol: f.protocol()})
	}
	n.done.Wait()
	return err
}

// forward makes a request of the library's API, which has no other way to end a
// forward.
func (n *Network) forward(what string, request any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "/services/forwarder/"+what, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	answer := &response{}
	n.stack.ServicesMux().ServeHTTP(answer, req)
	if answer.code >= http.StatusBadRequest {
		return fmt.Errorf("%s", strings.TrimSpace(answer.text.String()))
	}
	return nil
}

// response is an HTTP response that stays in the process.
type response struct {
	code int
	text strings.Builder
	head http.Header
}

func (r *response) WriteHeader(code int)        { r.code = code }
func (r *response) Write(p []byte) (int, error) { return r.text.Write(p) }
func (r *response) Header() http.Header {
	if r.head == nil {
		r.head = http.Header{}
	}
	return r.head
}

// CanOffload is false: frames are whole, with their sums.
func (n *Network) CanOffload() bool { return false }

// SetOffload has nothing to do.
func (n *Network) SetOffload(vnet.Offload) error { return nil }

// Read fills p with a frame for the guest after an empty header.
func (n *Network) Read(p []byte) (int, error) {
	clear(p[:vnet.HeaderSize])
	got, err := n.Conn.Read(p[vnet.HeaderSize:])
	return got + vnet.HeaderSize, err
}

// Write takes a frame of the guest's, after a header that says nothing here.
func (n *Network) Write(p []byte) (int, error) {
	if err := n.check(p[vnet.HeaderSize:]); err != nil {
		return 0, err
	}
	return n.Conn.Write(p[vnet.HeaderSize:])
}

// Places in a frame.
const (
	etherSource = 6
	etherType   = 12
	ipv4Dest    = 14 + 16
	ipv4End     = 14 + 20
)

// check refuses what the library must not see: a frame cut short would be its
// panic, each new source address takes memory, and a connection to 0.0.0.0/8 or
// 127.0.0.0/8 would be one to the host's loopback.
func (n *Network) check(frame []byte) error {
	switch {
	case len(frame) < ipv4End || len(frame) > mtu+14:
		return fmt.Errorf("a frame of %d bytes", len(frame))
	case string(frame[etherSource:etherType]) != string(n.cfg.MAC):
		return fmt.Errorf("a frame from %v", net.HardwareAddr(frame[etherSource:etherType]))
	case frame[etherType] == 8 && frame[etherType+1] == 0 && (frame[ipv4Dest] == 0 || frame[ipv4Dest] == 127):
		return fmt.Errorf("a packet to %v", net.IP(frame[ipv4Dest:ipv4End]))
	}
	return nil
}
