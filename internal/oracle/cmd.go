// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"virtbinder/internal/lab"
)

// RunCmd runs the comparison.
type RunCmd struct {
	Guests  []string `default:"6.12,6.1" help:"Kernels of the guests (default ${default})."`
	Only    string   `placeholder:"REGEXP" help:"Scenarios to run, all if not given."`
	Goldens bool     `help:"Keep the stock driver's transcripts in driver/bindertest/testdata."`
	Inside  bool     `hidden:"" help:"This is the host that runs the guests."`
}

// Run returns an error if there is a difference that nobody meant.
func (c *RunCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	if c.Inside {
		return c.inside(ctx, top, c.Guests[0])
	}
	results, err := c.kernels(ctx, top)
	if err != nil {
		return err
	}
	path := filepath.Join(top, "build", "oracle.json")
	if err := results.Write(path); err != nil {
		return err
	}
	fmt.Printf("\n%d comparisons: %d equal, %d different, %d n/a; see %s\n", len(results.Scenarios),
		results.Count("", Equal), results.Count("", Different), results.Count("", NA), path)
	if failed := results.Failed(); len(failed) > 0 {
		return fmt.Errorf("%d differences that nobody meant:\n  %s", len(failed), strings.Join(failed, "\n  "))
	}
	return nil
}

// kernels runs each kernel in a lab of its own, at once, and collects the results.
func (c *RunCmd) kernels(ctx context.Context, top string) (*Results, error) {
	var wg sync.WaitGroup
	parts := make([]Results, len(c.Guests))
	errs := make([]error, len(c.Guests))
	for i, series := range c.Guests {
		wg.Go(func() { parts[i], errs[i] = c.kernel(ctx, top, series) })
	}
	wg.Wait()
	all := &Results{}
	for _, p := range parts {
		all.Scenarios = append(all.Scenarios, p.Scenarios...)
	}
	return all, errors.Join(errs...)
}

// kernel runs one kernel, here or in the lab.
func (c *RunCmd) kernel(ctx context.Context, top, series string) (results Results, err error) {
	dir := outDir(top, series)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return results, err
	}
	if lab.Usable().Direct {
		err = c.inside(ctx, top, series)
	} else {
		err = c.nested(ctx, top, series)
	}
	if err != nil {
		return results, fmt.Errorf("guest %s: %w", series, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, resultFile))
	if err == nil {
		err = json.Unmarshal(b, &results)
	}
	if err == nil && c.Goldens {
		err = keepGoldens(top, series)
	}
	return results, err
}

func outDir(top, series string) string { return filepath.Join(top, "build", "oracle", series) }

// nested runs this program on the lab's host.
func (c *RunCmd) nested(ctx context.Context, top, series string) error {
	args := []string{filepath.Join(top, "build", "oracle", "oracle"), "run", "--inside", "--guests", series, "--only", c.Only}
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

// inside runs one kernel on this host and leaves its results in a file.
func (c *RunCmd) inside(ctx context.Context, top, series string) error {
	r := &inside{
		say: &say{w: os.Stdout, kernel: series, begun: time.Now()},
		top: top, series: series, dir: outDir(top, series), only: c.Only, theirs: map[string]Line{},
	}
	err := r.run(ctx)
	r.summary(&r.results)
	return errors.Join(err, r.results.Write(filepath.Join(r.dir, resultFile)), r.saveGoldens())
}
