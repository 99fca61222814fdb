// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"virtbinder/driver/bindertest"
	"virtbinder/internal/jsonfile"
	"virtbinder/internal/lab"
	"virtbinder/internal/signals"
)

// common is what both commands have.
type common struct {
	Guests []string `default:"6.12,6.1" help:"Kernels of the guests (default ${default})."`
	Inside bool     `hidden:"" help:"This is the host that runs the guests."`
}

// RunCmd compares the scenarios.
type RunCmd struct {
	common
	Only    string `placeholder:"REGEXP" help:"Scenarios to run, all if not given."`
	Goldens bool   `help:"Keep the stock driver's transcripts in driver/bindertest/testdata."`
}

// RandomCmd compares random programs.
type RandomCmd struct {
	common
	Seeds uint64 `default:"1000" help:"How many programs (default ${default})."`
	Seed  uint64 `default:"1" help:"Seed of the first (default ${default})."`
}

// Run returns an error if there is a difference that nobody meant.
func (c *RunCmd) Run() error {
	if c.Goldens && c.Only != "" {
		return errors.New("--goldens replaces all transcripts: it does not go with --only")
	}
	return c.start(c.inside, []string{"run", "--only", c.Only}, c.report)
}

// inside runs one kernel on this host and leaves its results in files.
func (c *RunCmd) inside(ctx context.Context, r *inside) error {
	w := &scenarios{say: r.say, series: r.series, only: c.Only, goldens: map[string]string{}, ours: map[string]string{}}
	err := r.run(ctx, w)
	r.summary(&w.results)
	return errors.Join(err, jsonfile.Write(filepath.Join(r.dir, resultFile), w.results),
		bindertest.Record(filepath.Join(r.dir, goldenDir), w.goldens), bindertest.Record(filepath.Join(r.dir, ours), w.ours))
}

// report merges the results of all kernels.
func (c *RunCmd) report(top string) error {
	all := Results{Scenarios: []Outcome{}}
	for _, series := range c.Guests {
		var one Results
		if err := jsonfile.Read(filepath.Join(outDir(top, series), resultFile), &one); err != nil {
			return err
		}
		all.Scenarios = append(all.Scenarios, one.Scenarios...)
		if c.Goldens {
			if err := keepGoldens(top, series); err != nil {
				return err
			}
		}
	}
	path := filepath.Join(top, "build", "oracle.json")
	if err := jsonfile.Write(path, all); err != nil {
		return err
	}
	fmt.Printf("\n%d comparisons: %d equal, %d different, %d n/a; see %s\n", len(all.Scenarios),
		all.Count(Equal), all.Count(Different), all.Count(NA), path)
	if failed := all.Failed(); len(failed) > 0 {
		return fmt.Errorf("%d differences that nobody meant:\n  %s", len(failed), strings.Join(failed, "\n  "))
	}
	return nil
}

// keepGoldens replaces the transcripts in the source tree that are of this kernel.
func keepGoldens(top, series string) error {
	to := filepath.Join(top, "driver", "bindertest", "testdata", "stock-"+series)
	return errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(filepath.Join(outDir(top, series), goldenDir))))
}

// Run returns an error if the drivers differ.
func (c *RandomCmd) Run() error {
	return c.start(c.inside, []string{"random", "--seeds", fmt.Sprint(c.Seeds), "--seed", fmt.Sprint(c.Seed)}, c.report)
}

func (c *RandomCmd) inside(ctx context.Context, r *inside) error {
	w := &programs{say: r.say, next: c.Seed, end: c.Seed + c.Seeds, said: time.Now(),
		results: RandomResults{Kernel: r.series, First: c.Seed, Unstable: []ProgramLine{}, Different: []ProgramLine{}}}
	err := r.run(ctx, w)
	w.progress()
	return errors.Join(err, jsonfile.Write(filepath.Join(r.dir, resultFile), w.results))
}

func (c *RandomCmd) report(top string) error {
	var all []RandomResults
	different := 0
	for _, series := range c.Guests {
		var one RandomResults
		if err := jsonfile.Read(filepath.Join(outDir(top, series), resultFile), &one); err != nil {
			return err
		}
		all = append(all, one)
		different += len(one.Different)
	}
	path := filepath.Join(top, "build", "oracle-random.json")
	if err := jsonfile.Write(path, all); err != nil {
		return err
	}
	if different > 0 {
		return fmt.Errorf("%d programs differ; see %s", different, path)
	}
	return nil
}

// start has inside run for each kernel, here or in a lab of its own, and then report.
// args is this program's command line.
func (c *common) start(inside func(context.Context, *inside) error, args []string, report func(top string) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), signals.Ending()...)
	defer stop()
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	if c.Inside {
		return inside(ctx, newInside(top, c.Guests[0]))
	}
	var wg sync.WaitGroup
	errs := make([]error, len(c.Guests))
	for i, series := range c.Guests {
		wg.Go(func() {
			dir := outDir(top, series)
			err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
			switch {
			case err != nil:
			case lab.Usable().Direct:
				err = inside(ctx, newInside(top, series))
			default:
				err = nested(ctx, top, series, args)
			}
			if err != nil {
				errs[i] = fmt.Errorf("guest %s: %w", series, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return report(top)
}

func newInside(top, series string) *inside {
	return &inside{
		say: &say{w: os.Stdout, kernel: series, begun: time.Now()},
		top: top, series: series, dir: outDir(top, series),
	}
}

func outDir(top, series string) string { return filepath.Join(top, "build", "oracle", series) }

// nested runs this program on the lab's host.
func nested(ctx context.Context, top, series string, args []string) error {
	args = append([]string{filepath.Join(top, "build", "oracle", "oracle")}, append(args, "--inside", "--guests", series)...)
	l, err := lab.Start(context.WithoutCancel(ctx), lab.Config{Top: top, Args: args, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Signal(syscall.SIGTERM) })()
	code, err := l.Wait()
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d; logs are in %s", code, outDir(top, series))
	}
	return err
}
