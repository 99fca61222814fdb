// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// EventKind tells what an Event is.
type EventKind int

const (
	// EventReport is a failed transaction.
	EventReport EventKind = iota
	// EventGap says that reports were lost on the way.
	EventGap
	// EventBad is a message that is no good report.
	EventBad
	// EventNotice is a change among the sources: one came, went, or cannot be
	// opened.
	EventNotice
)

// Event is what a Listener hands out. Which fields hold something depends on
// Kind; Source and Time always do.
type Event struct {
	Kind   EventKind
	Time   time.Time // of receipt: reports carry none
	Source string    // for example "netlink" or "unix:/run/virtbinder/demo/reports.sock"

	Report  Report // EventReport
	Unknown []Attr // EventReport: attributes that this package does not know
	// FromKernel: sent by the kernel's own driver, so its pids are the host's.
	// Otherwise they are a guest's.
	FromKernel bool
	// Port is the sender's, over netlink; the kernel's is 0.
	Port uint32
	// VM that the report comes from, where known; empty for the kernel's own.
	VM string

	Lost      uint64 // EventGap: how many reports
	LostKnown bool   // EventGap: whether Lost is a count rather than unknown

	Err error // EventBad, EventNotice (may be nil there)
	// Text says an EventNotice in words.
	Text string
}

// ListenOptions say where to look. The zero value listens to netlink only.
type ListenOptions struct {
	// RuntimeDirs are searched for */netlink.json, again and again: VMs whose
	// reports do not come over netlink here are read through their sockets.
	RuntimeDirs []string
	// Sockets are unix sockets (mode c) to read besides.
	Sockets []string
	// NoNetlink leaves netlink alone.
	NoNetlink bool
	// UserSock listens to mode b too, which needs CAP_NET_ADMIN.
	UserSock bool
	// ReadBuffer is the receive buffer to ask for, in bytes; 0 means 8 MiB. An
	// ordinary user gets at most net.core.rmem_max.
	ReadBuffer int
	// ScanInterval is how often RuntimeDirs are searched; 0 means a second.
	ScanInterval time.Duration
}

const (
	defaultReadBuffer = 8 << 20
	eventQueue        = 64
	// maxDatagram is the largest datagram read; larger ones become EventBad.
	maxDatagram = 64 << 10
)

// Listener receives reports from everywhere at once. Each source has a
// goroutine that reads it and queues events; when nobody calls Receive the
// kernel's buffers fill and what is lost becomes an EventGap.
type Listener struct {
	opts   ListenOptions
	events chan Event
	done   chan struct{} // closed by Close
	once   sync.Once
	wg     sync.WaitGroup

	netlink  *netlinkSource // nil when not listened to
	userSock *netlinkSource // nil when not listened to
	resolver resolver       // nil without netlink
	netNS    string         // this process's network namespace

	mu    sync.Mutex
	state listenerState // guarded by mu
}

// listenerState is what Listener.mu guards.
type listenerState struct {
	closed  bool
	sockets map[string]*unixSource // open ones, by path
	noticed map[string]string      // last complaint, by path
	byPort  map[uint32]string      // VM, by the netlink port that it sends from
	group   uint32                 // the kernel's report group that is joined, or 0
	family  *Family                // the binder family, or nil
}

// Listen opens the sources. It fails if one that was named cannot be opened, or
// if netlink cannot be listened to.
func Listen(opts ListenOptions) (*Listener, error) {
	if opts.ReadBuffer <= 0 {
		opts.ReadBuffer = defaultReadBuffer
	}
	if opts.ScanInterval <= 0 {
		opts.ScanInterval = time.Second
	}
	l := &Listener{opts: opts, events: make(chan Event, eventQueue), done: make(chan struct{}), netNS: CurrentNamespace().Net}
	l.state.sockets = map[string]*unixSource{}
	l.state.noticed = map[string]string{}
	l.state.byPort = map[uint32]string{}
	if err := l.open(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Listener) open() error {
	if !l.opts.NoNetlink {
		if err := l.openNetlink(); err != nil {
			return err
		}
	}
	for _, path := range l.opts.Sockets {
		if err := l.openSocket(path, ""); err != nil {
			return fmt.Errorf("listen to reports: %w", err)
		}
	}
	if len(l.opts.RuntimeDirs) > 0 {
		l.scan()
		l.wg.Add(1)
		go l.scanner()
	}
	return nil
}

// ErrClosed is what Receive returns after Close.
var ErrClosed = errors.New("listener is closed")

// Receive waits for the next event. It returns ctx's error or ErrClosed, and no
// other: trouble with a source is an event.
func (l *Listener) Receive(ctx context.Context) (Event, error) {
	select {
	case ev := <-l.events:
		return ev, nil
	default:
	}
	select {
	case ev := <-l.events:
		return ev, nil
	case <-ctx.Done():
		return Event{}, ctx.Err()
	case <-l.done:
		return Event{}, ErrClosed
	}
}

// Close ends all sources and waits for their goroutines.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.mu.Lock()
		l.state.closed = true
		for _, s := range l.state.sockets {
			s.close()
		}
		l.mu.Unlock()
		if l.netlink != nil {
			l.netlink.close()
		}
		if l.userSock != nil {
			l.userSock.close()
		}
		if l.resolver != nil {
			l.resolver.close()
		}
		l.wg.Wait()
	})
	return nil
}

