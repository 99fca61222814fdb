// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The way of a report:
//
//  1. Emit copies it into a slot of the ring and returns. All callers, any
//     number of them, do this in parallel; nothing below slows them.
//  2. The sender goroutine takes a batch, encodes each report once into its one
//     buffer,
//  3. writes it to the netlink socket of the current route,
//  4. and offers it to every client of the unix socket.
//
// Beside it the watcher goroutine waits for families to come and go, and swaps
// the route.

// Options say what an Emitter is for. Only VM is needed.
type Options struct {
	// VM qualifies contexts: binder becomes binder@VM.
	VM string
	// PlainContexts leaves contexts as they are. The kernel's family promises
	// pids of the host, and daemons act on them, so this is refused in mode a
	// where the host has binder devices of its own.
	PlainContexts bool

	// Want says what to do with netlink.
	Want Want
	// Socket is the path of the unix socket (mode c); empty: none.
	Socket string
	// SocketMode is its file mode; 0 means 0600.
	SocketMode os.FileMode
	// RuntimeFile is where the active mode is published; empty: nowhere.
	RuntimeFile string

	// RingSize is how many reports may wait; 0 means 1024.
	RingSize int
	// Log hears of the mode, of its changes, and of losses; nil: nobody.
	Log *slog.Logger
}

const (
	defaultRing = 1024
	batchSize   = 64
	// tellEvery is how often losses are logged and published at most.
	tellEvery = 2 * time.Second
	// settleEvery is how often clients that lost reports are tried again.
	settleEvery = 50 * time.Millisecond
	// joinGrace is how long a family that has just come is left to the listeners
	// that have to join its group, before reports move there. Leaving a group is
	// never put off: another family may get its number.
	joinGrace = 200 * time.Millisecond
)

// Stats are counters since the emitter began.
type Stats struct {
	Accepted   uint64 // reports that Emit queued
	Sent       uint64 // reports handed to netlink
	Dropped    uint64 // reports that found the ring full or the emitter closed
	SendErrors uint64 // reports that netlink refused
	Clients    int    // connected to the unix socket now
	ClientLost uint64 // reports lost by slow clients of the unix socket, each counted per client
}

// Emitter sends reports. Emit may be called from any number of goroutines; the
// other methods too.
type Emitter struct {
	opts   Options
	log    *slog.Logger
	suffix string // "@VM" or ""
	ns     Namespace
	ring   *ring

	groups   *groupSockets // modes a, a'; nil where they cannot be had
	userSock groupSocket   // mode b; fd -1 otherwise
	refused  string        // why there is no netlink socket
	resolver resolver      // nil without groups
	server   *unixServer   // nil without Options.Socket

	route      atomic.Pointer[route]
	sent       atomic.Uint64
	sendErrors atomic.Uint64

	statusMu sync.Mutex
	status   Status // guarded by statusMu

	closing   chan struct{}
	closeOnce sync.Once
	wg        sync.WaitGroup
}

// hooks are what tests replace.
type hooks struct {
	newResolver func() (resolver, error)
	hostDevices func() []string
}

// NewEmitter opens everything that it will ever need, chooses the mode, logs
// and publishes it, and starts. Call it while privileged; afterwards every
// capability may be dropped. It fails if the options contradict each other or if
// the unix socket is taken. That there is no privilege, or that netlink does not
// answer, is no failure: the mode is then c, or none, and the log says why.
func NewEmitter(opts Options) (*Emitter, error) {
	return newEmitter(opts, hooks{newResolver, HostBinderDevices})
}

func newEmitter(opts Options, h hooks) (*Emitter, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	e := &Emitter{opts: opts, log: opts.Log, ns: CurrentNamespace(), ring: newRing(opts.RingSize), closing: make(chan struct{})}
	e.userSock.fd = -1
	if !opts.PlainContexts {
		e.suffix = "@" + opts.VM
	}
	if err := e.open(h); err != nil {
		e.release()
		return nil, err
	}
	e.start(h)
	return e, nil
}

func (o *Options) check() error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RingSize <= 0 {
		o.RingSize = defaultRing
	}
	if o.SocketMode == 0 {
		o.SocketMode = 0o600
	}
	if o.VM == "" && !o.PlainContexts {
		return errors.New("failure reports: no VM name to qualify contexts with: name the VM, or ask for plain contexts")
	}
	if strings.ContainsFunc(o.VM, func(r rune) bool { return r <= ' ' || r == '@' || r == 0x7f }) {
		return fmt.Errorf("failure reports: VM name %q: '@', spaces and control characters may not be in it", o.VM)
	}
	return nil
}

