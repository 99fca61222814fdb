// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"
	"runtime/debug"
)

// No input makes the core panic, as far as fuzzing tells. Should one do so after all,
// it is a bug of ours that one guest has found, and only that guest may feel it: what
// VMs share of a Core is its lock and its free records, nothing else. So the lock is
// released, everything that the VM has is written off, untouched, and the VM is lost:
// all its later calls find nothing. Its environment makes another when its guest has
// reset the device.

// Loser is an Env that can go on after its VM was lost. Where the environment is none,
// the panic goes on.
type Loser interface {
	// Lost is called once at most, with no lock held.
	Lost(err error)
}

// PanicError is a panic that was contained.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("a bug in the binder core: panic: %v", e.Value)
}

// contain ends a call that panicked with v.
func (x *Exec) contain(v any) {
	env, can := x.vm.env.(Loser)
	if x.held {
		x.drop()
	}
	if !can {
		panic(v)
	}
	err := &PanicError{Value: v, Stack: debug.Stack()}
	x.core.mu.Lock()
	again := x.vm.lost
	x.vm.lost, x.vm.dead = true, true
	x.core.txns = txnPool{} // a record may be free and in use at once
	x.core.mu.Unlock()
	*x = Exec{Tag: x.Tag}
	if !again {
		env.Lost(err)
	}
}
