// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
)

// freezer is a hierarchy of control groups, one of which is frozen: whoever is moved
// there stops, and goes on when it is moved away.
type freezer struct {
	root, state, frozen string
}

var freezers = map[bindertest.Freezer]freezer{
	bindertest.CgroupV1: {root: "/run/freezer", state: "freezer.state", frozen: "FROZEN"},
	bindertest.CgroupV2: {root: "/sys/fs/cgroup", state: "cgroup.freeze", frozen: "1"},
}

func (f freezer) group() string { return filepath.Join(f.root, "suspended") }

// prepare makes the frozen group. The machine has the hierarchy of version 2.
func (f freezer) prepare(by bindertest.Freezer) error {
	if _, err := os.Stat(f.group()); err == nil {
		return nil
	}
	if by == bindertest.CgroupV1 {
		if err := errors.Join(os.MkdirAll(f.root, 0o755), unix.Mount("freezer", f.root, "cgroup", 0, "freezer")); err != nil {
			return err
		}
	}
	return errors.Join(os.Mkdir(f.group(), 0o755), os.WriteFile(filepath.Join(f.group(), f.state), []byte(f.frozen), 0))
}

// move puts a process into a group.
func move(pid int, group string) error {
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// Suspend is bindertest.Suspendable's.
func (p *process) Suspend(by bindertest.Freezer) error {
	f := freezers[by]
	if err := errors.Join(f.prepare(by), move(p.pid, f.group())); err != nil {
		return fmt.Errorf("puppet: suspend process %d by %s: %w", p.pid, by, err)
	}
	p.suspended = by
	return p.sys.Settle()
}

// Resume is bindertest.Suspendable's.
func (p *process) Resume() error {
	return errors.Join(p.thaw(), p.sys.Settle())
}

func (p *process) thaw() error {
	if p.suspended == "" {
		return nil
	}
	by := p.suspended
	p.suspended = ""
	return move(p.pid, freezers[by].root)
}
