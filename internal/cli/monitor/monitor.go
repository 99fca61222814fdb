// SPDX-License-Identifier: Apache-2.0

// Package monitor is the command "virtbinder monitor": it prints every failed
// binder transaction that the kernel or a running VM reports, as it happens.
//
// Standard output carries reports, gaps (reports lost on the way) and messages
// that were no good reports, in the order of arrival, as text or as JSON lines.
// Standard error carries what is listened to, changes to that, and at the end
// one line of totals.
package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// Cmd is the command's flags.
type Cmd struct {
	JSON    bool   `help:"Print one JSON object a line."`
	Summary bool   `help:"Print a table of failures per context, process and error: live on a terminal, else at the end."`
	Color   string `enum:"auto,always,never" default:"auto" help:"Colour the text: ${enum}."`

	Error   []string `placeholder:"NAME" help:"Only this error, for example BR_DEAD_REPLY or frozen_reply, or what only virtbinder tells: delivery-failed, call-lost, oneways-lost, buffer-low. May be repeated, as all filters."`
	Context []string `placeholder:"PATTERN" help:"Only this context: binder, binder@demo, or a pattern such as '*@demo'."`
	VM      []string `name:"vm" placeholder:"NAME" help:"Only this VM's reports."`
	PID     []uint32 `name:"pid" placeholder:"PID" help:"Only reports from or to this process."`
	Process []string `placeholder:"PATTERN" help:"Only reports from or to a process of this name, or a pattern such as 'com.android.*'. Names are known of the host's own processes, and of a guest's to its owner."`
	Code    []string `placeholder:"N" help:"Only this transaction code: a number, or four characters such as _PNG."`

	Since string `placeholder:"WHEN" help:"Print what running VMs remember since then first: a duration such as 10m, or a time such as 14:30 or 2026-01-31T14:30:00Z. For a VM's owner only; the kernel remembers nothing."`

	Count     int    `placeholder:"N" help:"Exit after N reports."`
	ReadyFile string `type:"path" placeholder:"FILE" help:"Create FILE, holding what is listened to, once nothing can be missed any more."`

	Socket     []string `type:"path" placeholder:"PATH" help:"Read this unix socket of a VM besides."`
	RuntimeDir string   `type:"path" placeholder:"DIR" help:"Look for running VMs here and nowhere else."`
	NoNetlink  bool     `help:"Read unix sockets only."`
	Usersock   bool     `help:"Listen to NETLINK_USERSOCK besides, where anyone may send. Needs CAP_NET_ADMIN."`

	Exec     string `placeholder:"CMD" help:"Run CMD by /bin/sh for each report of the host's own kernel, with the fields in its environment (REPORT_ERROR, REPORT_CONTEXT, REPORT_FROM_PID, ...)."`
	Guest    bool   `help:"With --exec: run it for reports of VMs too. Their pids are a guest's and are called REPORT_GUEST_FROM_PID and so on, never REPORT_FROM_PID; REPORT_VM names the VM."`
	ExecRate int    `default:"10" placeholder:"N" help:"With --exec: at most N runs a second; the others are counted (default ${default})."`
}

// Run listens until ctrl-c, or until Count reports were printed.
func (c *Cmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.run(ctx, os.Stdout, os.Stderr, term.IsTerminal(int(os.Stdout.Fd())))
}

// run is Run with its surroundings given. It returns nil when ctx ends.
func (c *Cmd) run(ctx context.Context, stdout, stderr io.Writer, terminal bool) error {
	filter, err := c.filter()
	if err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return fmt.Errorf("monitor: --since: %w", err)
	}
	stderr = &lockedWriter{w: stderr}
	l, err := netlink.Listen(c.listenOptions())
	if err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	defer l.Close()
	s := session{cmd: c, filter: filter, stderr: stderr, out: c.newOutput(stdout, terminal),
		sources: &sources{listener: l, dirs: c.runtimeDirs(), since: since}}
	inner, cancel := context.WithCancel(ctx)
	s.sources.start(inner)
	defer s.sources.stop()
	defer cancel()
	if c.Exec != "" {
		s.exec = newExecutor(c.Exec, c.Guest, c.ExecRate, stderr)
	}
	if err := s.ready(); err != nil {
		return err
	}
	err = s.loop(ctx)
	s.finish()
	return err
}