// open opens sockets and decides the first route.
func (e *Emitter) open(h hooks) error {
	if err := e.openNetlink(h); err != nil {
		return err
	}
	first, err := e.firstRoute(h)
	if err != nil {
		return err
	}
	e.route.Store(&first)
	if e.opts.Socket == "" {
		return nil
	}
	e.server, err = listenUnix(e.opts.Socket, e.opts.SocketMode, e.log)
	return err
}

// openNetlink opens what Options.Want calls for. That netlink cannot be had is no
// error where nobody asked for it: the reason is remembered in refused.
func (e *Emitter) openNetlink(h hooks) (err error) {
	switch e.opts.Want {
	case WantNoNetlink:
		e.refused = "netlink was switched off"
	case WantUserSock:
		e.userSock, err = connectGroup(unix.NETLINK_USERSOCK, FallbackGroup)
	default:
		if err := e.openGeneric(h); err != nil {
			e.giveUpNetlink(e.ns.refusal(err))
		}
	}
	return err
}

func (e *Emitter) openGeneric(h hooks) (err error) {
	if e.groups, err = connectGroups(); err != nil {
		return err
	}
	e.resolver, err = h.newResolver()
	return err
}

// giveUpNetlink does without generic netlink, before anything runs.
func (e *Emitter) giveUpNetlink(why string) {
	e.closeGeneric()
	e.refused, e.groups, e.resolver = why, nil, nil
}

func (e *Emitter) closeGeneric() {
	if e.groups != nil {
		e.groups.close()
	}
	if e.resolver != nil {
		e.resolver.close()
	}
}

func (e *Emitter) firstRoute(h hooks) (route, error) {
	switch {
	case e.userSock.fd >= 0:
		return route{ModeUserSock, FallbackGroup, FallbackType, "asked for; anyone on this machine may send there, listeners need CAP_NET_ADMIN"}, nil
	case e.resolver == nil:
		return e.noNetlink(e.refused), nil
	}
	f, err := e.resolver.families()
	if err != nil {
		e.giveUpNetlink(fmt.Sprintf("generic netlink does not say what families it has (%v)", err))
		return e.noNetlink(e.refused), nil
	}
	if blocked := e.plainBlocked(h); blocked != "" && f.binder != nil {
		return route{}, fmt.Errorf("failure reports: %s: leave plain contexts off, so that they are called %s", blocked, "binder@"+vmOr(e.opts.VM, "NAME"))
	}
	return e.settleRoute(choose(f, "")), nil
}

func vmOr(vm, other string) string {
	if vm == "" {
		return other
	}
	return vm
}

// plainBlocked says why plain context names may not go to the kernel's own
// group, or "".
func (e *Emitter) plainBlocked(h hooks) string {
	if !e.opts.PlainContexts {
		return ""
	}
	devices := h.hostDevices()
	if len(devices) == 0 {
		return ""
	}
	return fmt.Sprintf("plain context names could be taken for those of the host's own binder devices (%s), and guest pids for the host's", strings.Join(devices, ", "))
}

// settleRoute turns "no group free" into the unix socket, if there is one.
func (e *Emitter) settleRoute(r route) route {
	if r.mode != ModeNone {
		return r
	}
	return e.noNetlink(r.why)
}

func (e *Emitter) noNetlink(why string) route {
	if e.opts.Socket == "" {
		return route{mode: ModeNone, why: why}
	}
	return route{mode: ModeUnix, why: why}
}

func (e *Emitter) start(h hooks) {
	e.announce("failure reports")
	e.wg.Add(1)
	go e.sender()
	if e.resolver != nil {
		e.wg.Add(1)
		go e.watch(h)
	}
}

// announce logs and publishes the current route.
func (e *Emitter) announce(what string) {
	s := e.Status()
	e.log.Info(what, "vm", s.VM, "mode", s.Mode, "to", s.Mode.Describe(), "group", s.Group, "type", s.Family, "socket", s.Socket, "why", s.Why)
	if s.Warning != "" {
		e.log.Warn(what, "warning", s.Warning)
	}
	e.publish()
}

