// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"virtbinder/netlink"
	"virtbinder/netlink/netlinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	dead = netlink.Report{Error: netlink.BRDeadReply, Context: "binder@demo", FromPID: 119, FromTID: 120, Flags: 0x10, Code: 4097, DataSize: 12}
	full = netlink.Report{Error: netlink.BRFailedReply, Context: "hwbinder@demo", FromPID: 7, FromTID: 8, ToPID: 139, ToTID: 140,
		HasToPID: true, HasToTID: true, IsReply: true, Flags: 0x61, Code: 0x5f504e47, DataSize: 2 << 20}
	oneway = netlink.Report{Error: netlink.BRTransactionPendingFrozen, Context: "binder@other", FromPID: 119, FromTID: 119, ToPID: 7, HasToPID: true, Flags: 1, Code: 3}
)

// monitor runs the command as the given line says against messages that a
// source sends, and returns its two outputs. It ends by hanging up, or sooner by
// --count.
func monitor(t *testing.T, send func(*netlinktest.Source), args ...string) (stdout, stderr string) {
	t.Helper()
	src := netlinktest.NewSource(t)
	var cmd Cmd
	p, err := kong.New(&cmd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse(append(args, "--no-netlink", "--socket", src.Path, "--runtime-dir", t.TempDir())); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // a guard
	defer cancel()
	var out bytes.Buffer
	ready := make(chan struct{})
	end := &actOn{actions: map[string]func(){"hung up": cancel, "listening to": sync.OnceFunc(func() { close(ready) })}}
	done := make(chan error, 1)
	go func() { done <- cmd.run(ctx, &out, end, false) }()
	src.Accept()
	<-ready
	send(src)
	src.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return out.String(), end.String()
}

// actOn calls an action when its text is written, as a user who reads would: the
// one for "hung up" is ctrl-c.
type actOn struct {
	bytes.Buffer
	actions map[string]func()
}

func (a *actOn) Write(p []byte) (int, error) {
	for text, act := range a.actions {
		if strings.Contains(string(p), text) {
			act()
		}
	}
	return a.Buffer.Write(p)
}

func sendAll(reports ...netlink.Report) func(*netlinktest.Source) {
	return func(s *netlinktest.Source) {
		for _, r := range reports {
			s.Send(r)
		}
	}
}

// withoutTime removes the time that each line begins with.
func withoutTime(s string) string {
	return regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3} `).ReplaceAllString(s, "")
}

func TestText(t *testing.T) {
	out, errs := monitor(t, func(s *netlinktest.Source) {
		sendAll(dead, full, oneway)(s)
		s.SendOverrun(3)
		s.SendRaw([]byte("junk"))
		odd := dead
		odd.Context = "bin\x1b[2Jder"
		s.Send(odd)
	})
	out = regexp.MustCompile(`unix:\S+`).ReplaceAllString(out, "SOCK)")
	want := `BR_DEAD_REPLY                 binder@demo      from 119/120                          call   code 4097       size 12       flags TF_ACCEPT_FDS -- target is dead, or there is none
BR_FAILED_REPLY               hwbinder@demo    from 7/8             to 139/140       reply  code '_PNG'     size 2097152  flags TF_ONE_WAY|TF_CLEAR_BUF|TF_UPDATE_TXN
BR_TRANSACTION_PENDING_FROZEN binder@other     from 119/119         to 7             oneway code 3          size 0        flags TF_ONE_WAY -- target frozen: the oneway waits
GAP: 3 reports lost here (SOCK)
BAD MESSAGE: truncated message: 4 bytes, a netlink header has 16 (SOCK)
BR_DEAD_REPLY                 "bin\x1b[2Jder"  from 119/120                          call   code 4097       size 12       flags TF_ACCEPT_FDS -- target is dead, or there is none
`
	if d := cmp.Diff(want, withoutTime(out)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !strings.Contains(errs, "listening to unix socket") || !strings.HasSuffix(errs, "virtbinder monitor: 4 reports, 3 lost, 1 bad message\n") {
		t.Errorf("standard error is\n%s", errs)
	}
}

func TestTextExtras(t *testing.T) {
	line := (&textOutput{colour: true}).line(&event{Event: netlink.Event{Report: dead, FromKernel: true, Unknown: []netlink.Attr{{Type: 11, Data: []byte{1, 255}}}}})
	for _, want := range []string{"\x1b[35mBR_DEAD_REPLY", "(host kernel)", "unknown attribute 11 = 01ff"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %q", want, line)
		}
	}
	plain := dead
	plain.Context = "binder"
	if line := (&textOutput{}).line(&event{Event: netlink.Event{Report: plain, VM: "demo"}}); !strings.Contains(line, " vm demo ") {
		t.Errorf("the VM is not said: %q", line)
	}
	if got := lostText(&event{}); got != "an unknown number of reports" {
		t.Errorf("got %s", got)
	}
}

func TestJSON(t *testing.T) {
	out, _ := monitor(t, func(s *netlinktest.Source) {
		sendAll(dead, full)(s)
		s.SendOverrun(3)
		s.SendRaw([]byte("junk"))
		b := binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(dead.AppendMessage(nil, 1023), 6), 99)
		b = append(b, 0xab, 0xcd, 0, 0)
		binary.NativeEndian.PutUint32(b, uint32(len(b)))
		s.SendRaw(b)
	}, "--json")
	var got []map[string]any
	for line := range strings.Lines(out) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, m["time"].(string)); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(m["source"].(string), "unix:/") {
			t.Errorf("source is %v", m["source"])
		}
		delete(m, "time")
		delete(m, "source")
		got = append(got, m)
	}
	deadWant := func(more map[string]any) map[string]any {
		m := map[string]any{"kind": "report", "origin": "vm", "vm": "demo", "error": 29189.0, "error_name": "BR_DEAD_REPLY", "context": "binder@demo",
			"from_pid": 119.0, "from_tid": 120.0, "is_reply": false, "flags": 16.0, "flag_names": []any{"TF_ACCEPT_FDS"}, "code": 4097.0, "data_size": 12.0, "why": "target is dead, or there is none"}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	want := []map[string]any{
		deadWant(nil),
		{"kind": "report", "origin": "vm", "vm": "demo", "error": 29201.0, "error_name": "BR_FAILED_REPLY", "context": "hwbinder@demo",
			"from_pid": 7.0, "from_tid": 8.0, "to_pid": 139.0, "to_tid": 140.0, "is_reply": true, "flags": 97.0,
			"flag_names": []any{"TF_ONE_WAY", "TF_CLEAR_BUF", "TF_UPDATE_TXN"}, "code": 1599098439.0, "data_size": 2097152.0},
		{"kind": "gap", "lost": 3.0},
		{"kind": "bad", "reason": "truncated message: 4 bytes, a netlink header has 16"},
		deadWant(map[string]any{"unknown": []any{map[string]any{"type": 99.0, "data": "abcd"}}}),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []netlink.Report
	}{
		{nil, []netlink.Report{dead, full, oneway}},
		{[]string{"--error=dead_reply"}, []netlink.Report{dead}},
		{[]string{"--error=0x7205,BR_FAILED_REPLY"}, []netlink.Report{dead, full}},
		{[]string{"--context=binder"}, []netlink.Report{dead, oneway}},
		{[]string{"--context=binder@demo"}, []netlink.Report{dead}},
		{[]string{"--context=*@demo"}, []netlink.Report{dead, full}},
		{[]string{"--vm=other", "--vm=none"}, []netlink.Report{oneway}},
		{[]string{"--pid=7"}, []netlink.Report{full, oneway}},
		{[]string{"--pid=140"}, nil}, // a thread, no process
		{[]string{"--code=_PNG"}, []netlink.Report{full}},
		{[]string{"--code=0x1001"}, []netlink.Report{dead}},
		{[]string{"--pid=119", "--error=dead_reply"}, []netlink.Report{dead}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			out, errs := monitor(t, sendAll(dead, full, oneway), append(c.args, "--json")...)
			var got, want []string
			for line := range strings.Lines(out) {
				var m map[string]any
				if err := json.Unmarshal([]byte(line), &m); err != nil {
					t.Fatal(err)
				}
				got = append(got, m["error_name"].(string))
			}
			for _, r := range c.want {
				want = append(want, netlink.ErrorName(r.Error))
			}
			if !slices.Equal(got, want) {
				t.Errorf("shown %v, want %v", got, want)
			}
			if len(want) < 3 && !strings.Contains(errs, "3 reports (") {
				t.Errorf("totals do not tell what was filtered:\n%s", errs)
			}
		})
	}
}

func TestFiltersThatCannotBe(t *testing.T) {
	for _, c := range []Cmd{{Error: []string{"BR_NONSENSE"}}, {Context: []string{"[a"}}, {Code: []string{"12x"}}} {
		err := c.run(context.Background(), &bytes.Buffer{}, &bytes.Buffer{}, false)
		if err == nil || !strings.Contains(err.Error(), "--") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestCountAndReadyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	out, errs := monitor(t, func(s *netlinktest.Source) {
		var b []byte // one datagram: after two reports nobody may be there to take another
		for _, r := range []netlink.Report{dead, full, oneway} {
			b = r.AppendMessage(b, netlink.FallbackType)
		}
		s.SendRaw(b)
	}, "--count=2", "--ready-file", file)
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, out)
	}
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "unix socket") {
		t.Errorf("ready file holds %q, %v", b, err)
	}
	if !strings.Contains(errs, "2 reports, 0 lost, 0 bad messages") {
		t.Errorf("standard error is\n%s", errs)
	}
}

func TestSummary(t *testing.T) {
	out, _ := monitor(t, sendAll(dead, full, dead, dead), "--summary")
	lines := strings.Split(out, "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], "3 ") || !strings.Contains(lines[1], "BR_DEAD_REPLY") || !strings.Contains(lines[2], "hwbinder@demo") {
		t.Errorf("table is\n%s", out)
	}
	out, _ = monitor(t, func(s *netlinktest.Source) { s.Send(dead); s.SendOverrun(2) }, "--summary", "--json")
	if !strings.Contains(out, `"count":1`) || !strings.Contains(out, `"lost":2`) {
		t.Errorf("JSON is\n%s", out)
	}
}

func TestSummaryIsBounded(t *testing.T) {
	s := newSummary(&bytes.Buffer{}, false, false)
	for pid := range uint32(maxRows + 5) {
		if err := s.event(event{Event: netlink.Event{Report: netlink.Report{FromPID: pid}}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.rows) != maxRows || s.others != 5 {
		t.Errorf("%d rows and %d others", len(s.rows), s.others)
	}
}

func TestExec(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	command := "env | grep ^REPORT_ | sort > " + file
	_, errs := monitor(t, sendAll(full), "--exec", command)
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) || !strings.Contains(errs, "0 commands run, 0 left out") {
		t.Errorf("ran for a guest's report without --guest: %v\n%s", err, errs)
	}
	monitor(t, sendAll(full), "--exec", command, "--guest")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `REPORT_CODE=1599098439
REPORT_CONTEXT=hwbinder@demo
REPORT_DATA_SIZE=2097152
REPORT_ERROR=BR_FAILED_REPLY
REPORT_FLAGS=97
REPORT_GUEST_FROM_PID=7
REPORT_GUEST_FROM_TID=8
REPORT_GUEST_TO_PID=139
REPORT_GUEST_TO_TID=140
REPORT_KIND=reply
REPORT_VM=demo
`
	if d := cmp.Diff(want, string(b)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	env := strings.Join(reportEnv(&event{Event: netlink.Event{Report: dead, FromKernel: true}}), " ")
	if !strings.Contains(env, "REPORT_FROM_PID=119") || strings.Contains(env, "GUEST") || strings.Contains(env, "TO_PID") {
		t.Errorf("a kernel's report gives %s", env)
	}
}

func TestExecRate(t *testing.T) {
	x := newExecutor("true", false, 3, &bytes.Buffer{})
	var got []bool
	for _, second := range []int64{5, 5, 5, 5, 6} {
		got = append(got, x.allowed(second))
	}
	if want := []bool{true, true, true, false, true}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
