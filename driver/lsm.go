// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// The guest's LSM has a say in transactions, in binders and files passed on, and in
// who becomes context manager. Its hooks want both openers' credentials, which only
// the guest has; whom a command is for only the core knows. So the guest driver
// guesses the target, asks its LSM while it gathers, and states the verdicts with the
// process they are about. They are used where the kernel's driver calls the hook. If
// the guess was wrong, nothing of the command is executed: the answer names the
// target (RespRetry) and the guest driver asks again. A guess is usually a memory of
// the last time, so this happens once for each handle.

// misjudged returns the process that a transaction is for if the LSM was asked about
// another; nil if its verdicts hold or none is needed. Caller holds Core.mu.
func (th *Thread) misjudged(g *Gather, tr *uapi.TransactionData, reply bool) *Process {
	if !g.Judged {
		return nil
	}
	var target *Process
	if reply {
		if g.ObjCount == 0 {
			return nil // nobody asks whether one may reply
		}
		target = th.awaiting()
	} else if node, _ := th.proc.callee(uint32(tr.Target)); node != nil && !th.proc.isSelf(uint32(tr.Target), node.proc) {
		target = node.proc
	}
	if target == nil || target.id == g.LSMProc {
		return nil // what has no target fails before the LSM is asked
	}
	return target
}

// awaiting is the process whose call the thread would answer with a reply.
func (th *Thread) awaiting() *Process {
	if call := th.stack; call != nil && call.toThread == th && call.from != nil && call.from.stack == call {
		return call.from.proc
	}
	return nil
}

// Relabel replaces the security label that a process's transactions carry.
func (vm *VM) Relabel(x *Exec, id ProcID, label string) error {
	label, err := vm.label(label)
	if err != nil {
		return err
	}
	x.lock(vm)
	defer x.unlock()
	if p := vm.proc(id); p != nil {
		p.label = label
	}
	return nil
}

// label is what a process is labelled with that the guest calls label: a process
// always has one.
func (vm *VM) label(label string) (string, error) {
	cfg := &vm.core.cfg
	switch {
	case len(label) > cfg.Limits.Label:
		return "", fmt.Errorf("a security label of %d bytes, the limit is %d: %w", len(label), cfg.Limits.Label, unix.EINVAL)
	case label == "":
		return cfg.Label, nil
	}
	return label, nil
}
