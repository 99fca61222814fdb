// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/internal/rundir"
	"virtbinder/vmm/api"
)

// StopCmd is `virtbinder stop`.
type StopCmd struct {
	target
	Force   bool           `short:"f" help:"End the VM, if it has not powered off in time, as pulling its plug would."`
	Timeout *time.Duration `placeholder:"TIME" help:"How long to wait for it to power off, as 30s; 0 waits for nothing. Its configuration's timeouts.stop if not given."`
	JSON    bool           `name:"json" help:"Print the event of its end, as on /v1/vm/events."`
}

// Help is shown with --help.
func (StopCmd) Help() string {
	return `The guest is asked to power off: its agent is, if one answers, else its power button is pressed. The command
returns when the VM has ended. A paused VM has to be resumed first, or ended with --force.

Exit codes: 0 the VM has ended; 1 it has not, or does not run.

Examples:

  virtbinder stop android
  virtbinder stop android --timeout 5s --force   at most five seconds
  virtbinder stop android --timeout 0s --force   at once`
}

// Run stops the VM.
func (c *StopCmd) Run() error {
	ctx, stop, client, err := c.reach()
	if err != nil {
		return err
	}
	defer stop()
	vm, err := client.VM(ctx)
	if err != nil {
		return err
	}
	ended, err := follow(ctx, client)
	if err != nil {
		return err
	}
	patience := time.Duration(vm.StopSeconds * float64(time.Second))
	if c.Timeout != nil {
		patience = *c.Timeout
	}
	if patience > 0 {
		err = ask(ctx, client, vm)
	}
	if err != nil && !c.Force {
		return err
	}
	if err == nil {
		if e, ok := await(ctx, ended, patience); ok {
			return c.finish(ctx, vm, e)
		}
	}
	if !c.Force || ctx.Err() != nil {
		return fmt.Errorf("VM %s still runs after %v: give it more time with --timeout, or end it with --force", vm.Name, patience)
	}
	if _, err := client.Stop(ctx, api.Stop{Force: true}); err != nil {
		return err
	}
	if e, ok := await(ctx, ended, lastTime); ok {
		return c.finish(ctx, vm, e)
	}
	return fmt.Errorf("VM %s does not end: kill its process, %d", vm.Name, vm.PID)
}

// lastTime is how long a VM may take to end by force.
const lastTime = time.Minute

// follow waits for the VM's end from now on. One whose process is gone before it
// could tell of it has ended all the same.
func follow(ctx context.Context, client *api.Client) (ended <-chan api.Event, err error) {
	events, begun, failed := make(chan api.Event, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		last := api.Event{VM: client.Name(), Kind: api.EventEnded}
		first := true
		err := client.Events(ctx, false, func(e api.Event) bool {
			if first {
				close(begun)
				first = false
			}
			if e.Kind == api.EventEnded {
				last = e
			}
			return true
		})
		if err != nil {
			failed <- err
			return
		}
		events <- last
	}()
	select {
	case <-begun:
		return events, nil
	case err := <-failed:
		return nil, err
	}
}

// agentTime bounds how long the guest's agent may take to answer.
const agentTime = 3 * time.Second

// ask asks the guest to power off, one way or the other.
func ask(ctx context.Context, client *api.Client, vm api.VM) error {
	if vm.State == api.Running {
		agentCtx, cancel := context.WithTimeout(ctx, agentTime)
		defer cancel()
		agent, err := agentclient.Connect(agentCtx, filepath.Join(vm.Dir, rundir.VsockSocket))
		if err == nil && agent.Poweroff(agentCtx) == nil {
			return nil
		}
	}
	_, err := client.Stop(ctx, api.Stop{})
	var f *api.Failure
	if errors.As(err, &f) && vm.State == api.Ended {
		return nil
	}
	return err
}

func await(ctx context.Context, ended <-chan api.Event, patience time.Duration) (api.Event, bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case e := <-ended:
		return e, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return api.Event{}, false
}

// free waits until the VM's process has given its name back.
func free(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, lastTime)
	defer cancel()
	for {
		vm, err := rundir.Look(dir)
		if err != nil || vm.State != rundir.Running {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("VM %s has ended, and its process (%d) does not let go of its files: kill it", vm.Name, vm.PID)
		case <-time.After(lookAgain / 10):
		}
	}
}

// finish waits for the rest of the end, and tells of it.
func (c *StopCmd) finish(ctx context.Context, vm api.VM, e api.Event) error {
	if err := free(ctx, vm.Dir); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(c.Stdout, e)
	}
	how := e.Exit
	if how == "" {
		how = "ended"
	}
	_, err := fmt.Fprintf(stdout(c.Stdout), "%s: %s\n", e.VM, how)
	return err
}
