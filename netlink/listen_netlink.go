// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// netlinkSource is a netlink socket that is a member of groups. The socket does
// not filter on the sender's port: that of the kernel is 0, that of a virtbinder
// is not, and neither can be forged.
type netlinkSource struct {
	name     string
	protocol int
	file     *os.File
	raw      syscall.RawConn
	portID   uint32
	buffer   int // receive buffer that the kernel granted, bytes

	mu     sync.Mutex
	groups map[uint32]bool // guarded by mu: joined groups
	types  map[uint16]bool // guarded by mu: message types that are reports
}

func newNetlinkSource(name string, protocol, readBuffer int) (*netlinkSource, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	s := &netlinkSource{name: name, protocol: protocol, groups: map[uint32]bool{}, types: map[uint16]bool{FallbackType: true}}
	s.file = os.NewFile(uintptr(fd), name)
	if err := s.prepare(fd, readBuffer); err != nil {
		s.file.Close()
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return s, nil
}

func (s *netlinkSource) prepare(fd, readBuffer int) (err error) {
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	if s.portID, err = portID(fd); err != nil {
		return err
	}
	// The forced form needs privilege and passes net.core.rmem_max.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, readBuffer) != nil {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, readBuffer); err != nil {
			return err
		}
	}
	if s.buffer, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return err
	}
	s.raw, err = s.file.SyscallConn()
	return err
}

func (s *netlinkSource) close() { s.file.Close() }

// join makes the socket a member of group and typ a type of reports.
func (s *netlinkSource) join(group uint32, typ uint16) error {
	if err := s.membership(group, unix.NETLINK_ADD_MEMBERSHIP); err != nil {
		return fmt.Errorf("join netlink group %d: %w", group, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[group] = true
	s.types[typ] = true
	return nil
}

// leave ends a membership. Reports on their way may still be read, so the types
// stay.
func (s *netlinkSource) leave(group uint32) {
	_ = s.membership(group, unix.NETLINK_DROP_MEMBERSHIP) // the kernel ended it if the family went
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, group)
}

func (s *netlinkSource) membership(group uint32, opt int) error {
	var err error
	if cerr := s.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, opt, int(group))
	}); cerr != nil {
		return cerr
	}
	return err
}

func (s *netlinkSource) has(group uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups[group]
}

func (s *netlinkSource) isReport(typ uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.types[typ]
}

// received is what one call of receive got.
type received struct {
	size    int    // of the datagram; more than the buffer when it did not fit
	port    uint32 // of the sender; 0 is the kernel
	overrun bool   // ENOBUFS: the kernel dropped messages; nothing was read
	drained bool   // nothing to read now; only when asked to say so
}

// receive reads one datagram into buf. With sayDrained it returns instead of
// waiting.
func (s *netlinkSource) receive(buf []byte, sayDrained bool) (got received, err error) {
	var rerr error
	err = s.raw.Read(func(fd uintptr) bool {
		n, from, e := unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		switch e {
		case nil:
			got.size = n
			if nl, ok := from.(*unix.SockaddrNetlink); ok {
				got.port = nl.Pid
			}
		case unix.EAGAIN:
			got.drained = sayDrained
			return sayDrained
		case unix.EINTR:
			return false
		case unix.ENOBUFS:
			got.overrun = true
		default:
			rerr = e
		}
		return true
	})
	if err == nil {
		err = rerr
	}
	return got, err
}

// drops is how many messages the kernel has dropped for this socket, ever.
func (s *netlinkSource) drops() (n uint64, ok bool) {
	f, err := os.Open("/proc/self/net/netlink")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	return findDrops(f, s.protocol, s.portID)
}

