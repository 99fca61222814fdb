// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"virtbinder/netlink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	report = Record{Kind: KindReport, Report: netlink.Report{Error: netlink.BRFailedReply, Context: "binder", FromPID: 7, FromTID: 8,
		ToPID: 9, HasToPID: true, Flags: 0x10, Code: 1, DataSize: 2 << 20},
		Errno: unix.ENOSPC, Free: 100, Size: 1 << 20, Interface: "a.b.IC", FromName: "from", ToName: "to"}
	lost = Record{Kind: KindOnewaysLost, Report: netlink.Report{Context: "binder", ToPID: 9, HasToPID: true}, Count: 3}
)

func TestRecordsRoundTrip(t *testing.T) {
	for name, r := range map[string]Record{
		"report":          report,
		"oneways":         lost,
		"pending":         {Kind: KindReport, Report: netlink.Report{Context: "x", ToTID: 4, HasToTID: true, IsReply: true}, Pending: 51},
		"buffer low":      {Kind: KindBufferLow, Free: 1, Size: 2},
		"to_pid 0 is set": {Kind: KindCallLost, Report: netlink.Report{HasToPID: true}},
	} {
		b, err := r.JSON("@demo")
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v in %s", name, err, b)
			continue
		}
		r.Report.Context += "@demo"
		if diff := cmp.Diff(&r, m.Record); diff != "" {
			t.Errorf("%s (-sent +got):\n%s", name, diff)
		}
	}
}

func TestBadDatagrams(t *testing.T) {
	for _, b := range []string{"", "{", "[]", "null", `{"kind":"other"}`, `{"kind":"hello","version":2,"vm":"v"}`, `{"kind":"hello","version":1}`,
		`{"kind":"report","errno":-1}`, `{"kind":"report","errno":5000}`, `{"kind":"report","pending":-1}`, `{"kind":"report","from_pid":-1}`,
		`{"kind":"report","context":"` + strings.Repeat("x", maxText+1) + `"}`} {
		if _, err := Decode([]byte(b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.60s: %v", b, err)
		}
	}
}

// TestReaders: each gets everything that is remembered, then what comes; one that
// falls behind is told how much it lost.
func TestReaders(t *testing.T) {
	j := New(4)
	add := func(n int) {
		for range n {
			j.Append(report)
		}
	}
	read := func(r *Reader, room int) (seqs []uint64, lost uint64) {
		out := make([]Record, room)
		n, lost, ok := r.Next(out)
		if !ok {
			t.Fatal("the end")
		}
		for _, rec := range out[:n] {
			seqs = append(seqs, rec.Seq)
		}
		return seqs, lost
	}
	first := j.Reader()
	add(3)
	if seqs, lost := read(first, 2); !cmp.Equal(seqs, []uint64{1, 2}) || lost != 0 {
		t.Errorf("read %v, %d lost", seqs, lost)
	}
	add(6) // 9 by now, 6 to 9 are remembered
	if seqs, lost := read(first, 9); !cmp.Equal(seqs, []uint64{6, 7, 8, 9}) || lost != 3 {
		t.Errorf("read %v, %d lost", seqs, lost)
	}
	if seqs, lost := read(j.Reader(), 9); !cmp.Equal(seqs, []uint64{6, 7, 8, 9}) || lost != 0 {
		t.Errorf("a new reader read %v, %d lost", seqs, lost)
	}
	j.Close()
	if _, _, ok := first.Next(make([]Record, 1)); ok {
		t.Error("a closed journal goes on")
	}
	if got := j.Counts()["BR_FAILED_REPLY"]; got != 9 {
		t.Errorf("%d counted", got)
	}
}

func serve(t *testing.T, j *Journal) (s *Server, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vbj") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "journal.sock")
	s, err = Serve(j, path, Hello{VM: "demo", Ports: []uint32{5, 6}, Socket: "/x"}, "@demo", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

func TestSocket(t *testing.T) {
	j := New(16)
	j.Append(report)
	s, path := serve(t, j)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", st.Mode(), err)
	}
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if diff := cmp.Diff(Hello{VM: "demo", Ports: []uint32{5, 6}, Socket: "/x", Counts: map[string]uint64{"BR_FAILED_REPLY": 1}}, c.Hello); diff != "" {
		t.Error(diff)
	}
	j.Append(lost)
	for i, want := range []Record{report, lost} {
		want.Seq, want.Report.Context = uint64(i+1), "binder@demo"
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, m.Record, cmpopts.IgnoreFields(Record{}, "Time")); diff != "" || m.Record.Time.IsZero() {
			t.Errorf("record %d (-want +got):\n%s", i, diff)
		}
	}
	j.Append(lost)
	j.Close()
	s.Close()
	if m, err := c.Next(); err != nil || m.Record == nil || m.Record.Seq != 3 {
		t.Errorf("the last words are %+v, %v", m, err)
	}
	if _, err := c.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

// TestSilentClient: one that never reads holds up neither the journal nor its end,
// and one that reads late is told what it lost.
func TestSilentClient(t *testing.T) {
	j := New(8)
	s, path := serve(t, j)
	silent, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const all = 20000
	for range all {
		j.Append(report)
	}
	j.Close()
	s.Close()
	var got, told uint64
	for {
		m, err := silent.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		told += m.Lost
		if m.Record != nil {
			got++
			if m.Record.Seq != got+told {
				t.Fatalf("record %d after %d read and %d lost", m.Record.Seq, got-1, told)
			}
		}
	}
	if got == 0 || got == all {
		t.Errorf("read %d of %d: was its buffer never full?", got, all)
	}
}

func TestFeed(t *testing.T) {
	j := New(4)
	for range 6 {
		j.Append(report)
	}
	j.Append(lost)
	j.Close()
	n := 0
	j.Feed(func(r netlink.Report) { n++ }, func(n uint64) { t.Errorf("%d lost by a reader that had not begun", n) })
	if n != 3 {
		t.Errorf("%d reports fed, 3 are remembered", n)
	}
}

// TestAppendAllocatesNothing is the budget of a failing transaction's path.
func TestAppendAllocatesNothing(t *testing.T) {
	j := New(16)
	j.Append(report)
	if n := testing.AllocsPerRun(1000, func() { j.Append(report) }); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []Record{report, lost} {
		b, err := r.JSON("@demo")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"kind":"hello","version":1,"vm":"v","ports":[1]}`))
	f.Add([]byte(`{"kind":"gap","lost":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			return
		}
		if m.Record == nil {
			return
		}
		again, err := m.Record.JSON("")
		if err != nil {
			t.Skip() // a time beyond the year 9999
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("%v in %s", err, again)
		}
		if diff := cmp.Diff(m.Record, back.Record, cmpopts.EquateApproxTime(0)); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}

// BenchmarkAppend is what a failing transaction pays, with nobody reading and with a
// client that never reads.
func BenchmarkAppend(b *testing.B) {
	b.Run("no reader", func(b *testing.B) {
		j := New(Remembered)
		b.ReportAllocs()
		for b.Loop() {
			j.Append(report)
		}
	})
	b.Run("a reader that never reads", func(b *testing.B) {
		j := New(Remembered)
		dir, err := os.MkdirTemp("", "vbj")
		if err != nil {
			b.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s, err := Serve(j, filepath.Join(dir, "s"), Hello{VM: "v"}, "@v", slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		c, err := Dial(filepath.Join(dir, "s"))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			j.Append(report)
		}
		c.Close()
		j.Close()
		s.Close()
	})
}
