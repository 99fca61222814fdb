// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/internal/config"
	"virtbinder/internal/journal"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// caller is a guest with one process, which calls a context manager that is not
// there: the shortest way to fail.
type caller struct {
	tb     testing.TB
	vm     *driver.VM
	x      driver.Exec
	r      driver.Request
	gather [1]driver.Gather
	report func(driver.Report)
	done   bool
}

func (c *caller) Reserve(uint64) (uint64, error)         { return 0, unix.ENOMEM }
func (c *caller) Release(_, _ uint64)                    {}
func (c *caller) Bytes(_, _ uint64) []byte               { return nil }
func (c *caller) Copy(f func() error) error              { return f() }
func (c *caller) Complete(*driver.Exec, *driver.Request) { c.done = true }
func (c *caller) Event(*driver.Exec, driver.Event)       {}
func (c *caller) Report(r driver.Report)                 { c.report(r) }
func (c *caller) Notice(driver.Notice)                   {}
func (c *caller) ReadAt(p []byte, pos uint64) error      { copy(p, token[pos:]); return nil }

// token is a parcel that begins with an interface's name.
var token = func() []byte {
	b := binary.LittleEndian.AppendUint32(append(make([]byte, 8), "TSYS"...), uint32(len("a.b.IC")))
	for _, c := range "a.b.IC\x00" {
		b = binary.LittleEndian.AppendUint16(b, uint16(c))
	}
	return b
}()

func newCaller(tb testing.TB, report func(driver.Report)) *caller {
	tb.Helper()
	c := &caller{tb: tb, report: report}
	c.vm = driver.New(driver.Config{}).NewVM("demo", c)
	ctx, err := c.vm.NewContext("binder")
	if err != nil {
		tb.Fatal(err)
	}
	id, err := c.vm.Open(&c.x, driver.OpenArgs{Context: ctx, PID: 7, Comm: "caller"})
	if err != nil {
		tb.Fatal(err)
	}
	tr := uapi.TransactionData{Code: 9, DataSize: uint64(len(token))}
	c.r = driver.Request{Proc: id, TID: 7, Stream: tr.Append(binary.LittleEndian.AppendUint32(nil, uapi.BC_TRANSACTION), false), Payload: c, ReadSize: 256}
	c.gather[0].DataLen = uint64(len(token))
	tb.Cleanup(func() { c.vm.Close(&c.x) })
	return c
}

// fail makes one call.
func (c *caller) fail() {
	c.done = false
	c.r.Seq++
	c.r.Gather = c.gather[:]
	c.vm.WriteRead(&c.x, &c.r)
	if !c.done {
		c.tb.Fatal("a call to nobody waits")
	}
}

// newFailures is a machine's way of failures, in a directory of its own.
func newFailures(tb testing.TB, reports string) (f *failures, dir string) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "vbf")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	vm := config.DefaultVM()
	vm.Name, vm.Netlink.Reports = "demo", reports
	f, err = openFailures(dir, &vm, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	return f, dir
}

// TestFailuresLeave: a failure reaches the journal and the reports' unix socket, the
// one with what the other has no place for.
func TestFailuresLeave(t *testing.T) {
	f, dir := newFailures(t, "off")
	own, err := journal.Dial(filepath.Join(dir, rundir.JournalSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	newCaller(t, f.report).fail()
	f.notice(driver.Notice{Kind: driver.NoticeOnewaysLost, Context: "binder", ToPID: 3, Count: 4, ToComm: "gone"})
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	first, err := own.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := netlink.Report{Error: netlink.BRDeadReply, Context: "binder@demo", FromPID: 7, FromTID: 7, Code: 9, DataSize: uint32(len(token))}
	if r := first.Record; r.Report != want || r.Errno != unix.EINVAL || r.Interface != "a.b.IC" || r.FromName != "caller" {
		t.Errorf("the journal has %+v", r)
	}
	second, err := own.Next()
	if err != nil || second.Record.Kind != journal.KindOnewaysLost || second.Record.Count != 4 || second.Record.ToName != "gone" || second.Record.Report.ToPID != 3 {
		t.Errorf("the journal has %+v, %v", second.Record, err)
	}
	if _, err := own.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after its end: %v", err)
	}
	table := &table{vm: "demo"}
	f.measure(table)
	values := map[string]float64{}
	for _, m := range table.metrics {
		for _, s := range m.Samples {
			values[m.Name+" "+s.Labels["vm"]+" "+s.Labels["kind"]] = s.Value
		}
	}
	if values["virtbinder_failures_total demo BR_DEAD_REPLY"] != 1 || values["virtbinder_failures_total demo oneways-lost"] != 1 || values["virtbinder_reports_dropped_total demo "] != 0 {
		t.Errorf("%v", values)
	}
	if s := f.emitter.Stats(); s.Accepted != 1 || s.Dropped != 0 {
		t.Errorf("the emitter had %+v: what is virtbinder's own does not go there", s)
	}
}

// BenchmarkFailing is a whole failing call in the core, without any channel, and with
// them and listeners of all manners. Nothing but one slot of the journal's ring may
// be on its path.
func BenchmarkFailing(b *testing.B) {
	run := func(b *testing.B, f *failures) {
		report := func(driver.Report) {}
		if f != nil {
			report = f.report
		}
		c := newCaller(b, report)
		b.ReportAllocs()
		for b.Loop() {
			c.fail()
		}
	}
	b.Run("reports go nowhere", func(b *testing.B) { run(b, nil) })
	b.Run("nobody listens", func(b *testing.B) {
		f, _ := newFailures(b, "auto")
		run(b, f)
		f.close()
	})
	b.Run("a listener that reads", func(b *testing.B) {
		f, dir := newFailures(b, "auto")
		l, err := netlink.Listen(netlink.ListenOptions{Sockets: []string{filepath.Join(dir, rundir.ReportsSocket)}})
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := l.Receive(b.Context()); err != nil {
					return
				}
			}
		}()
		run(b, f)
		f.close()
		l.Close()
		<-done
	})
	b.Run("listeners that never read", func(b *testing.B) {
		f, dir := newFailures(b, "auto")
		l, err := netlink.Listen(netlink.ListenOptions{Sockets: []string{filepath.Join(dir, rundir.ReportsSocket)}})
		if err != nil {
			b.Fatal(err)
		}
		own, err := journal.Dial(filepath.Join(dir, rundir.JournalSocket))
		if err != nil {
			b.Fatal(err)
		}
		run(b, f)
		f.close()
		own.Close()
		l.Close()
	})
}
