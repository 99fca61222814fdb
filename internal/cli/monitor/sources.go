// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/internal/journal"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// sources brings together the listener, which hears what everybody may hear, and the
// journals of the machines that this user may read. A machine's journal tells all
// that its reports on netlink tell and is told it first; so once a journal is open,
// its reports on netlink are left out, and those that were printed before are left
// out of what the journal remembers.
type sources struct {
	listener *netlink.Listener
	dirs     []string  // runtime directories
	since    time.Time // older records are left out
	begun    time.Time
	out      chan event
	wg       sync.WaitGroup

	mu      sync.Mutex
	clients map[string]*journal.Client  // guarded by mu: open ones, by path
	refused map[string]string           // guarded by mu: complaint, by path
	covered map[string]bool             // guarded by mu: ways of reports that a journal covers
	printed map[string][]netlink.Report // guarded by mu: what came by other ways
}

const (
	scanEvery = time.Second
	// maxPrinted bounds what is remembered for a journal that may open.
	maxPrinted = journal.Remembered
	// clockSlack is how much earlier than ourselves a report may have been made
	// that we still got over netlink.
	clockSlack = time.Second
)

// start reads everything until ctx ends. When it returns, journals that are there
// are open.
func (s *sources) start(ctx context.Context) {
	s.begun = time.Now()
	s.out = make(chan event, 64)
	s.clients, s.refused = map[string]*journal.Client{}, map[string]string{}
	s.covered, s.printed = map[string]bool{}, map[string][]netlink.Report{}
	s.scan(ctx)
	s.wg.Go(func() { s.listen(ctx) })
	s.wg.Go(func() { s.scanner(ctx) })
}

// stop waits for what start began, after ctx has ended.
func (s *sources) stop() {
	s.mu.Lock()
	for _, c := range s.clients {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *sources) put(ctx context.Context, ev event) {
	select {
	case s.out <- ev:
	case <-ctx.Done():
	}
}

// listen passes on what the listener hears and no journal covers.
func (s *sources) listen(ctx context.Context) {
	for {
		ev, err := s.listener.Receive(ctx)
		if err != nil {
			return
		}
		if s.wanted(&ev) {
			s.put(ctx, event{Event: ev})
		}
	}
}

// way names how a report came: two machines never share one.
func way(ev *netlink.Event) string {
	if ev.Port != 0 {
		return fmt.Sprint("port ", ev.Port)
	}
	return ev.Source
}

func (s *sources) wanted(ev *netlink.Event) bool {
	if ev.Kind != netlink.EventReport || ev.FromKernel {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := way(ev)
	if s.covered[w] {
		return false
	}
	if list := s.printed[w]; len(list) < maxPrinted {
		s.printed[w] = append(list, ev.Report)
	}
	return true
}

// cover makes the journal's machine this journal's, and returns what was printed of
// it so far.
func (s *sources) cover(h *journal.Hello) (printed []netlink.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ways := []string{"unix:" + h.Socket}
	for _, p := range h.Ports {
		ways = append(ways, fmt.Sprint("port ", p))
	}
	for _, w := range ways {
		s.covered[w] = true
		printed = append(printed, s.printed[w]...)
		delete(s.printed, w)
	}
	return printed
}

func (s *sources) scanner(ctx context.Context) {
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.scan(ctx)
		}
	}
}

// scan opens the journals that came.
func (s *sources) scan(ctx context.Context) {
	for _, dir := range s.dirs {
		paths, _ := filepath.Glob(filepath.Join(dir, "*", rundir.JournalSocket)) // fails only on a bad pattern
		for _, path := range paths {
			s.open(ctx, path)
		}
	}
}

func (s *sources) open(ctx context.Context, path string) {
	s.mu.Lock()
	known := s.clients[path] != nil
	s.mu.Unlock()
	if known || ctx.Err() != nil {
		return
	}
	c, err := journal.Dial(path)
	switch {
	case err == nil:
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, fs.ErrNotExist), errors.Is(err, io.EOF):
		return // a machine that has ended, or is about to
	case errors.Is(err, fs.ErrPermission):
		s.complain(ctx, path, "names, reasons and what only virtbinder tells are for the machine's owner", nil)
		return
	default:
		s.complain(ctx, path, "the journal cannot be read", err)
		return
	}
	s.mu.Lock()
	s.clients[path] = c
	delete(s.refused, path)
	s.mu.Unlock()
	s.wg.Go(func() { s.follow(ctx, path, c) })
}

// describe lists the journals that are read.
func (s *sources) describe() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for path, c := range s.clients {
		lines = append(lines, "journal "+path+" of VM "+c.Hello.VM+": names, reasons and what only virtbinder tells")
	}
	return lines
}

// complain says something once a path.
func (s *sources) complain(ctx context.Context, path, text string, err error) {
	all := fmt.Sprint(text, err)
	s.mu.Lock()
	said := s.refused[path] == all
	s.refused[path] = all
	s.mu.Unlock()
	if !said {
		s.wg.Go(func() {
			s.put(ctx, event{Event: netlink.Event{Kind: netlink.EventNotice, Time: time.Now(), Source: path, Text: text, Err: err}})
		})
	}
}

// follow reads one journal to its end.
func (s *sources) follow(ctx context.Context, path string, c *journal.Client) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.clients, path)
		s.mu.Unlock()
	}()
	source := "journal:" + path
	printed := s.cover(&c.Hello)
	for {
		m, err := c.Next()
		ev := event{Event: netlink.Event{Time: time.Now(), Source: source, VM: c.Hello.VM}}
		switch {
		case errors.Is(err, journal.ErrMalformed):
			ev.Kind, ev.Err = netlink.EventBad, err
		case err != nil:
			return
		case m.Lost > 0:
			ev.Kind, ev.Lost, ev.LostKnown = netlink.EventGap, m.Lost, true
		case m.Record != nil:
			if s.repeats(m.Record, printed) {
				printed = printed[1:]
				continue
			}
			if m.Record.Time.Before(s.since) {
				continue
			}
			ev = fromJournal(m.Record, c.Hello.VM, source)
		default:
			continue
		}
		s.put(ctx, ev)
	}
}

// repeats says whether the record is the next of what was printed already.
func (s *sources) repeats(r *journal.Record, printed []netlink.Report) bool {
	return len(printed) > 0 && r.Kind == journal.KindReport && !r.Time.Before(s.begun.Add(-clockSlack)) && r.Report == printed[0]
}
