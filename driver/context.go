// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// maxContextName is the longest context name, in bytes: binderfs's.
const maxContextName = 255

// ContextID names a Context within its VM; none is used twice.
type ContextID uint64

// Context is one binder domain of a VM: "binder", "hwbinder", or what the guest
// names. Each device node has its own, also where two have the same name. It holds
// the slot of the context manager, handle 0. Guarded by Core.mu.
type Context struct {
	id      ContextID
	name    string
	users   int  // processes
	ended   bool // its device node is gone; it goes with its last user
	manager *Node
	uid     uint32 // of the first manager, for the life of the context
	uidSet  bool
}

// NewContext makes a context, for EndContext to end.
func (vm *VM) NewContext(name string) (ContextID, error) {
	if name == "" || len(name) > maxContextName || strings.ContainsAny(name, "/\x00") {
		return 0, fmt.Errorf("context: %q is no name of 1 to %d bytes: %w", name, maxContextName, unix.EINVAL)
	}
	vm.core.mu.Lock()
	defer vm.core.mu.Unlock()
	if vm.dead {
		return 0, ErrGone
	}
	if len(vm.contexts) >= vm.core.cfg.Limits.Contexts {
		return 0, fmt.Errorf("context: there are %d, the limit: %w", len(vm.contexts), unix.ENOSPC)
	}
	vm.lastContext++
	vm.contexts[vm.lastContext] = &Context{id: vm.lastContext, name: printable(name)}
	return vm.lastContext, nil
}

// EndContext ends a context: at once, or with the last process that has it open.
func (vm *VM) EndContext(id ContextID) {
	vm.core.mu.Lock()
	defer vm.core.mu.Unlock()
	if c := vm.contexts[id]; c != nil {
		c.ended = true
		vm.dropContext(c)
	}
}

// dropContext forgets a context that has ended and that nobody uses.
func (vm *VM) dropContext(c *Context) {
	if c.ended && c.users == 0 {
		delete(vm.contexts, c.id)
	}
}

// printable is what logs and reports show of a name that a guest chose.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}

// setManager makes p the context manager (BINDER_SET_CONTEXT_MGR and _EXT). obj is
// the flat_binder_object of _EXT, nil for the plain form; r says who the caller is
// and what the guest's LSM said.
func (p *Process) setManager(x *Exec, obj uapi.Object, r *Request) unix.Errno {
	ctx := p.ctx
	if ctx.manager != nil {
		return unix.EBUSY
	}
	if r.LSMError != 0 {
		return unix.Errno(-r.LSMError)
	}
	if ctx.uidSet && ctx.uid != r.EUID {
		return unix.EPERM
	}
	ctx.uid, ctx.uidSet = r.EUID, true
	n, errno := p.newNode(obj)
	if errno != 0 {
		return errno
	}
	n.localWeak++
	n.localStrong++
	n.hasStrong, n.hasWeak = true, true
	ctx.manager = n
	n.put(x)
	return 0
}
