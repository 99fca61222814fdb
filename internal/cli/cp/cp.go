// SPDX-License-Identifier: Apache-2.0

// Package cp is the command `virtbinder cp`: it copies files and directories between
// the host and a running VM, by the VM's agent.
package cp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"virtbinder/guest/agentclient"
	"virtbinder/guest/treecopy"
	"virtbinder/internal/rundir"
)

// Cmd copies.
type Cmd struct {
	From string `arg:"" help:"What to copy: a path of the host, or NAME:/PATH in a VM."`
	To   string `arg:"" help:"Where to: the other of the two. Into it, if it is a directory."`
	JSON bool   `name:"json" help:"Print how much was copied as JSON."`

	Stdout io.Writer `kong:"-"` // os.Stdout if nil
}

// Help is shown with --help.
func (Cmd) Help() string {
	return `Directories are copied with all below them. Modes (rwx) are kept, links are copied as links, owners are not kept:
what arrives in the guest is root's. Devices, pipes and sockets are left out and named. In the guest a path begins
with a slash; on the host one with a colon needs ./ before it.

Examples:

  virtbinder cp test.apk android:/data/local/tmp/
  virtbinder cp android:/data/anr ./anr
  virtbinder cp ./suite android:/tmp --json | jq .bytes`
}

// Run copies.
func (c *Cmd) Run() error {
	fromVM, fromPath := split(c.From)
	toVM, toPath := split(c.To)
	switch {
	case fromVM == "" && toVM == "":
		return errors.New("both are on the host: name a VM, as android:/tmp")
	case fromVM != "" && toVM != "":
		return errors.New("both are in a VM: copy to the host first")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	vm := fromVM + toVM
	agent, err := reach(ctx, vm)
	if err != nil {
		return fmt.Errorf("VM %q: %w", vm, err)
	}
	var s treecopy.Summary
	if toVM != "" {
		s, err = agent.CopyTo(ctx, fromPath, toPath)
	} else {
		s, err = agent.CopyFrom(ctx, fromPath, toPath)
	}
	if err != nil {
		return fmt.Errorf("VM %q: %w", vm, err)
	}
	return c.print(s)
}

// split parts NAME:/PATH; a path of the host has no name.
func split(arg string) (vm, path string) {
	vm, path, ok := strings.Cut(arg, ":")
	if !ok || strings.Contains(vm, "/") {
		return "", arg
	}
	return vm, path
}

func reach(ctx context.Context, vm string) (*agentclient.Client, error) {
	if err := rundir.CheckName(vm); err != nil {
		return nil, err
	}
	all, err := rundir.All()
	if err != nil {
		return nil, err
	}
	for _, found := range all {
		if found.Name == vm && found.State == rundir.Running {
			return agentclient.Connect(ctx, filepath.Join(found.Dir, rundir.VsockSocket))
		}
	}
	return nil, errors.New("it does not run; virtbinder list shows what does")
}

func (c *Cmd) print(s treecopy.Summary) error {
	out := c.Stdout
	if out == nil {
		out = os.Stdout
	}
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(s)
	}
	for _, name := range s.Skipped {
		fmt.Fprintf(os.Stderr, "left out: %s\n", name)
	}
	_, err := fmt.Fprintf(out, "%d files, %d bytes\n", s.Files, s.Bytes)
	return err
}
