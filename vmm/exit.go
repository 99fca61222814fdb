// SPDX-License-Identifier: Apache-2.0

package vmm

import "fmt"

// Exit says how a machine came to its end.
type Exit int

const (
	// Failed is the zero value: the machine could not go on; the error says why.
	Failed Exit = iota
	// Poweroff: the guest switched itself off.
	Poweroff
	// Reboot: the guest asked for a reset, through any of the PC's ways.
	Reboot
	// Panic: the guest's kernel panicked. It said so through the panic device,
	// or on the console before it reset, faulted or stood still.
	Panic
	// TripleFault: a processor faulted while handling a fault's fault, which
	// resets a PC.
	TripleFault
	// Stopped: the host ended the machine (the context of Run was cancelled).
	Stopped
)

func (e Exit) String() string {
	switch e {
	case Failed:
		return "failed"
	case Poweroff:
		return "poweroff"
	case Reboot:
		return "reboot"
	case Panic:
		return "panic"
	case TripleFault:
		return "triple fault"
	case Stopped:
		return "stopped"
	}
	return fmt.Sprintf("exit %d", int(e))
}