// Describe lists what is listened to, one line a source, with the reason.
func (l *Listener) Describe() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	if l.netlink != nil {
		lines = append(lines, l.describeNetlinkLocked()...)
	}
	if l.userSock != nil {
		lines = append(lines, fmt.Sprintf("NETLINK_USERSOCK group %d (mode b): asked for; anyone may send there", FallbackGroup))
	}
	for path, s := range l.state.sockets {
		line := "unix socket " + path + " (mode c)"
		if s.vm != "" {
			line += " of VM " + s.vm
		}
		lines = append(lines, line)
	}
	return lines
}

func (l *Listener) describeNetlinkLocked() []string {
	var lines []string
	if f := l.state.family; f != nil && l.state.group != 0 {
		lines = append(lines, fmt.Sprintf("generic netlink family %s (id %d), group %s (%d) (mode a): this kernel has it",
			FamilyName, f.ID, GroupName, l.state.group))
	}
	if l.netlink.has(FallbackGroup) {
		why := "this kernel has no binder family"
		if l.state.group != 0 {
			why = "for emitters that cannot use the family's group"
		}
		lines = append(lines, fmt.Sprintf("generic netlink group %d (mode a'): %s", FallbackGroup, why))
	}
	if w := CurrentNamespace().Warning(); w != "" {
		lines = append(lines, "warning: own network namespace "+l.netNS+": reports of the host's VMs do not arrive here over netlink")
	}
	return lines
}

// ReadBuffer is the size of the netlink receive buffer that the kernel granted,
// in bytes, or 0 without netlink.
func (l *Listener) ReadBuffer() int {
	if l.netlink == nil {
		return 0
	}
	return l.netlink.buffer
}

// put queues an event; it gives up when the listener is closed.
func (l *Listener) put(ev Event) bool {
	ev.Time = time.Now()
	select {
	case l.events <- ev:
		return true
	case <-l.done:
		return false
	}
}

func (l *Listener) notice(source, text string, err error) {
	l.put(Event{Kind: EventNotice, Source: source, Text: text, Err: err})
}

// datagram turns what one datagram holds into events. types says which message
// types are reports; nil means any family's.
func (l *Listener) datagram(b []byte, base Event, types func(uint16) bool) bool {
	for first := true; first || len(b) > 0; first = false {
		h, payload, rest, err := cutMessage(b)
		b = rest
		ev := base
		var msg Message
		switch {
		case err != nil:
		case h.typ == overrunType && types == nil:
			n, ok := parseOverrun(h, payload)
			if ok {
				ev.Kind, ev.Lost, ev.LostKnown = EventGap, n, true
				if !l.put(ev) {
					return false
				}
				continue
			}
			err = fmt.Errorf("%w: overrun message with %d bytes", ErrMalformed, len(payload))
		case types != nil && !types(h.typ):
			err = fmt.Errorf("%w: message type %d is not the binder family's", ErrForeign, h.typ)
		default:
			msg, err = decodePayload(h, payload)
		}
		if err != nil {
			ev.Kind, ev.Err = EventBad, err
		} else {
			ev.Kind, ev.Report, ev.Unknown = EventReport, msg.Report, msg.Unknown
			if ev.VM == "" && !ev.FromKernel {
				ev.VM = vmOf(msg.Report.Context)
			}
		}
		if !l.put(ev) {
			return false
		}
		if errors.Is(err, ErrTruncated) {
			return true // nothing after it can be found
		}
	}
	return true
}

// vmOf is the VM that qualifies a context name, or "".
func vmOf(context string) string {
	for i := len(context) - 1; i >= 0; i-- {
		if context[i] == '@' {
			return context[i+1:]
		}
	}
	return ""
}

// tooLarge is the event for a datagram that did not fit.
func tooLarge(base Event, size int) Event {
	base.Kind = EventBad
	base.Err = fmt.Errorf("%w: datagram of %d bytes, at most %d are read", ErrOversized, size, maxDatagram)
	return base
}

// closed reports whether Close has begun.
func (l *Listener) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}