// findDrops finds a socket's drop count in the text of /proc/net/netlink, whose
// columns are sk, Eth (protocol), Pid (port), Groups, Rmem, Wmem, Dump, Locks,
// Drops, Inode.
func findDrops(r io.Reader, protocol int, port uint32) (uint64, bool) {
	proto, pid := strconv.Itoa(protocol), strconv.FormatUint(uint64(port), 10)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) >= 9 && f[1] == proto && f[2] == pid {
			n, err := strconv.ParseUint(f[8], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// gapCounter turns a socket's drop counts into gaps. An overrun is signalled
// once; more may be dropped until the buffer has been emptied, so the count is
// looked at again then.
type gapCounter struct {
	told uint64 // drops that were made gaps
	open bool   // an overrun was signalled and the buffer not emptied since
}

// overrun is the gap to tell when the kernel signals one.
func (g *gapCounter) overrun(drops uint64, known bool) (lost uint64, lostKnown bool) {
	g.open = true
	if !known {
		return 0, false
	}
	lost = drops - g.told
	g.told = drops
	return lost, lost > 0
}

// drained is the gap to tell, if any, when the buffer is empty.
func (g *gapCounter) drained(drops uint64, known bool) (lost uint64) {
	g.open = false
	if !known {
		return 0
	}
	lost = drops - g.told
	g.told = drops
	return lost
}

// readNetlink is the goroutine of a netlink source.
func (l *Listener) readNetlink(s *netlinkSource) {
	defer l.wg.Done()
	buf := make([]byte, maxDatagram)
	var gaps gapCounter
	for {
		got, err := s.receive(buf, gaps.open)
		if err != nil {
			if !l.closed() {
				l.notice(s.name, "netlink is no longer read", err)
			}
			return
		}
		if !l.handle(s, &gaps, buf, got) {
			return
		}
	}
}

func (l *Listener) handle(s *netlinkSource, gaps *gapCounter, buf []byte, got received) bool {
	ev := Event{Source: s.name}
	switch {
	case got.overrun:
		drops, known := s.drops()
		ev.Kind = EventGap
		ev.Lost, ev.LostKnown = gaps.overrun(drops, known)
		return l.put(ev)
	case got.drained:
		drops, known := s.drops()
		if ev.Lost = gaps.drained(drops, known); ev.Lost == 0 {
			return true
		}
		ev.Kind, ev.LostKnown = EventGap, true
		return l.put(ev)
	}
	ev.FromKernel, ev.Port = got.port == 0, got.port
	ev.VM = l.vmAt(got.port)
	if got.size > len(buf) {
		return l.put(tooLarge(ev, got.size))
	}
	return l.datagram(buf[:got.size], ev, s.isReport)
}

// vmAt is the VM that published port as its own, or "".
func (l *Listener) vmAt(port uint32) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.byPort[port]
}

// openNetlink joins the kernel's group, where there is one, and group 18, unless
// another family has it.
func (l *Listener) openNetlink() (err error) {
	if l.resolver, err = newResolver(); err != nil {
		return err
	}
	if l.netlink, err = newNetlinkSource("netlink", unix.NETLINK_GENERIC, l.opts.ReadBuffer); err != nil {
		return err
	}
	f, err := l.resolver.families()
	if err != nil {
		return err
	}
	if err := l.follow(f); err != nil {
		return err
	}
	if l.opts.UserSock {
		if err := l.openUserSock(); err != nil {
			return err
		}
	}
	l.wg.Add(2)
	go l.readNetlink(l.netlink)
	go l.watchFamilies()
	return nil
}

func (l *Listener) openUserSock() (err error) {
	if l.userSock, err = newNetlinkSource("usersock", unix.NETLINK_USERSOCK, l.opts.ReadBuffer); err != nil {
		return err
	}
	if err := l.userSock.join(FallbackGroup, FallbackType); err != nil {
		return fmt.Errorf("NETLINK_USERSOCK can be listened to only with CAP_NET_ADMIN: %w", err)
	}
	l.wg.Add(1)
	go l.readNetlink(l.userSock)
	return nil
}

// follow makes the memberships fit the families.
func (l *Listener) follow(f families) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	typ, group := uint16(FallbackType), uint32(0)
	if f.binder != nil {
		typ, group = f.binder.ID, f.binder.Group
	}
	if old := l.state.group; old != 0 && old != group {
		l.netlink.leave(old)
	}
	l.state.family, l.state.group = f.binder, 0
	if f.fallbackOwner != "" {
		l.netlink.leave(FallbackGroup)
	} else if err := l.netlink.join(FallbackGroup, typ); err != nil {
		return err
	}
	if group == 0 {
		return nil
	}
	if err := l.netlink.join(group, typ); err != nil {
		return err
	}
	l.state.group = group
	return nil
}

// watchFamilies follows families that come and go.
func (l *Listener) watchFamilies() {
	defer l.wg.Done()
	for {
		err := l.resolver.changed()
		if l.closed() {
			return
		}
		if err != nil {
			l.notice("netlink", "changes of netlink families are no longer seen", err)
			return
		}
		l.refollow()
	}
}

func (l *Listener) refollow() {
	l.mu.Lock()
	before, group := l.state.family, l.state.group
	l.mu.Unlock()
	f, err := l.resolver.families()
	if err == nil {
		err = l.follow(f)
	}
	if err != nil {
		l.notice("netlink", "netlink families changed and cannot be followed", err)
		return
	}
	switch {
	case f.binder == nil && before != nil:
		l.notice("netlink", "the kernel's binder family is gone", nil)
	case f.binder != nil && (before == nil || *before != *f.binder || group != f.binder.Group):
		l.notice("netlink", fmt.Sprintf("the kernel's binder family is there: id %d, group %d", f.binder.ID, f.binder.Group), nil)
	}
}
