// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"

	"virtbinder/internal/jsonfile"
	"virtbinder/internal/lab"
	"virtbinder/internal/signals"
)

// Cmd is the command line.
type Cmd struct {
	Only   string `default:"." placeholder:"REGEXP" help:"Run only programs whose names match."`
	Guests string `default:"." placeholder:"REGEXP" help:"Run only in guests whose names match: KERNEL-LSM, as in 6.12-apparmor."`
	Tests  string `placeholder:"FILTER" help:"Run only these tests of gtest programs: gtest's own filter, which may have wildcards."`
	Brief  bool   `help:"Everything in the first guest only, what takes long left out of the others, no figures."`
	Out    string `type:"path" placeholder:"FILE" help:"Where the result goes (default build/aosp.json); logs go beside it, into a directory of that name."`
	Inside string `hidden:"" help:"Be the process beside the guest, for this run."`
}

// runs are the guests that were asked for and what is run in each, those in which the
// stock driver can serve first.
func (c *Cmd) runs() ([]run, error) {
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return nil, fmt.Errorf("--only: %w", err)
	}
	guests, err := regexp.Compile(c.Guests)
	if err != nil {
		return nil, fmt.Errorf("--guests: %w", err)
	}
	var list []run
	for _, r := range []run{
		{Guest: "6.12", LSM: "selinux", Figures: !c.Brief && c.Tests == ""},
		{Guest: "6.12", LSM: "apparmor"},
		{Guest: "6.1", LSM: "selinux"},
	} {
		if guests.MatchString(r.name()) {
			r.Programs = choose(only, c.Tests, c.Brief && len(list) > 0)
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("--guests: there is no guest %q", c.Guests)
	}
	if len(list[0].Programs) == 0 {
		return nil, fmt.Errorf("--only: there is no program %q", c.Only)
	}
	return list, nil
}

// ErrWorse says that virtbinder fails what the stock driver passes.
var ErrWorse = errors.New("virtbinder is not as good as the stock driver, or not everything could be compared")

// Run runs everything and leaves the result.
func (c *Cmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), signals.Ending()...)
	defer stop()
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	runs, err := c.runs()
	if err != nil {
		return err
	}
	if c.Out == "" {
		c.Out = filepath.Join(top, "build", "aosp.json")
	}
	if c.Inside != "" {
		return c.inside(ctx, top, runs)
	}
	result, err := c.all(ctx, top, runs, os.Stdout)
	if err != nil {
		return err
	}
	if err := jsonfile.Write(c.Out, result); err != nil {
		return err
	}
	fmt.Printf("\n%s\n%s\n", result.Table(), c.Out)
	for _, e := range result.Errors {
		fmt.Println("error:", e)
	}
	if !result.Passed {
		return ErrWorse
	}
	return nil
}

// dir is where a run's logs go.
func (c *Cmd) dir(r run) string {
	return filepath.Join(c.Out[:len(c.Out)-len(filepath.Ext(c.Out))], r.name())
}

const rawFile = "raw.json"

// all does the runs one after the other and compares. A run that breaks off is an
// error in the result, not the end.
func (c *Cmd) all(ctx context.Context, top string, runs []run, progress io.Writer) (*Result, error) {
	var raws []*raw
	var broken []string
	direct := lab.Usable().Direct
	for _, r := range runs {
		out := c.dir(r)
		if err := os.RemoveAll(out); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(out, 0o755); err != nil {
			return nil, err
		}
		var got *raw
		var err error
		if direct {
			got, err = r.inGuest(ctx, top, out, progress)
		} else {
			got, err = c.inLab(ctx, r, progress)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			broken = append(broken, fmt.Sprintf("guest %s, %s: %v; logs are in %s", r.Guest, r.LSM, err, out))
			continue
		}
		raws = append(raws, got)
	}
	result := compare(raws)
	result.Errors = append(result.Errors, broken...)
	result.judge()
	return result, nil
}

// inLab does a run in a nested lab of its own.
func (c *Cmd) inLab(ctx context.Context, r run, progress io.Writer) (*raw, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{exe, "--inside", r.name(), "--only", c.Only, "--guests", c.Guests, "--tests", c.Tests, "--out", c.Out}
	if c.Brief {
		args = append(args, "--brief")
	}
	exit, err := lab.Run(ctx, lab.Config{Args: args, Memory: 3072, Stdout: progress, Stderr: progress})
	if err != nil {
		return nil, err
	}
	if exit != 0 {
		return nil, fmt.Errorf("exit code %d", exit)
	}
	got := new(raw)
	return got, jsonfile.Read(filepath.Join(c.dir(r), rawFile), got)
}

// inside is the process beside the guest.
func (c *Cmd) inside(ctx context.Context, top string, runs []run) error {
	for _, r := range runs {
		if r.name() != c.Inside {
			continue
		}
		got, err := r.inGuest(ctx, top, c.dir(r), os.Stdout)
		if err != nil {
			return err
		}
		return jsonfile.Write(filepath.Join(c.dir(r), rawFile), got)
	}
	return fmt.Errorf("--inside: there is no run %q", c.Inside)
}
