// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"context"
	"fmt"
	"io"

	"virtbinder/guest/agentclient"
)

// Drivers are those that a guest has, as Session takes them.
var Drivers = []string{virtbinder, stock}

// Guest is a guest with both drivers and AOSP's programs, for others to use. The
// stock driver's devices have stock- in front of their names.
type Guest struct{ *machine }

// BootGuest boots a guest of a kernel series in which both drivers serve; its logs go to
// the directory out. On a machine without KVM it has to be called in the lab.
func BootGuest(ctx context.Context, top, out, series string, cpus int) (*Guest, error) {
	m, err := start(ctx, run{Guest: series, LSM: "selinux", CPUs: cpus}, top, out)
	if err != nil {
		return nil, err
	}
	return &Guest{m}, nil
}

// Name is the VM's.
func (g *Guest) Name() string { return g.name }

// Close ends the guest.
func (g *Guest) Close() { g.stop() }

// Session runs one of AOSP's programs where /dev/binder is one driver's, with a
// servicemanager beside it; what it says goes to w. Its environment has env (NAME=VALUE),
// too; behind that there may be a command that runs it.
func (g *Guest) Session(ctx context.Context, driver string, w io.Writer, env []string, program string, args ...string) error {
	command := append(append([]string{"env"}, env...), testDir+program)
	args = append(append([]string{"-m", "sh", scriptDir + "session.sh", driver}, command...), args...)
	exit, err := g.Exec(ctx, agentclient.Cmd{Path: "unshare", Args: args, Stdout: w, Stderr: w})
	if err == nil && exit != 0 {
		err = fmt.Errorf("exit code %d", exit)
	}
	if err != nil {
		return fmt.Errorf("%s on %s: %w", program, driver, err)
	}
	return nil
}
