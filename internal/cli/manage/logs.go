// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"virtbinder/internal/rundir"
)

// LogsCmd is `virtbinder logs`.
type LogsCmd struct {
	Name   string `arg:"" help:"Name of the VM. It need not run any more."`
	VMM    bool   `name:"vmm" help:"The VMM's own log, not the guest's serial console."`
	HVC    *int   `name:"hvc" placeholder:"N" help:"A virtio console, from 0."`
	Follow bool   `short:"f" help:"Go on with what is added, until the VM's end."`
	JSON   bool   `name:"json" help:"Print each line as a JSON document: vm, log, line."`

	Stdout io.Writer `kong:"-"` // os.Stdout if nil
}

// Help is shown with --help.
func (LogsCmd) Help() string {
	return `Each is kept from its first byte on, up to 64 MiB, until the next VM of that name.

Examples:

  virtbinder logs android                    what the guest printed on its serial console
  virtbinder logs android -f
  virtbinder logs android --hvc 0            and on its first virtio console
  virtbinder logs android --vmm              what virtbinder logged of it`
}

// lookAgain is how long it takes at most until something that was added is shown.
const lookAgain = 200 * time.Millisecond

// Run prints the log.
func (c *LogsCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := c.find()
	if err != nil {
		return err
	}
	file, err := c.file()
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("VM %s has no %s", c.Name, file)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	out := stdout(c.Stdout)
	if c.JSON {
		lines := &jsonLines{out: out, vm: c.Name, log: file}
		defer lines.flush()
		out = lines
	}
	return c.copy(ctx, out, f, dir)
}

// copy copies what is there and, if it is to, what comes.
func (c *LogsCmd) copy(ctx context.Context, out io.Writer, f *os.File, dir string) error {
	for {
		vm, err := rundir.Look(dir) // before reading: what a VM that has ended wrote is there
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, f); err != nil {
			return err
		}
		if !c.Follow || vm.State != rundir.Running {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookAgain):
		}
	}
}

func (c *LogsCmd) file() (string, error) {
	switch {
	case c.VMM && c.HVC != nil:
		return "", errors.New("--vmm and --hvc: give one of them")
	case c.VMM:
		return rundir.VMMLog, nil
	case c.HVC != nil && *c.HVC < 0:
		return "", fmt.Errorf("--hvc %d: the first is 0", *c.HVC)
	case c.HVC != nil:
		return rundir.HVCLog(*c.HVC), nil
	}
	return rundir.ConsoleLog, nil
}

// find is the directory of the VM.
func (c *LogsCmd) find() (string, error) {
	if err := rundir.CheckName(c.Name); err != nil {
		return "", err
	}
	all, err := rundir.All()
	if err != nil {
		return "", err
	}
	for _, vm := range all {
		if vm.Name == c.Name {
			return vm.Dir, nil
		}
	}
	return "", fmt.Errorf("there are no logs of a VM %q: virtbinder list --all shows whose there are", c.Name)
}

// jsonLines makes a document of each line.
type jsonLines struct {
	out     io.Writer
	vm, log string
	rest    []byte
}

// Write takes text.
func (j *jsonLines) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != '\n' {
			j.rest = append(j.rest, b)
			continue
		}
		if err := j.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (j *jsonLines) flush() error {
	if len(j.rest) == 0 {
		return nil
	}
	line := string(j.rest)
	j.rest = j.rest[:0]
	return json.NewEncoder(j.out).Encode(struct {
		VM   string `json:"vm"`
		Log  string `json:"log"`
		Line string `json:"line"`
	}{j.vm, j.log, line})
}
