// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"virtbinder/internal/jsonfile"
	"virtbinder/internal/lab"
)

// paths are where things are, from the top of the source tree.
const (
	resultPath   = "build/bench.json"
	logDir       = "build/bench"
	pagePath     = "docs/performance.md"
	baselinePath = "internal/bench/baseline.json"
)

// RunCmd measures and leaves build/bench.json.
type RunCmd struct {
	Only []string `default:"core,device,guest,call" enum:"core,device,guest,call,boot" sep:"," help:"What to measure: core (with scale), device, guest, call (what one is made of), boot. The rest of build/bench.json stays."`
}

// Run runs it.
func (c *RunCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	result := new(Result)
	path := filepath.Join(top, resultPath)
	if err := jsonfile.Read(path, result); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	result.Machine = machine()
	for _, part := range c.Only {
		err := measure(ctx, top, part, result)
		if err != nil {
			err = fmt.Errorf("%s: %w", part, err)
		}
		if err := errors.Join(err, jsonfile.Write(path, result)); err != nil {
			return err
		}
	}
	for _, s := range sections {
		fmt.Printf("%s\n\n%s\n", s, result.table(s))
	}
	fmt.Println(path)
	return nil
}

// measure measures a part. What it has measured counts, even if it fails with the rest.
func measure(ctx context.Context, top, part string, to *Result) error {
	dir := filepath.Join(top, logDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var figures []Figure
	var err error
	switch part {
	case "core":
		figures, err = native(ctx, top, dir, coreSuite, coreFigures)
	case "device":
		figures, err = native(ctx, top, dir, deviceSuite, deviceFigures)
	case "guest":
		figures, err = guests(ctx, top, filepath.Join(dir, "guest"), false)
	case "call":
		figures, err = guests(ctx, top, filepath.Join(dir, "breakdown"), true)
	case "boot":
		figures, err = boots(ctx, top, dir)
	}
	to.replace(figures)
	return err
}

// machine says what was measured on.
func machine() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	model := "unknown processor"
	for line := range strings.Lines(string(text)) {
		if name, is := strings.CutPrefix(line, "model name\t: "); is {
			model = strings.TrimSpace(name)
			break
		}
	}
	where := "the nested lab (QEMU's TCG)"
	if lab.Usable().Direct {
		where = "this machine's KVM"
	}
	return fmt.Sprintf("%s, %d processors; guests in %s", model, runtime.NumCPU(), where)
}

// TableCmd puts the figures into docs/performance.md.
type TableCmd struct{}

// Run runs it.
func (TableCmd) Run() error {
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	result := new(Result)
	if err := jsonfile.Read(filepath.Join(top, resultPath), result); err != nil {
		return fmt.Errorf("%w; run `make bench`", err)
	}
	return result.show(filepath.Join(top, pagePath))
}

// CheckCmd compares with the baseline.
type CheckCmd struct{}

// Run runs it.
func (CheckCmd) Run() error {
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	var now, baseline Result
	if err := errors.Join(jsonfile.Read(filepath.Join(top, resultPath), &now), jsonfile.Read(filepath.Join(top, baselinePath), &baseline)); err != nil {
		return err
	}
	n, list := worse(&now, &baseline)
	for _, line := range list {
		fmt.Println("worse:", line)
	}
	if len(list) > 0 {
		return fmt.Errorf("%d of %d figures are worse than %s allows", len(list), n, baselinePath)
	}
	if n == 0 {
		return fmt.Errorf("nothing in %s can be compared with %s", resultPath, baselinePath)
	}
	fmt.Printf("none of %d figures is worse than %s allows\n", n, baselinePath)
	return nil
}

// runInLab runs this program's part on the lab's host.
func runInLab(ctx context.Context, c lab.Config) error {
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	code, err := lab.Run(ctx, c)
	if err == nil && code != 0 {
		err = fmt.Errorf("in the lab it ended with exit code %d: see above", code)
	}
	return err
}
