// SPDX-License-Identifier: Apache-2.0

package vsock

import (
	"context"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// connState says how far a connection is.
type connState uint8

const (
	stateDialing     connState = iota // from the guest: the Unix socket is not connected yet
	stateRequested                    // from the host: the guest has not answered yet
	stateEstablished                  // data flows
)

// conn is one connection. All fields but dev, key, cond, loops, ctx and cancel are guarded by
// Device.mu; sock is set once.
type conn struct {
	dev    *Device
	key    connKey
	cond   sync.Cond // on Device.mu: something in here changed
	ctx    context.Context
	cancel context.CancelFunc
	loops  *sync.WaitGroup // of its activation

	state     connState
	fromHost  bool
	announced bool // the guest knows of it
	forgotten bool // the guest has reset it: needs no RST
	removed   bool // not in Device.conns any more
	sock      *net.UnixConn

	in       buffer // from the guest, for the socket
	taken    uint32 // bytes written to the socket: our fwd_cnt
	lastFwd  uint32 // taken, as the guest last heard it
	peerDown uint32 // what the guest will not do any more
	sockDown bool   // the socket takes no more

	out       buffer // from the socket, for the guest
	sent      uint32 // bytes sent to the guest
	peerAlloc uint32 // the guest's buf_alloc
	peerFwd   uint32 // and fwd_cnt
	down      uint32 // what we will not do any more

	send  uint32 // control packets to send
	ready bool   // in Device.ready
}

func (d *Device) newConnLocked(key connKey) *conn {
	c := &conn{dev: d, key: key, loops: d.state.loops}
	c.cond.L = &d.mu
	c.ctx, c.cancel = context.WithCancel(context.Background())
	d.state.conns[key] = c
	d.state.count.Begun++
	return c
}

// removeLocked ends a connection here; the guest is not told.
func (d *Device) removeLocked(c *conn) {
	if c.removed {
		return
	}
	c.removed = true
	delete(d.state.conns, c.key)
	c.cancel()
	if c.sock != nil {
		c.sock.Close()
	}
	c.cond.Broadcast()
}

// resetLocked ends a connection and tells the guest, if it knows of it.
func (d *Device) resetLocked(c *conn) {
	if c.removed {
		return
	}
	d.removeLocked(c)
	if !c.forgotten && (!c.fromHost || c.announced) {
		h := c.header(opRST, 0)
		d.state.resets = append(d.state.resets, h)
	}
}

// finishLocked ends the connection if nothing is left to do in either direction.
func (d *Device) finishLocked(c *conn) {
	fromGuest := c.peerDown&shutdownSend != 0 && c.in.len() == 0
	toGuest := c.down&shutdownSend != 0 && c.out.len() == 0 && c.send&sendShutdown == 0
	if fromGuest && (toGuest || c.peerDown&shutdownRecv != 0) {
		d.resetLocked(c)
	}
}

// dial connects a guest's connection to its Unix socket.
func (d *Device) dial(c *conn) {
	path := fmt.Sprintf("%s_%d", d.cfg.Path, c.key.hostPort)
	var dialer net.Dialer
	sock, err := dialer.DialContext(c.ctx, "unix", path)
	d.mu.Lock()
	switch {
	case err != nil:
		d.log.Debug("vsock: no service for the guest's connection", "path", path, "err", err)
		d.resetLocked(c)
	case c.removed:
		sock.Close()
	default:
		c.state = stateEstablished
		c.send |= sendResponse
		d.startLocked(c, sock.(*net.UnixConn))
		d.wakeLocked(c)
	}
	k := d.serveLocked()
	d.mu.Unlock()
	k.interrupt()
}

// startLocked gives the connection its socket and its goroutines.
func (d *Device) startLocked(c *conn, sock *net.UnixConn) {
	c.sock = sock
	c.loops.Go(func() { d.readLoop(c) })
	c.loops.Go(func() { d.writeLoop(c) })
}

// readLoop moves data from the socket to the guest.
func (d *Device) readLoop(c *conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.sock.Read(buf)
		if !d.sendData(c, buf[:n]) {
			return
		}
		if err != nil {
			d.sendEnd(c, hungUp(c.sock))
			return
		}
	}
}

