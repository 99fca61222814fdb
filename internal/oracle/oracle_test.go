// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"

	"virtbinder/driver/bindertest"
)

func quiet() (*say, *bytes.Buffer) {
	var out bytes.Buffer
	return &say{w: &out, kernel: "6.12", begun: time.Now()}, &out
}

// TestScenarios feeds what a guest says, which dies in the middle and is booted again.
func TestScenarios(t *testing.T) {
	say, out := quiet()
	w := &scenarios{say: say, series: "6.12", only: "x", goldens: map[string]string{}, ours: map[string]string{}}
	feed := func(text string) {
		t.Helper()
		if err := readLines(strings.NewReader(text), func(l Line) { w.take(l) }); err != nil {
			t.Fatal(err)
		}
	}
	feed(`{"scenario":"a/same","system":"virtbinder","begin":true}
{"scenario":"a/same","system":"virtbinder","transcript":"1\n"}
{"scenario":"a/same","system":"stock","begin":true}
{"scenario":"a/same","system":"stock","transcript":"1\n"}
{"scenario":"a/not","na":"for a reason"}
{"scenario":"b/other","system":"virtbinder","begin":true}
{"scenario":"b/other","system":"virtbinder","transcript":"1\n2\n"}
{"scenario":"b/other","system":"stock","begin":true}
{"scenario":"b/other","system":"stock","transcript":"1\n3\n"}
{"scenario":"b/broken","system":"virtbinder","begin":true}
{"scenario":"b/broken","system":"virtbinder","error":"it hangs"}
{"scenario":"b/broken","system":"stock","begin":true}
{"scenario":"b/broken","system":"stock"}
{"scenario":"b/deadly","system":"virtbinder","begin":true}
`)
	if !w.lost("panic") || w.lost("once more") {
		t.Error("the scenario that ran is to blame, once")
	}
	if diff := cmp.Diff([]string{"--only", "x", "--skip", "a/same,a/not,b/other,b/broken,b/deadly"}, w.args()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if !w.take(Line{End: true}) {
		t.Error("the last line is not seen")
	}
	var got []string
	for _, o := range w.results.Scenarios {
		got = append(got, o.Name+" "+o.Result)
	}
	want := []string{"a/same equal", "a/not n/a", "b/other different", "b/broken different", "b/deadly different"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"6.12 b/other", "6.12 b/broken", "6.12 b/deadly"}, w.results.Failed()); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	for _, text := range []string{"equal    1  a\n", "n/a   a/not: for a reason", "DIFF  b/other", "-3", "+2", "virtbinder: it hangs", "on virtbinder, panic"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("it does not say %q:\n%s", text, out)
		}
	}
	if w.goldens["a/same"] != "1\n" || w.goldens["b/other"] != "1\n3\n" || len(w.goldens) != 3 {
		t.Errorf("goldens: %q", w.goldens)
	}
}

// TestPrograms feeds what a guest says of random programs; it dies in the third.
func TestPrograms(t *testing.T) {
	say, out := quiet()
	w := &programs{say: say, next: 5, end: 15, said: time.Now()}
	if err := readLines(strings.NewReader(`{"program":{"seed":5}}
{"program":{"seed":5,"result":"equal"}}
{"program":{"seed":6}}
{"program":{"seed":6,"result":"different","steps":2,"diff":"-1\n+2","theirs":"1","source":"a.read()"}}
{"program":{"seed":7}}
`), func(l Line) { w.take(l) }); err != nil {
		t.Fatal(err)
	}
	if !w.lost("gone") || w.lost("once more") {
		t.Error("the program that ran is to blame, once")
	}
	w.take(Line{Program: &ProgramLine{Seed: 8, Result: Unstable, Diff: "-now\n+then"}})
	if diff := cmp.Diff([]string{"--seed", "9", "--seeds", "6"}, w.args()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if r := w.results; r.Programs != 4 || len(r.Different) != 2 || len(r.Unstable) != 1 || r.Unstable[0].Seed != 8 {
		t.Errorf("%+v", r)
	}
	for _, text := range []string{"DIFF  seed 6, after 2 steps", "a.read()", "+2", "gone", "unstable  seed 8", "+then"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("it does not say %q:\n%s", text, out)
		}
	}
}

// TestAlone: a scenario that only our driver can run is held against what is recorded.
func TestAlone(t *testing.T) {
	const name = "report/self"
	want, _, ok := bindertest.Recorded(name)
	if !ok {
		t.Fatal("nothing is recorded")
	}
	for transcript, result := range map[string]string{want: NA, want + "more\n": Different} {
		w := &scenarios{say: &say{w: io.Discard}, series: "6.1", ours: map[string]string{}}
		w.take(Line{Scenario: name, System: ours, NA: "stock on 6.1 has no failure reports", Transcript: transcript})
		if o := w.results.Scenarios[0]; o.Result != result || o.Failed() != (result == Different) {
			t.Errorf("%+v", o)
		}
	}
}

func TestReadLines(t *testing.T) {
	err := readLines(strings.NewReader("panic: no\n"), func(Line) { t.Error("a line") })
	if err == nil || !strings.Contains(err.Error(), "panic: no") {
		t.Errorf("%v", err)
	}
}

func TestLeftIn(t *testing.T) {
	const clean = "binder stats:\nBC_REPLY: 9\nproc: active 0 total 12\nnode: active 0 total 3\n"
	if err := leftIn(clean); err != nil {
		t.Error(err)
	}
	if err := leftIn(clean + "ref: active 2 total 4\n"); err == nil || !strings.Contains(err.Error(), "ref 2") {
		t.Errorf("%v", err)
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"6.1.0-50-amd64", "6.12", true}, {"6.12.95+deb12-amd64", "6.12", false}, {"6.12.95", "6.2", false}, {"5.10", "6.1", true}, {"7.0", "6.12", false}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("%s older than %s: %t", c.a, c.b, got)
		}
	}
}

// TestWriteInitrd reads the appended archive back.
func TestWriteInitrd(t *testing.T) {
	dir := t.TempDir()
	base, program, out := filepath.Join(dir, "base"), filepath.Join(dir, "program"), filepath.Join(dir, "out")
	for path, text := range map[string]string{base: "seven77", program: "\x7fELF"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeInitrd(out, base, map[string]string{"puppet": program}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil || !bytes.HasPrefix(b, []byte("seven77\x00")) {
		t.Fatalf("%v: the prepared archive is not in front, padded: %.16q", err, b)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b[8:])))
	if err != nil || len(records) != 1 || records[0].Name != "puppet" || records[0].Mode != 0o100755 {
		t.Fatalf("%v: %v", err, records)
	}
	if text, err := io.ReadAll(io.NewSectionReader(records[0], 0, int64(records[0].FileSize))); err != nil || string(text) != "\x7fELF" {
		t.Errorf("%q, %v", text, err)
	}
}
