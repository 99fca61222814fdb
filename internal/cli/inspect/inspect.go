// SPDX-License-Identifier: Apache-2.0

// Package inspect is `virtbinder state`, `stats` and `log`: what a running VM's
// binder core has, counted and did, in the text of the kernel driver's files under
// binder_logs or as the JSON of package api.
package inspect

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"

	"virtbinder/driver"
	"virtbinder/internal/api"
)

// target is what the commands have in common.
type target struct {
	Name string `arg:"" optional:"" help:"Name of the VM; the only one that runs if not given."`
	JSON bool   `name:"json" help:"Print JSON: the document of GET /v1/binder/... on the VM's api.sock."`

	Stdout io.Writer `kong:"-"` // os.Stdout if nil
}

// show asks for doc and prints it, as text unless JSON is wanted.
func (t *target) show(path string, query url.Values, doc any, text func() []byte) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := api.Find(t.Name)
	if err != nil {
		return err
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	if err := client.Get(ctx, path, doc); err != nil {
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
	_, err = out.Write(text())
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
	query := url.Values{}
	if c.Proc != 0 {
		query.Set("pid", strconv.FormatUint(uint64(c.Proc), 10))
	}
	title := "binder state:\n"
	if c.Transactions {
		query.Set("transactions", "1")
		title = "binder transactions:\n"
	}
	var doc api.State
	return c.show("binder/state", query, &doc, func() []byte {
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
	var doc api.Stats
	return c.show("binder/stats", nil, &doc, func() []byte {
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
	query := url.Values{}
	if c.Failed {
		query.Set("failed", "1")
	}
	var doc api.Log
	return c.show("binder/log", query, &doc, func() (b []byte) {
		for i := range doc.Transactions {
			b = doc.Transactions[i].AppendText(b)
		}
		return b
	})
}
