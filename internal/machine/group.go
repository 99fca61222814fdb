// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"fmt"
	"io"
	"sync"

	"virtbinder/internal/config"
	"virtbinder/internal/logs"
	"virtbinder/vmm"
)

// Host is what a process gives to its machines.
type Host struct {
	Logs      *logs.Logs
	In        io.Reader    // what the console that leads to stdio reads
	Out       io.Writer    // and writes
	EnterVCPU func() error // vmm.Config's
}

// Group is the machines of one process. New makes them, Run runs them, Close frees
// them.
type Group struct {
	machines []*Machine
}

// End is how one machine ended.
type End struct {
	VM   string
	Exit vmm.Exit
	Err  error // non-nil exactly with vmm.Failed
}

// New makes the machines of c, which was resolved, with everything open and nothing
// running.
func New(c config.Config, host Host) (*Group, error) {
	g := &Group{}
	for _, vm := range c.VMs {
		m, err := newMachine(vm, c.Core, host)
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("VM %s: %w", vm.Name, err)
		}
		g.machines = append(g.machines, m)
	}
	return g, nil
}

// Dirs lists the machines' runtime directories.
func (g *Group) Dirs() []string {
	dirs := make([]string, len(g.machines))
	for i, m := range g.machines {
		dirs[i] = m.dir.path
	}
	return dirs
}

// Run runs the machines until each has ended; the end of ctx ends them. The answer is
// in the order of the configuration.
func (g *Group) Run(ctx context.Context) []End {
	ends := make([]End, len(g.machines))
	var all sync.WaitGroup
	for i, m := range g.machines {
		all.Go(func() {
			exit, err := m.run(ctx)
			ends[i] = End{VM: m.cfg.Name, Exit: exit, Err: err}
			m.close() // not only when the last one has ended
		})
	}
	all.Wait()
	return ends
}

// Close frees the machines that did not run, and gives their names back.
func (g *Group) Close() {
	for _, m := range g.machines {
		m.close()
	}
}