// sendData queues data for the guest, waiting for room. It reports whether more is
// welcome.
func (d *Device) sendData(c *conn, p []byte) bool {
	d.mu.Lock()
	for len(p) > 0 && !c.removed && c.peerDown&shutdownRecv == 0 {
		n := min(len(p), c.out.free())
		if n == 0 {
			c.cond.Wait()
			continue
		}
		first, second := c.out.reserve(n)
		copy(second, p[copy(first, p):n])
		c.out.commit(n)
		p = p[n:]
		d.wakeLocked(c)
		k := d.serveLocked()
		d.mu.Unlock()
		k.interrupt()
		d.mu.Lock()
	}
	defer d.mu.Unlock()
	return !c.removed && c.peerDown&shutdownRecv == 0
}

// sendEnd tells the guest that no more data will come, and with both true that
// none is wanted either.
func (d *Device) sendEnd(c *conn, both bool) {
	d.mu.Lock()
	switch {
	case c.removed:
	case both && c.state != stateEstablished: // the host's program went before the guest's answer
		d.resetLocked(c)
	default:
		c.down |= shutdownSend
		if both {
			c.down |= shutdownRecv
		}
		c.send |= sendShutdown
		d.wakeLocked(c)
	}
	k := d.serveLocked()
	d.mu.Unlock()
	k.interrupt()
}

// hungUp reports whether the socket's other end is closed altogether, and not only
// shut down for writing.
func hungUp(sock *net.UnixConn) (closed bool) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}}
		_, perr := unix.Poll(p, 0)
		closed = perr == nil && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return closed || err != nil
}

// writeLoop moves data from the guest to the socket.
func (d *Device) writeLoop(c *conn) {
	if !d.greet(c) {
		return
	}
	for {
		first, second, ok := d.nextData(c)
		if !ok {
			return
		}
		bufs := net.Buffers{first, second}
		_, err := bufs.WriteTo(c.sock)
		if !d.wrote(c, len(first)+len(second), err) {
			return
		}
	}
}

// greet waits until a connection from the host is established and says so.
func (d *Device) greet(c *conn) bool {
	d.mu.Lock()
	for !c.removed && c.state != stateEstablished {
		c.cond.Wait()
	}
	removed := c.removed
	d.mu.Unlock()
	if removed || !c.fromHost {
		return !removed
	}
	_, err := fmt.Fprintf(c.sock, "OK %d\n", c.key.hostPort)
	return d.wrote(c, 0, err)
}

// nextData waits for data for the socket. When the guest has said that no more will
// come, it passes that on and reports false.
func (d *Device) nextData(c *conn) (first, second []byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for !c.removed && c.in.len() == 0 && c.peerDown&shutdownSend == 0 {
		c.cond.Wait()
	}
	switch {
	case c.removed:
		return nil, nil, false
	case c.in.len() == 0:
		c.sock.CloseWrite()
		return nil, nil, false
	}
	first, second = c.in.peek(c.in.len())
	return first, second, true
}

// wrote accounts for n bytes that went to the socket, or did not. It reports
// whether to go on.
func (d *Device) wrote(c *conn, n int, err error) bool {
	d.mu.Lock()
	if c.removed {
		d.mu.Unlock()
		return false
	}
	c.in.drop(n)
	c.taken += uint32(n)
	if err != nil {
		c.taken += uint32(c.in.len())
		c.in.drop(c.in.len())
		c.sockDown = true
		c.down |= shutdownRecv
		c.send |= sendShutdown
	} else if c.taken-c.lastFwd >= BufSize/4 {
		c.send |= sendCredit
	}
	d.finishLocked(c)
	d.wakeLocked(c)
	k := d.serveLocked()
	d.mu.Unlock()
	k.interrupt()
	return err == nil
}