func (c *Cmd) runtimeDirs() []string {
	if c.RuntimeDir != "" {
		return []string{c.RuntimeDir}
	}
	return rundir.Search()
}

func (c *Cmd) listenOptions() netlink.ListenOptions {
	return netlink.ListenOptions{RuntimeDirs: c.runtimeDirs(), Sockets: c.Socket, NoNetlink: c.NoNetlink, UserSock: c.Usersock}
}

// output is where events go: text, JSON, or a table.
type output interface {
	// event takes one event that passed the filters.
	event(ev event) error
	// tick is called every second.
	tick() error
	// end is called once, last.
	end() error
}

func (c *Cmd) newOutput(w io.Writer, terminal bool) output {
	colour := c.Color == "always" || c.Color == "auto" && terminal && os.Getenv("NO_COLOR") == ""
	switch {
	case c.Summary:
		return newSummary(w, c.JSON, terminal && !c.JSON)
	case c.JSON:
		return &jsonOutput{w: w}
	}
	return &textOutput{w: w, colour: colour}
}

// session is one run of the command.
type session struct {
	cmd     *Cmd
	filter  filter
	sources *sources
	stderr  io.Writer
	out     output
	exec    *executor // nil without --exec

	received, shown, bad int
	lost                 uint64
	lostUnknown          bool
}

// say prints a line of our own on standard error.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.stderr, "virtbinder monitor: "+format+"\n", args...)
}

// ready says what is listened to; from here on nothing is missed.
func (s *session) ready() error {
	lines := append(s.sources.listener.Describe(), s.sources.describe()...)
	if len(lines) == 0 {
		lines = []string{"nothing yet: no netlink, and no running VM"}
	}
	for _, line := range lines {
		s.say("listening to %s", line)
	}
	if s.cmd.ReadyFile == "" {
		return nil
	}
	tmp := filepath.Join(filepath.Dir(s.cmd.ReadyFile), "."+filepath.Base(s.cmd.ReadyFile)+".tmp")
	err := os.WriteFile(tmp, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
	if err == nil {
		err = os.Rename(tmp, s.cmd.ReadyFile)
	}
	if err != nil {
		return fmt.Errorf("monitor: ready file: %w", err)
	}
	return nil
}

func (s *session) loop(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for s.cmd.Count == 0 || s.shown < s.cmd.Count {
		ev, err := s.receive(ctx, tick.C)
		if errors.Is(err, errTick) {
			err = s.out.tick()
		} else if ctx.Err() != nil {
			return nil
		} else if err == nil {
			err = s.event(ev)
		}
		if err != nil {
			return fmt.Errorf("monitor: %w", err)
		}
	}
	return nil
}

var errTick = errors.New("tick")

// receive waits for an event or a tick.
func (s *session) receive(ctx context.Context, tick <-chan time.Time) (event, error) {
	select {
	case <-tick:
		return event{}, errTick
	case <-ctx.Done():
		return event{}, ctx.Err()
	case ev := <-s.sources.out:
		ev.nameHosts("/proc")
		return ev, nil
	}
}

func (s *session) event(ev event) error {
	switch ev.Kind {
	case netlink.EventNotice:
		text := ev.Text
		if ev.Err != nil {
			text += ": " + ev.Err.Error()
		}
		s.say("%s: %s", ev.Source, text)
		return nil
	case netlink.EventGap:
		s.lost += ev.Lost
		s.lostUnknown = s.lostUnknown || !ev.LostKnown
	case netlink.EventBad:
		s.bad++
	case netlink.EventReport:
		s.received++
		if !s.filter.passes(&ev) {
			return nil
		}
		s.shown++
		if s.exec != nil {
			s.exec.offer(&ev)
		}
	}
	return s.out.event(ev)
}

// finish prints the totals.
func (s *session) finish() {
	if err := s.out.end(); err != nil {
		s.say("%v", err)
	}
	total := plural(s.received, "report")
	if s.shown != s.received {
		total += fmt.Sprintf(" (%d shown)", s.shown)
	}
	total += fmt.Sprintf(", %d lost", s.lost)
	if s.lostUnknown {
		total += " at least"
	}
	total += ", " + plural(s.bad, "bad message")
	if s.exec != nil {
		ran, skipped := s.exec.finish()
		total += fmt.Sprintf(", %d commands run, %d left out", ran, skipped)
	}
	s.say("%s", total)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
