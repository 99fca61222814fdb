// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"virtbinder/internal/journal"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
	"virtbinder/netlink/netlinktest"
)

// tape is where a running monitor writes; await returns when a text was written.
type tape struct {
	lockedWriter
	buf  bytes.Buffer
	grew chan struct{}
}

func newTape() *tape {
	p := &tape{grew: make(chan struct{}, 1)}
	p.w = &p.buf
	return p
}

func (p *tape) Write(b []byte) (int, error) {
	n, err := p.lockedWriter.Write(b)
	select {
	case p.grew <- struct{}{}:
	default:
	}
	return n, err
}

func (p *tape) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

func (p *tape) await(t *testing.T, text string) {
	t.Helper()
	guard := time.After(20 * time.Second)
	for !strings.Contains(p.String(), text) {
		select {
		case <-p.grew:
		case <-guard:
			t.Fatalf("%q is not written:\n%s", text, p)
		}
	}
}

// running is a monitor beside a machine's runtime directory.
type running struct {
	t        *testing.T
	dir      string
	src      *netlinktest.Source // the machine's reports
	out, err *tape
	end      func()
}

func start(t *testing.T, before func(dir string, reports *netlinktest.Source), args ...string) *running {
	t.Helper()
	dir, err := os.MkdirTemp("", "vbm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "demo"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, dir: dir, src: netlinktest.NewSource(t), out: newTape(), err: newTape()}
	if before != nil {
		before(dir, r.src)
	}
	var cmd Cmd
	p, err := kong.New(&cmd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse(append(args, "--no-netlink", "--socket", r.src.Path, "--runtime-dir", dir)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cmd.run(ctx, r.out, r.err, false) }()
	r.src.Accept()
	r.err.await(t, "listening to unix socket")
	r.end = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return r
}

// machine is the journal of a machine called demo, whose reports leave by src too.
func machine(t *testing.T, dir string, src *netlinktest.Source) *journal.Journal {
	t.Helper()
	j := journal.New(64)
	path := filepath.Join(dir, "demo", rundir.JournalSocket)
	s, err := journal.Serve(j, path, journal.Hello{VM: "demo", Socket: src.Path}, "@demo", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close(); s.Close() })
	return j
}

// made is a record of a report, as the machine makes it.
func made(r netlink.Report) journal.Record {
	r.Context = strings.TrimSuffix(r.Context, "@demo")
	return journal.Record{Kind: journal.KindReport, Report: r}
}

// TestJournalTellsMore: what netlink says of a machine is left out for what its
// journal says, and that is more.
func TestJournalTellsMore(t *testing.T) {
	var j *journal.Journal
	r := start(t, func(dir string, src *netlinktest.Source) { j = machine(t, dir, src) })
	pending := netlink.Report{Error: netlink.BRTransactionPendingFrozen, Context: "binder@demo", FromPID: 4, FromTID: 4, ToPID: 9, HasToPID: true, Flags: 1}
	records := []journal.Record{made(dead), made(full), made(pending)}
	records[1].Errno, records[1].Free, records[1].Size = unix.ENOSPC, 1<<20, 1<<20
	records[1].Interface, records[1].FromName, records[1].ToName = "android.os.IServiceManager", "client", "server"
	records[2].Pending = 51
	for _, rec := range records {
		j.Append(rec)
	}
	j.Append(journal.Record{Kind: journal.KindCallLost, Report: netlink.Report{Context: "binder", FromPID: 3, FromTID: 4, ToPID: 9, HasToPID: true, Code: 5, DataSize: 6}})
	j.Append(journal.Record{Kind: journal.KindBufferLow, Report: netlink.Report{Context: "binder", ToPID: 9, HasToPID: true}, Free: 100 << 10, Size: 1 << 20})
	j.Append(journal.Record{Kind: journal.KindOnewaysLost, Report: netlink.Report{Context: "binder", ToPID: 9, HasToPID: true, Flags: 1}, Count: 5})
	sendAll(dead, full, pending, dead)(r.src) // also what the journal does not have: nothing of it may be printed
	r.out.await(t, "oneways-lost")
	r.end()
	want := `BR_DEAD_REPLY                 binder@demo      from 119/120                          call   code 4097       size 12       flags TF_ACCEPT_FDS -- target is dead, or there is none
BR_FAILED_REPLY               hwbinder@demo    from 7/8 client      to 139/140 server reply  code '_PNG'     size 2097152  flags TF_ONE_WAY|TF_CLEAR_BUF|TF_UPDATE_TXN interface android.os.IServiceManager -- ENOSPC: no room in the caller's buffer: 1024 KiB of 1024 KiB free
BR_TRANSACTION_PENDING_FROZEN binder@demo      from 4/4             to 9             oneway code 0          size 0        flags TF_ONE_WAY -- target frozen: 51 oneways pending
call-lost                     binder@demo      from 3/4             to 9             call   code 5          size 6        flags 0 (virtbinder's own) -- call lost: its target died before it answered
buffer-low                    binder@demo                           to 9             (virtbinder's own) -- buffer low: 100 KiB of 1024 KiB left
oneways-lost                  binder@demo                           to 9             (virtbinder's own) -- 5 oneways lost: their target ended without reading them
`
	if d := cmp.Diff(want, withoutTime(r.out.String())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestJournalRepeatsNothing: reports that were printed before the machine's journal
// was found are not printed again when it is.
func TestJournalRepeatsNothing(t *testing.T) {
	r := start(t, nil)
	sendAll(dead, dead)(r.src)
	r.out.await(t, "BR_DEAD_REPLY")
	j := journal.New(64)
	for range 3 { // two that were printed, one that netlink lost
		j.Append(made(dead))
	}
	j.Append(made(full))
	s, err := journal.Serve(j, filepath.Join(r.dir, "demo", rundir.JournalSocket), journal.Hello{VM: "demo", Socket: r.src.Path}, "@demo", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.out.await(t, "BR_FAILED_REPLY")
	r.end()
	j.Close()
	s.Close()
	if n := strings.Count(r.out.String(), "BR_DEAD_REPLY"); n != 3 {
		t.Errorf("printed %d times:\n%s", n, r.out)
	}
}

// TestSince: what a machine remembers is printed as far as it is asked for.
func TestSince(t *testing.T) {
	for since, want := range map[string]int{"": 1, "1h": 2} {
		var j *journal.Journal
		r := start(t, func(dir string, src *netlinktest.Source) {
			j = machine(t, dir, src)
			j.Append(made(dead))
		}, "--since", since)
		j.Append(made(full))
		r.out.await(t, "BR_FAILED_REPLY")
		r.end()
		if n := strings.Count(r.out.String(), "\n"); n != want {
			t.Errorf("--since %q printed %d lines:\n%s", since, n, r.out)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 5, 5, 12, 0, 0, 0, time.Local)
	for s, want := range map[string]time.Time{
		"":                     now,
		"10m":                  now.Add(-10 * time.Minute),
		"11:30":                now.Add(-30 * time.Minute),
		"11:59:58":             now.Add(-2 * time.Second),
		"13:00":                now.Add(-23 * time.Hour),
		"2026-01-31T14:30:00Z": time.Date(2026, 1, 31, 14, 30, 0, 0, time.UTC),
	} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; expected %v", s, got, err, want)
		}
	}
	for _, s := range []string{"-5m", "yesterday", "25:00"} {
		if _, err := parseSince(s, now); err == nil {
			t.Errorf("%q accepted", s)
		}
	}
}

// TestOwnAndNames: filters for what is virtbinder's own, and for processes.
func TestOwnAndNames(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--error=call-lost"}, []string{"call-lost"}},
		{[]string{"--error=dead_reply", "--error=buffer-low"}, []string{"BR_DEAD_REPLY", "buffer-low"}},
		{[]string{"--process=serv*"}, []string{"BR_DEAD_REPLY"}},
		{[]string{"--process=other"}, []string{}},
	} {
		var j *journal.Journal
		r := start(t, func(dir string, src *netlinktest.Source) { j = machine(t, dir, src) }, append(c.args, "--json")...)
		named := made(dead)
		named.ToName = "server"
		j.Append(named)
		j.Append(journal.Record{Kind: journal.KindCallLost})
		j.Append(journal.Record{Kind: journal.KindBufferLow})
		r.src.SendOverrun(1)
		r.out.await(t, `"gap"`)
		j.Close()
		if len(c.want) > 0 {
			r.out.await(t, c.want[len(c.want)-1])
		}
		r.end()
		got := []string{}
		for line := range strings.Lines(r.out.String()) {
			for _, name := range []string{"BR_DEAD_REPLY", "call-lost", "buffer-low"} {
				if strings.Contains(line, `"error_name":"`+name) {
					got = append(got, name)
				}
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, d)
		}
	}
}

// TestNamesOnTheHost: reports of the host's own kernel name its processes.
func TestNamesOnTheHost(t *testing.T) {
	proc := t.TempDir()
	for file, text := range map[string]string{"7/cmdline": "/system/bin/app_process\x00-x\x00", "7/comm": "main\n", "8/cmdline": "", "8/comm": "kworker\n"} {
		path := filepath.Join(proc, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ev := event{Event: netlink.Event{FromKernel: true, Report: netlink.Report{FromPID: 7, ToPID: 8, HasToPID: true}}}
	ev.nameHosts(proc)
	if ev.fromName != "app_process" || ev.toName != "kworker" {
		t.Errorf("called %q and %q", ev.fromName, ev.toName)
	}
	guests := event{Event: netlink.Event{Report: netlink.Report{FromPID: 7}}}
	guests.nameHosts(proc)
	if guests.fromName != "" {
		t.Errorf("a guest's process is taken for the host's %q", guests.fromName)
	}
}
