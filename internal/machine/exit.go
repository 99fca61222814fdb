// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"

	"virtbinder/vmm"
)

// ExitError is the end of a machine that is not a power off, with its exit code.
type ExitError struct {
	VM   string
	Exit vmm.Exit
}

func (e *ExitError) Error() string {
	text := map[vmm.Exit]string{
		vmm.Reboot:      "the guest rebooted; this program does not start it again",
		vmm.Panic:       "the guest's kernel panicked",
		vmm.TripleFault: "the guest ended in a triple fault",
		vmm.Stopped:     "stopped",
	}[e.Exit]
	return fmt.Sprintf("VM %s: %s", e.VM, text)
}

// ExitCode is the process's exit code.
func (e *ExitError) ExitCode() int { return ExitCode(e.Exit) }

// ExitCode returns the exit code of a machine's end.
func ExitCode(e vmm.Exit) int {
	switch e {
	case vmm.Poweroff:
		return 0
	case vmm.Reboot:
		return 3
	case vmm.Panic:
		return 4
	case vmm.TripleFault:
		return 5
	case vmm.Stopped:
		return 6
	}
	return 1
}

// Error is what there is to say of a machine's end: nothing of a power off.
func (e End) Error() error {
	switch e.Exit {
	case vmm.Poweroff:
		return nil
	case vmm.Failed:
		return fmt.Errorf("VM %s: %w", e.VM, e.Err)
	}
	return &ExitError{VM: e.VM, Exit: e.Exit}
}
