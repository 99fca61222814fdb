// SPDX-License-Identifier: Apache-2.0

// Package inspect is `virtbinder state`, `stats` and `log`: what a running VM's
// binder core has, counted and did, in the text of the kernel driver's files under
// binder_logs or as the JSON of package vmm/api.
package inspect

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/signal"

	"virtbinder/driver"
	"virtbinder/vmm/api"
)

// target is what the commands have in common.
type target struct {
	Name string `arg:"" optional:"" help:"Name of the VM; the only one that runs if not given."`
	JSON bool   `name:"json" help:"Print JSON: the document of GET /v1/binder/... on the VM's api.sock."`

	Stdout io.Writer `kong:"-"` // os.Stdout if nil
}

// show prints what ask gets from the VM, as text unless JSON is wanted.
func show[T any](t *target, ask func(context.Context, *api.Client) (T, error), text func(*T) []byte) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := api.Find(t.Name)
	if err != nil {
		return err
	}
	doc, err := ask(ctx, client)
	if err != nil {
		return err
	}
	out := t.Stdout
	if out == nil {
		out = os.Stdout
	}
	if t.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(doc)
	}
	_, err = out.Write(text(&doc))
	return err
}

// StateCmd is `virtbinder state`.
type StateCmd struct {
	target
	Proc         uint32 `placeholder:"PID" help:"Only this process of the guest."`
	Transactions bool   `help:"Only what has to do with transactions on their way."`
}

// Help is shown with --help.
func (StateCmd) Help() string {
	return `Examples:

  virtbinder state                          of the VM that runs
  virtbinder state android --proc 312       one process of it
  virtbinder state android --transactions   who waits for whom
  virtbinder state --json | jq '.processes[] | {pid, context, nodes: (.nodes | length)}'`
}

// Run prints the state.
func (c *StateCmd) Run() error {
	title := "binder state:\n"
	if c.Transactions {
		title = "binder transactions:\n"
	}
	return show(&c.target, func(ctx context.Context, client *api.Client) (api.BinderState, error) {
		return client.BinderState(ctx, api.StateQuery{PID: c.Proc, Transactions: c.Transactions})
	}, func(doc *api.BinderState) []byte {
		b := driver.AppendDeadNodes([]byte(title), doc.DeadNodes)
		for i := range doc.Processes {
			b = doc.Processes[i].AppendText(b)
		}
		return b
	})
}

// StatsCmd is `virtbinder stats`.
type StatsCmd struct {
	target
}

// Help is shown with --help.
func (StatsCmd) Help() string {
	return `Examples:

  virtbinder stats android
  virtbinder stats --json | jq .objects`
}

// Run prints the counts.
func (c *StatsCmd) Run() error {
	return show(&c.target, func(ctx context.Context, client *api.Client) (api.BinderStats, error) {
		return client.BinderStats(ctx)
	}, func(doc *api.BinderStats) []byte {
		b := driver.AppendStats([]byte("binder stats:\n"), "", doc.Traffic, doc.Objects)
		for i := range doc.Processes {
			b = doc.Processes[i].AppendText(b)
		}
		return b
	})
}

// LogCmd is `virtbinder log`.
type LogCmd struct {
	target
	Failed bool `help:"Only transactions that failed; the last 32 of them are kept apart."`
}

// Help is shown with --help.
func (LogCmd) Help() string {
	return `The last 32 transactions, oldest first. To see failures as they happen: virtbinder monitor.

Examples:

  virtbinder log android
  virtbinder log android --failed
  virtbinder log --json | jq '.transactions[] | select(.data_size > 4096)'`
}

// Run prints the log.
func (c *LogCmd) Run() error {
	return show(&c.target, func(ctx context.Context, client *api.Client) (api.BinderLog, error) {
		return client.BinderLog(ctx, c.Failed)
	}, func(doc *api.BinderLog) (b []byte) {
		for i := range doc.Transactions {
			b = doc.Transactions[i].AppendText(b)
		}
		return b
	})
}
