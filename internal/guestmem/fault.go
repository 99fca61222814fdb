// SPDX-License-Identifier: Apache-2.0

package guestmem

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// FaultError says that host memory behind guest memory could not be accessed.
type FaultError struct {
	Cause error // the runtime's description, with the address taken out of messages to guests by the caller
}

func (e *FaultError) Error() string {
	return fmt.Sprintf("guest memory: page fault failed: %v", e.Cause)
}

// Unwrap returns the runtime's error.
func (e *FaultError) Unwrap() error { return e.Cause }

// Enter makes a memory fault in the calling goroutine a panic that Recover
// catches. It returns the former setting, for Recover.
func Enter() (old bool) { return debug.SetPanicOnFault(true) }

// Recover must be deferred directly, as `defer Recover(Enter(), &err)`. It puts
// the setting back and turns a memory fault into a *FaultError in *err; any
// other panic goes on.
func Recover(old bool, err *error) {
	debug.SetPanicOnFault(old)
	r := recover()
	if r == nil {
		return
	}
	e, ok := r.(runtime.Error)
	if _, fault := r.(interface{ Addr() uintptr }); !ok || !fault {
		panic(r)
	}
	*err = &FaultError{Cause: e}
}
