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
	silence  = 15 * time.Minute // a part in the guest that says nothing for so long is stuck
	maxBoots = 12               // a guest that dies more often is not worth another try
)

// work is what a guest is given to do: the scenarios, or random programs.
type work interface {
	// args is what the guest's part is to be told now, after all that was taken in.
	args() []string
	// take takes a line in; it reports true for the last one.
	take(Line) bool
	// lost blames what was running for the loss of the guest. It reports false if nothing was.
	lost(why string) bool
}

// inside is the part on the host: one guest kernel.
type inside struct {
	*say
	top, series, dir string
}

// run has the work done, in as many guests as it costs.
func (r *inside) run(ctx context.Context, w work) error {
	initrd := filepath.Join(r.dir, initrdFile)
	err := writeInitrd(initrd, filepath.Join(r.top, "build", "guest", r.series, "overlay.cpio"), map[string]string{
		"oracle": filepath.Join(r.top, "build", "oracle", "oracle"),
		"puppet": filepath.Join(r.top, "build", "oracle", "puppet"),
		"policy": filepath.Join(r.top, "build", "oracle", "policy"),
	})
	if err != nil {
		return err
	}
	defer os.Remove(initrd)
	for range maxBoots {
		err := r.once(ctx, initrd, w)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		console := tail(filepath.Join(r.dir, consoleFile), 30)
		if !w.lost(fmt.Sprintf("the guest was lost: %v\n%s", err, console)) {
			return fmt.Errorf("%w\n%s", err, console)
		}
	}
	return fmt.Errorf("the guest has died %d times; that is enough", maxBoots)
}

// once boots a guest and has what is left of the work done there.
func (r *inside) once(ctx context.Context, initrd string, w work) error {
	m, err := boot(ctx, r.top, r.series, initrd, r.dir)
	if err != nil {
		return err
	}
	defer m.stop()
	r.booted(m.Info().Kernel)
	return listen(ctx, m, w)
}

// listen runs the guest's part and takes in what it says.
func listen(ctx context.Context, m *machine, w work) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(silence, func() { cancel(fmt.Errorf("it has been silent for %v", silence)) })
	defer stuck.Stop()

	out, in := io.Pipe()
	var errs strings.Builder
	go func() {
		args := append([]string{"guest", "/puppet"}, w.args()...)
		exit, err := m.Exec(ctx, agentclient.Cmd{Path: "/oracle", Args: args, Stdout: in, Stderr: &errs})
		if err == nil && exit != 0 {
			err = fmt.Errorf("exit code %d: %s", exit, strings.TrimSpace(errs.String()))
		}
		in.CloseWithError(err)
	}()
	ended := false
	err := readLines(out, func(l Line) {
		stuck.Reset(silence)
		ended = w.take(l) || ended
	})
	switch cause := context.Cause(ctx); {
	case err != nil && cause != nil:
		return cause
	case err == nil && !ended:
		return errors.New("the guest's part ended early")
	}
	return err
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
