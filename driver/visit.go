// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"cmp"
	"slices"
)

const (
	// visitSteps is how many things are looked at in one hold of Core.mu.
	visitSteps = 256
	// maxShown bounds what is shown of any one list.
	maxShown = 1 << 16
)

// visit looks at the objects of a core without holding up its calls: every so often
// it lets go of Core.mu for those who wait. What has been seen by then may change
// meanwhile, so the whole is no instant; each fact is.
type visit struct {
	core *Core
	left int
}

// step counts one thing looked at. The caller must not rely on anything that
// Core.mu guards to be as it was before; ranging over a map may go on.
func (v *visit) step() { v.steps(1) }

func (v *visit) steps(n int) {
	if v.left -= n; v.left < 0 {
		v.outside(func() bool { return true })
	}
}

// outside runs f without the lock.
func (v *visit) outside(f func() bool) bool {
	v.core.mu.Unlock()
	defer func() { v.core.mu.Lock(); v.left = visitSteps }()
	return f()
}

// eachProcess calls f with Core.mu held for every process, or every one with the
// pid if it is not 0, the newest first, until f returns false.
func (vm *VM) eachProcess(pid uint32, f func(*visit, *Process) bool) {
	v := &visit{core: vm.core, left: visitSteps}
	vm.core.mu.Lock()
	defer vm.core.mu.Unlock()
	var all []*Process
	for p := range vm.opened {
		if pid == 0 || p.pid == pid {
			all = append(all, p)
		}
		v.step()
	}
	v.outside(func() bool {
		slices.SortFunc(all, func(a, b *Process) int { return cmp.Compare(b.serial, a.serial) })
		return true
	})
	for _, p := range all {
		if !p.dead && !f(v, p) {
			return
		}
		v.step()
	}
}
