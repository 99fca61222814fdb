// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// suite is a package's Go benchmarks. Each round runs all of them once, so that what
// is compared was measured within seconds.
type suite struct {
	pkg     string
	pattern string
	cpus    string // -test.cpu
	time    string // -test.benchtime
	rounds  int
	urgent  bool // before what else runs, if that may be had: wake-ups are what is measured
}

func (s suite) command() string {
	c := fmt.Sprintf("go test -run '^$' -bench '%s' -cpu %s -benchtime %s %s", s.pattern, s.cpus, s.time, s.pkg)
	return strings.Join(append(s.prefix(), c), " ")
}

// prefix is what the benchmarks are run by.
func (s suite) prefix() []string {
	if !s.urgent || os.Geteuid() != 0 {
		return nil
	}
	// No real-time priority: Go's runtime spins where it waits for a thread that has none.
	return []string{"nice", "-n", "-20"}
}

// samples are a benchmark's values, one of each round, by name (as "Call/0B-2") and
// unit (as "ns/op").
type samples map[string]map[string][]float64

// run runs the suite; what it says is added to the file at log.
func (s suite) run(ctx context.Context, top, log string) (samples, error) {
	binary := filepath.Join(filepath.Dir(log), filepath.Base(s.pkg)+".test")
	build := exec.CommandContext(ctx, filepath.Join(top, "images", "go.sh"), "test", "-c", "-o", binary, s.pkg)
	build.Dir = top
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %w\n%s", build.Args, err, out)
	}
	defer os.Remove(binary)
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := samples{}
	for range s.rounds {
		args := append(s.prefix(), binary, "-test.run=^$", "-test.bench="+s.pattern, "-test.cpu="+s.cpus, "-test.benchtime="+s.time, "-test.benchmem")
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.MultiWriter(f, &out), f
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("%s: %w; see %s", s.command(), err, log)
		}
		if err := all.read(&out, log); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (all samples) read(r io.Reader, name string) error {
	in := benchfmt.NewReader(r, name)
	for in.Scan() {
		switch rec := in.Result().(type) {
		case *benchfmt.SyntaxError:
			return rec
		case *benchfmt.Result:
			bench := strings.TrimPrefix(string(rec.Name), "Benchmark")
			if all[bench] == nil {
				all[bench] = map[string][]float64{}
			}
			for _, v := range rec.Values {
				unit, value := v.Unit, v.Value
				if v.OrigUnit != "" {
					unit, value = v.OrigUnit, v.OrigValue
				}
				all[bench][unit] = append(all[bench][unit], value)
			}
		}
	}
	return in.Err()
}

// of returns a benchmark's samples in one unit.
func (all samples) of(bench, unit string) ([]float64, error) {
	if v := all[bench][unit]; len(v) > 0 {
		return v, nil
	}
	return nil, fmt.Errorf("benchmark %s has no %s", bench, unit)
}
