// SPDX-License-Identifier: Apache-2.0

// Package manage is what one does to running VMs: `virtbinder list`, `pause`,
// `resume`, `stop`, `console`, `logs` and `events`. All but list and logs ask the VM's
// API (package vmm/api).
package manage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"virtbinder/vmm/api"
)

// target is the VM that a command is about.
type target struct {
	Name string `arg:"" optional:"" help:"Name of the VM; the only one that runs if not given."`

	Stdout io.Writer `kong:"-"` // os.Stdout if nil
}

// reach finds the VM. The context ends with ctrl-c.
func (t *target) reach() (context.Context, context.CancelFunc, *api.Client, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	client, err := api.Find(t.Name)
	if err != nil {
		stop()
		return nil, nil, nil, err
	}
	return ctx, stop, client, nil
}

func stdout(w io.Writer) io.Writer {
	if w == nil {
		return os.Stdout
	}
	return w
}

func printJSON(w io.Writer, doc any) error {
	e := json.NewEncoder(stdout(w))
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// change is a command that changes what a VM does, and says what it does then.
type change struct {
	target
	JSON bool `name:"json" help:"Print what the VM is then, as GET /v1/vm on its api.sock has it."`
}

func (c *change) run(do func(*api.Client, context.Context) (api.VM, error)) error {
	ctx, stop, client, err := c.reach()
	if err != nil {
		return err
	}
	defer stop()
	vm, err := do(client, ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(c.Stdout, vm)
	}
	_, err = fmt.Fprintf(stdout(c.Stdout), "%s: %s\n", vm.Name, vm.State)
	return err
}

// PauseCmd is `virtbinder pause`.
type PauseCmd struct{ change }

// Help is shown with --help.
func (PauseCmd) Help() string {
	return `The VM's processors are taken out of the guest and held; the command returns when they are. Devices finish what
was begun. The guest's clock does not stand still.

Examples:

  virtbinder pause android
  virtbinder resume android`
}

// Run pauses the VM.
func (c *PauseCmd) Run() error { return c.run((*api.Client).Pause) }

// ResumeCmd is `virtbinder resume`.
type ResumeCmd struct{ change }

// Help is shown with --help.
func (ResumeCmd) Help() string {
	return `Examples:

  virtbinder resume android
  virtbinder resume android --json | jq -r .state`
}

// Run lets the VM go on.
func (c *ResumeCmd) Run() error { return c.run((*api.Client).Resume) }