// watch follows the families. It ends when the resolver is closed.
func (e *Emitter) watch(h hooks) {
	defer e.wg.Done()
	for {
		err := e.resolver.changed()
		select {
		case <-e.closing:
			return
		default:
		}
		if err != nil {
			e.log.Error("failure reports: changes of netlink families are no longer seen", "err", err)
			return
		}
		e.rechoose(h)
	}
}

func (e *Emitter) rechoose(h hooks) {
	f, err := e.resolver.families()
	if err != nil {
		e.log.Error("failure reports: netlink families cannot be read; the mode stays", "err", err)
		return
	}
	r := e.settleRoute(choose(f, e.plainBlocked(h)))
	if old := e.route.Load(); *old == r {
		return
	}
	if r.mode == ModeGenuine && !e.pause(joinGrace) {
		return
	}
	e.route.Store(&r)
	e.announce("failure reports: netlink families changed")
}

// pause waits; it returns false if the emitter is closed meanwhile.
func (e *Emitter) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.closing:
		return false
	}
}

// socketFor is the netlink socket of a route; ok is false in modes without.
func (e *Emitter) socketFor(r *route) (s groupSocket, ok bool) {
	switch r.mode {
	case ModeGenuine, ModeFallback:
		return e.groups[r.group], true
	case ModeUserSock:
		return e.userSock, true
	}
	return groupSocket{fd: -1}, false
}

// Status is what the runtime file says.
func (e *Emitter) Status() Status {
	r := e.route.Load()
	s := Status{Version: statusVersion, VM: e.opts.VM, PID: os.Getpid(), Mode: r.mode, Why: r.why, Family: r.typ, Group: r.group,
		Socket: e.opts.Socket, PlainContexts: e.opts.PlainContexts, Namespace: e.ns, SendErrors: e.sendErrors.Load()}
	_, s.Dropped = e.ring.counts()
	if sock, ok := e.socketFor(r); ok {
		s.PortID = sock.portID
		s.Warning = s.Namespace.Warning()
	}
	if r.mode == ModeNone {
		s.Warning = "failure reports go nowhere: " + r.why
	}
	return s
}

// publish writes the runtime file; that it fails is logged, not fatal: reports
// still flow.
func (e *Emitter) publish() {
	if e.opts.RuntimeFile == "" {
		return
	}
	e.statusMu.Lock()
	defer e.statusMu.Unlock()
	e.status = e.Status()
	if err := e.status.write(e.opts.RuntimeFile); err != nil {
		e.log.Warn("failure reports: runtime file not written; monitors may not find this VM", "err", err)
	}
}

// Emit queues a copy of r. It never blocks and never allocates. When the ring
// is full the report is dropped and counted.
func (e *Emitter) Emit(r Report) { e.ring.push(&r) }

// Missed counts n reports as dropped that came too late to be emitted.
func (e *Emitter) Missed(n uint64) { e.ring.drop(n) }

// Ports are the netlink ports from which this emitter's reports can come.
func (e *Emitter) Ports() []uint32 {
	var ports []uint32
	if e.groups != nil {
		for _, s := range e.groups[1:] {
			ports = append(ports, s.portID)
		}
	}
	if e.userSock.portID != 0 {
		ports = append(ports, e.userSock.portID)
	}
	return ports
}

// Stats are the counters.
func (e *Emitter) Stats() Stats {
	var s Stats
	s.Accepted, s.Dropped = e.ring.counts()
	s.Sent = e.sent.Load()
	s.SendErrors = e.sendErrors.Load()
	if e.server != nil {
		s.Clients, s.ClientLost = e.server.counts()
	}
	return s
}

// Close sends what is queued, then closes the sockets and removes the runtime
// file. Reports emitted afterwards count as dropped.
func (e *Emitter) Close() error {
	e.closeOnce.Do(func() {
		close(e.closing)
		e.ring.close()
		if e.resolver != nil {
			e.resolver.close()
		}
		e.wg.Wait()
		e.release()
		if e.opts.RuntimeFile != "" {
			if err := os.Remove(e.opts.RuntimeFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
				e.log.Warn("failure reports: runtime file not removed", "err", err)
			}
		}
	})
	return nil
}

// release closes what is open; nothing runs any more.
func (e *Emitter) release() {
	e.closeGeneric()
	if e.userSock.fd >= 0 {
		unix.Close(e.userSock.fd)
		e.userSock.fd = -1
	}
	if e.server != nil {
		e.server.close()
	}
}
