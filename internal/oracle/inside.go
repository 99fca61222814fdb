// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"virtbinder/guest/agentclient"
)

// Names of the files in the output directory of one kernel.
const (
	consoleFile = "guest-console.log"
	initrdFile  = "initrd.cpio"
	resultFile  = "result.json"
	goldenDir   = "golden"
)

const (
	silence  = 3 * time.Minute // a part in the guest that says nothing for so long is stuck
	maxBoots = 12              // a guest that dies more often is not worth another try
)

// inside is the part on the host: one guest kernel.
type inside struct {
	*say
	top, series, dir string
	only             string

	results Results
	done    []string // scenarios not to run again
	current Line     // what the guest's part has begun
	theirs  map[string]Line
	ended   bool
}

// run runs everything on one kernel; what it finds is in results.
func (r *inside) run(ctx context.Context) error {
	initrd := filepath.Join(r.dir, initrdFile)
	err := writeInitrd(initrd, filepath.Join(r.top, "build", "guest", r.series, "overlay.cpio"), map[string]string{
		"oracle": filepath.Join(r.top, "build", "oracle", "oracle"),
		"puppet": filepath.Join(r.top, "build", "oracle", "puppet"),
	})
	if err != nil {
		return err
	}
	defer os.Remove(initrd)
	for boots := 0; !r.ended; boots++ {
		if boots == maxBoots {
			return fmt.Errorf("the guest has died %d times; that is enough", boots)
		}
		before := len(r.done)
		err := r.once(ctx, initrd)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && len(r.done) == before {
			return fmt.Errorf("%w\n%s", err, tail(filepath.Join(r.dir, consoleFile), 20))
		}
	}
	return nil
}

// once boots a guest and runs what is left in it. If it dies, the scenario that ran
// is to blame.
func (r *inside) once(ctx context.Context, initrd string) error {
	m, err := boot(ctx, r.top, r.series, initrd, r.dir)
	if err != nil {
		return err
	}
	defer m.stop()
	r.booted(m.Info().Kernel)
	err = r.listen(ctx, m)
	if r.current.Begin && ctx.Err() == nil {
		why := fmt.Sprintf("the guest was lost in it, on %s: %v\n%s", r.current.System, err, tail(filepath.Join(r.dir, consoleFile), 30))
		r.add(Outcome{Name: r.current.Scenario, Kernel: r.series, Result: Different, Why: why})
	}
	return err
}

// listen runs the guest's part and takes in what it says.
func (r *inside) listen(ctx context.Context, m *machine) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(silence, func() { cancel(fmt.Errorf("it has been silent for %v", silence)) })
	defer stuck.Stop()

	args := []string{"guest", "/puppet", "--only", r.only}
	if len(r.done) > 0 {
		args = append(args, "--skip", strings.Join(r.done, ","))
	}
	out, w := io.Pipe()
	var errs strings.Builder
	go func() {
		exit, err := m.Exec(ctx, agentclient.Cmd{Path: "/oracle", Args: args, Stdout: w, Stderr: &errs})
		if err == nil && exit != 0 {
			err = fmt.Errorf("exit code %d: %s", exit, strings.TrimSpace(errs.String()))
		}
		w.CloseWithError(err)
	}()
	err := readLines(out, func(l Line) {
		stuck.Reset(silence)
		r.take(l)
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err == nil && !r.ended {
		err = errors.New("the guest's part ended early")
	}
	return err
}

// take takes one line in.
func (r *inside) take(l Line) {
	switch {
	case l.End:
		r.ended = true
	case l.NA != "":
		r.add(Outcome{Name: l.Scenario, Kernel: r.series, Result: NA, Why: l.NA})
	case l.Begin:
		r.current = l
	case l.System == ours:
		r.theirs[l.Scenario] = l
	default:
		r.compare(r.theirs[l.Scenario], l)
		delete(r.theirs, l.Scenario)
	}
}

// compare judges a scenario that both have run.
func (r *inside) compare(our, their Line) {
	o := judge(their.Scenario, r.series, their.Transcript, our.Transcript)
	for _, l := range []Line{our, their} {
		if l.Error != "" {
			o.Result = Different
			o.Why += fmt.Sprintf("%s: %s\n", l.System, l.Error)
		}
	}
	r.add(o)
}

// add records an outcome.
func (r *inside) add(o Outcome) {
	r.current = Line{}
	r.done = append(r.done, o.Name)
	r.results.Scenarios = append(r.results.Scenarios, o)
	r.outcome(&o)
}

// saveGoldens writes the stock driver's transcripts, a file for each.
func (r *inside) saveGoldens() error {
	for _, o := range r.results.Scenarios {
		if o.Golden == "" {
			continue
		}
		path := filepath.Join(r.dir, goldenDir, o.Name+".txt")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(o.Golden), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// tail returns the last lines of a file, indented.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(strings.ReplaceAll(string(b), "\r", ""), "\n"), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}
