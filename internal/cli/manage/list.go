// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"virtbinder/internal/rundir"
	"virtbinder/vmm/api"
)

// ListCmd is `virtbinder list`.
type ListCmd struct {
	All  bool `short:"a" help:"Also VMs that have ended and whose logs are still there."`
	JSON bool `name:"json" help:"Print a JSON array."`

	Stdout io.Writer `kong:"-"` // os.Stdout if nil
}

// Help is shown with --help.
func (ListCmd) Help() string {
	return `States: created, running, paused; stale, its process was killed and left its files behind, which the next boot of
that name clears away; ended, with --all; unknown, it runs and does not answer (another user's, or stuck).

Examples:

  virtbinder list
  virtbinder list --all
  virtbinder list --json | jq -r '.[] | select(.state == "running") | .name'`
}

// entry is one line of the list.
type entry struct {
	Name  string  `json:"name"`
	State string  `json:"state"`
	PID   int     `json:"pid,omitempty"`
	Dir   string  `json:"dir"`
	VM    *api.VM `json:"vm,omitempty"`    // what it says of itself
	Error string  `json:"error,omitempty"` // why it does not
}

// answerTime bounds how long a VM may take to say what it is.
const answerTime = 5 * time.Second

// Run prints the list.
func (c *ListCmd) Run() error {
	found, err := rundir.All()
	if err != nil {
		return err
	}
	list := []entry{}
	for _, f := range found {
		if f.State != rundir.Ended || c.All {
			list = append(list, describe(f))
		}
	}
	if c.JSON {
		return printJSON(c.Stdout, list)
	}
	w := tabwriter.NewWriter(stdout(c.Stdout), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tPID\tCPUS\tMEMORY\tUP")
	for _, e := range list {
		fmt.Fprintln(w, e.line(time.Now()))
	}
	return w.Flush()
}

func describe(f rundir.Found) entry {
	e := entry{Name: f.Name, State: string(f.State), PID: f.PID, Dir: f.Dir}
	if f.State != rundir.Running {
		return e
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	vm, err := api.NewClient(f.Name, filepath.Join(f.Dir, rundir.APISocket)).VM(ctx)
	if err != nil {
		e.State, e.Error = "unknown", err.Error()
		return e
	}
	e.State, e.VM = string(vm.State), &vm
	return e
}

func (e *entry) line(now time.Time) string {
	pid := "-"
	if e.PID != 0 {
		pid = fmt.Sprint(e.PID)
	}
	if e.VM == nil {
		return fmt.Sprintf("%s\t%s\t%s\t-\t-\t-", e.Name, e.State, pid)
	}
	up := "-"
	if !e.VM.Begun.IsZero() {
		up = now.Sub(e.VM.Begun).Round(time.Second).String()
	}
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%d MiB\t%s", e.Name, e.State, pid, e.VM.CPUs, e.VM.Memory>>20, up)
}
