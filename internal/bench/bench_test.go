// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	v := []float64{3, 1, 2}
	if got := median(v); got != 2 || !slices.Equal(v, []float64{3, 1, 2}) {
		t.Errorf("median %v, and v is now %v", got, v)
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("median %v", got)
	}
}

const said = `goos: linux
pkg: virtbinder/driver
BenchmarkCall/0B-2      	   63313	      2000 ns/op	       0 B/op	       0 allocs/op
BenchmarkCall/4096B-2   	   91563	      3000 ns/op	       0 B/op	       1 allocs/op
`

func TestFigureOfRounds(t *testing.T) {
	all := samples{}
	for _, text := range []string{said, strings.Replace(said, "3000", "8000", 1), said} {
		if err := all.read(strings.NewReader(text), "said"); err != nil {
			t.Fatal(err)
		}
	}
	f, err := all.figure(wanted{section: "device", bench: "Call/4096B-2", against: "Call/0B-2", called: "null call", target: atMost(1.4)})
	if err != nil || f.Value != 3000 || f.Ratio != 1.5 || f.Unit != "ns" || f.Met() {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = all.figure(wanted{bench: "Call/4096B-2", unit: "allocs/op", target: atMost(1)})
	if err != nil || f.Value != 1 || f.Unit != "allocs" || !f.Met() {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := all.figure(wanted{section: "device", bench: "Call/1B-2"}); err == nil {
		t.Error("a figure of a benchmark that was not run")
	}
}

func TestReplace(t *testing.T) {
	r := &Result{Figures: []Figure{
		{Section: "core", Name: "null call"}, {Section: "guest", VCPUs: 1, Name: "old"}, {Section: "guest", VCPUs: 2, Name: "kept"},
	}}
	r.replace([]Figure{{Section: "guest", VCPUs: 1, Name: "new"}, {Section: "guest", VCPUs: 1, Name: "newer"}})
	var names []string
	for _, f := range r.Figures {
		names = append(names, f.Name)
	}
	if want := []string{"null call", "new", "newer", "kept"}; !slices.Equal(names, want) {
		t.Errorf("%v, not %v", names, want)
	}
}

func TestWorse(t *testing.T) {
	baseline := &Result{Figures: []Figure{
		{Section: "core", Name: "4 KiB", Unit: "ns", Against: "null call", Ratio: 1.2, Value: 10},
		{Section: "core", Name: "null call", Unit: "ns", Value: 10},
		{Section: "core", Name: "null call", Unit: "allocs", Value: 0},
		{Section: "scale", Name: "idle", Unit: "bytes", Value: 1000},
	}}
	good := &Result{Figures: []Figure{
		{Section: "core", Name: "4 KiB", Unit: "ns", Against: "null call", Ratio: 1.7, Value: 1000},
		{Section: "core", Name: "null call", Unit: "ns", Value: 1000}, // wall time does not count
		{Section: "core", Name: "null call", Unit: "allocs", Value: 0},
		{Section: "core", Name: "new", Unit: "allocs", Value: 7},
		{Section: "scale", Name: "idle", Unit: "bytes", Value: 1900},
	}}
	if n, list := worse(good, baseline); n != 3 || list != nil {
		t.Errorf("compared %d: %v", n, list)
	}
	bad := &Result{Figures: []Figure{
		{Section: "core", Name: "4 KiB", Unit: "ns", Against: "null call", Ratio: 1.9},
		{Section: "core", Name: "null call", Unit: "allocs", Value: 1},
		{Section: "scale", Name: "idle", Unit: "bytes", Value: 2100},
	}}
	if n, list := worse(bad, baseline); n != 3 || len(list) != 3 {
		t.Errorf("compared %d: %v", n, list)
	}
}

func TestShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	var page string
	for _, s := range sections {
		page += "# " + s + "\n<!-- " + s + " -->\nold\n<!-- /" + s + " -->\nafter\n"
	}
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &Result{Figures: []Figure{
		{Section: "core", Name: "null call", Unit: "ns", Value: 900, Target: atMost(1000), Command: "go test"},
		{Section: "guest", Name: "null call", Unit: "ns", Value: 300e3, Against: "the stock driver", Ratio: 2.5, Target: atMost(2), Command: "pingpong"},
	}}
	for range 2 { // the second time changes nothing
		if err := r.show(path); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(path)
	for _, want := range []string{
		"| null call | 0.90 µs |  |  | ≤ 1.00 µs: met |\n", "| null call | 300 µs | 2.50 | the stock driver | ≤ 2.00: **missed** |\n",
		"Made by `pingpong`.", "# scale\n<!-- scale -->\nold\n<!-- /scale -->\nafter\n",
	} {
		if strings.Count(string(got), want) != 1 {
			t.Errorf("not once in the page: %q\n%s", want, got)
		}
	}
	if n := strings.Count(string(got), "old"); n != len(sections)-2 {
		t.Errorf("%d sections are as they were, want those without figures", n)
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r.show(path) == nil {
		t.Error("a page without marks was filled")
	}
}

func TestProgramsOutput(t *testing.T) {
	got, err := readPercentiles("average:1.2ms worst:3ms best:0.5ms\n50%: 0.9 90%: 1.2 95%: 1.5 99%: 2.5\n")
	if err != nil || got["50%"] != 0.9e6 || got["99%"] != 2.5e6 {
		t.Error(got, err)
	}
	got, err = readPings("BM_pingTransaction/0     524000 ns   100 ns   300\nBM_pingTransaction/1     724000 ns   100 ns   300\n")
	if err != nil || got["BM_pingTransaction/1"] != 724000 {
		t.Error(got, err)
	}
	if _, err := readPings("BM_pingTransaction/0     524000 ns"); err == nil {
		t.Error("half of the output is enough")
	}
	each := strings.Repeat(`{"run_name": "BM_pingTransaction/0/iterations:1/repeats:100", "run_type": "iteration", "iterations": 1, "real_time": 2e5, "time_unit": "ns"},
		{"run_name": "BM_pingTransaction/1/iterations:1/repeats:100", "run_type": "iteration", "iterations": 1, "real_time": 3e5, "time_unit": "ns"},`, 100)
	got, err = readEachPing("a log line\n{\n\"benchmarks\": [" + each + `{"run_name": "BM_pingTransaction/1", "run_type": "aggregate", "time_unit": "ns"}]}`)
	if err != nil || got["BM_pingTransaction/0 p50"] != 2e5 || got["BM_pingTransaction/1 p99"] != 3e5 {
		t.Error(got, err)
	}
	if _, err = readEachPing("{\n\"benchmarks\": []}"); err == nil {
		t.Error("no times are enough")
	}
	row, err := parsePings(`{
"benchmarks": [{"run_name": "BM_pingTransaction/0", "run_type": "iteration", "iterations": 1100, "real_time": 2e5, "time_unit": "ns"
    }11-29 14:30:03.925   369   369 I RpcState: RpcState has no binders left, so triggering shutdown...
  ]
}
# tracer: none`)
	if p := row[kernelPing]; err != nil || p.Calls != 1100 || p.Min != 2e5 || math.Abs(p.took()-1100*2e5) > 1 {
		t.Errorf("%+v, %v", row, err)
	}
	said, err := parsePingpong(`{"device":"/dev/hwbinder","bytes":0,"calls":2,"min":1,"p50":2,"p99":3,"mean":4}`)
	if want := []pingpong{{Device: ourDevice, Calls: 2, Min: 1, P50: 2, P99: 3, Mean: 4}}; err != nil || !slices.Equal(said, want) {
		t.Errorf("%+v, %v", said, err)
	}
	if err := (&measuring{GuestCmd: &GuestCmd{}}).calls("", "", said); err == nil {
		t.Error("one size on one device is enough")
	}
}

func TestPinning(t *testing.T) {
	one := (&measuring{GuestCmd: &GuestCmd{CPUs: 1}}).pinnings()
	if len(one) != 1 || one[0].pingpong() != nil || one[0].env(1, 1) != nil {
		t.Errorf("one processor: %+v", one)
	}
	two := (&measuring{GuestCmd: &GuestCmd{CPUs: 2}}).pinnings()
	apart := two[len(two)-1]
	if got := apart.env(2, 2); got[0] != "PIN=0,1,1,0,0" || apart.pingpong()[1] != "0,1" {
		t.Errorf("apart: %q, %q", got, apart.pingpong())
	}
}

func TestParseTrace(t *testing.T) {
	const lines = `#     TIME         TASK/PID         DURATION                  FUNCTION CALLS
#      |            |    |           |   |                     |   |   |   |
 ------------------------------------------
 0)     sh-343     =>  pingpon-194
 ------------------------------------------

   13.394639 |   pingpon-194   |               |  vb_ioctl [virtbinder]() {
   13.394645 |   pingpon-194   | + 18.250 us   |    vb_gather_piece [virtbinder]();
   13.395162 |   pingpon-194   | # 1270.500 us |  } /* vb_ioctl [virtbinder] */
   21.699650 |   some -1-351   | * 60869.85 us |  } /* vb_gather_piece */
`
	got, err := parseTrace(lines + traceStats)
	if want := (spent{"vb_gather_piece": 60888100, "vb_ioctl": 1270500}); err != nil || !maps.Equal(got.took, want) {
		t.Errorf("%v, %v", got, err)
	}
	if want := map[string]int{"vb_gather_piece": 1, "vb_ioctl": 1}; !maps.Equal(got.calls, want) {
		t.Errorf("%v, want %v", got.calls, want)
	}
	if n := len(got.passages); n != 5 || got.passages[2] != (passage{194, "vb_gather_piece", true, 13394645e3 + 18250}) {
		t.Errorf("%d passages: %+v", n, got.passages)
	}
	if _, err := parseTrace(lines + strings.Replace(traceStats, "overrun: 0", "overrun: 1", 1)); err == nil {
		t.Error("a trace that has lost something is taken for whole")
	}
}

// TestCut: three calls of 194 to 195, as the guest's kernel has seen them; the last one's end is not there.
func TestCut(t *testing.T) {
	trace, err := parseTrace(apartTrace + traceStats)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ways[ours].cut(trace.passages)
	if err != nil {
		t.Fatal(err)
	}
	// Means of two calls, microseconds.
	want := [len(pieceNames)]float64{(68 + 63) / 2., (1779 + 630) / 2., (197 + 117) / 2., (591 + 1812) / 2., (90 + 109) / 2.}
	for i := range want {
		if math.Abs(c.pieces[i]/1e3-want[i]) > 0.01 {
			t.Errorf("%s: %v, want %v", pieceNames[i], c.pieces[i], want[i])
		}
	}
	if math.Abs(c.whole/1e3-(2725+2731)/2.) > 0.01 || math.Abs(c.clientRing-(1298657+471006)/2) > 10 || math.Abs(c.serverRing-(319077+1102235)/2) > 10 || c.ioctls != 3 || c.early != 0 {
		t.Errorf("%+v", c)
	}
	if _, err := ways[stock].cut(trace.passages); err == nil {
		t.Error("calls of one driver are seen by the functions of the other")
	}
	late := slices.Clone(trace.passages) // no doorbell is seen
	late = slices.DeleteFunc(late, func(p passage) bool { return p.function == fnKick })
	if _, err := ways[ours].cut(late); err == nil {
		t.Error("calls of which no way is seen have pieces")
	}
}

func TestParseStats(t *testing.T) {
	got, err := parseStats(`queue 0: requests 7 kicks 7 interrupts 0 rests 0 spun 0 look_ns 0
queue 2: requests 28 kicks 27 interrupts 11 rests 1 spun 10 look_ns 1280000
doorbell_ns 99540
sleeps 22 cancels 1 orphans 0 events 0 reports 0 lost 0
`)
	if err != nil || got["requests"] != 35 || got["kicks"] != 34 || got["spun"] != 10 || got["sleeps"] != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseStats("no such file"); err == nil {
		t.Error("nothing is taken for counts")
	}
}

// TestCallOf: 30 calls, half of whose time one part took; the best of them took 10.
func TestCallOf(t *testing.T) {
	c := callOf([]pingpong{{Calls: 10, Min: 12, Mean: 20}, {Calls: 20, Min: 10, Mean: 40}}, spent{"half": 500})
	if c.whole != 10 || c.parts["half"] != 5 {
		t.Errorf("%+v", c)
	}
}

func TestStages(t *testing.T) {
	for function, want := range map[string]string{
		"virtbinder/vmm/kvm.(*VCPU).Run":                "guest",
		"virtbinder/driver.(*Thread).writeRead":         "core: target, buffer, translation, delivery",
		"virtbinder/driver.(*builder).copy":             "payload copied",
		"virtbinder/virtio/vbinder.(*Device).Complete":  "answers written and published",
		"virtbinder/virtio/vbinder.(*queue).serve":      "the rest of the device",
		"virtbinder/virtio.(*Queue).Pop":                "chain taken and proved",
		"virtbinder/virtio.(*PCI).notify":               "the way to the device",
		"runtime.memmove":                               "",
		"virtbinder/virtio/vsock.(*Device).notAmongIts": "",
	} {
		if got := stageOfFunction(function); got != want {
			t.Errorf("%s: %q, want %q", function, got, want)
		}
	}
}
