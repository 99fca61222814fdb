// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Context is one binder domain of a VM: "binder", "hwbinder", "vndbinder", or what
// the guest names. It holds the slot of the context manager, handle 0.
type Context struct {
	name    string
	manager *Node
	uid     uint32 // of the first manager, for the life of the context
	uidSet  bool
}

// context finds or makes a context. Caller holds Core.mu.
func (vm *VM) context(name string) *Context {
	c := vm.contexts[name]
	if c == nil {
		c = &Context{name: name}
		vm.contexts[name] = c
	}
	return c
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
