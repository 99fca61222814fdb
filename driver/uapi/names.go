// SPDX-License-Identifier: Apache-2.0

package uapi

import "fmt"

// nr is the number field of an ioctl-style code: the index of its statistics.
func nr(code uint32) uint32 { return code & 0xff }

// Commands and Returns name the BC_ and BR_ codes in the order of their numbers,
// as the kernel's stats file prints them.
var (
	Commands = [...]string{
		"BC_TRANSACTION", "BC_REPLY", "BC_ACQUIRE_RESULT", "BC_FREE_BUFFER", "BC_INCREFS", "BC_ACQUIRE",
		"BC_RELEASE", "BC_DECREFS", "BC_INCREFS_DONE", "BC_ACQUIRE_DONE", "BC_ATTEMPT_ACQUIRE",
		"BC_REGISTER_LOOPER", "BC_ENTER_LOOPER", "BC_EXIT_LOOPER", "BC_REQUEST_DEATH_NOTIFICATION",
		"BC_CLEAR_DEATH_NOTIFICATION", "BC_DEAD_BINDER_DONE", "BC_TRANSACTION_SG", "BC_REPLY_SG",
		"BC_REQUEST_FREEZE_NOTIFICATION", "BC_CLEAR_FREEZE_NOTIFICATION", "BC_FREEZE_NOTIFICATION_DONE",
	}
	Returns = [...]string{
		"BR_ERROR", "BR_OK", "BR_TRANSACTION", "BR_REPLY", "BR_ACQUIRE_RESULT", "BR_DEAD_REPLY",
		"BR_TRANSACTION_COMPLETE", "BR_INCREFS", "BR_ACQUIRE", "BR_RELEASE", "BR_DECREFS", "BR_ATTEMPT_ACQUIRE",
		"BR_NOOP", "BR_SPAWN_LOOPER", "BR_FINISHED", "BR_DEAD_BINDER", "BR_CLEAR_DEATH_NOTIFICATION_DONE",
		"BR_FAILED_REPLY", "BR_FROZEN_REPLY", "BR_ONEWAY_SPAM_SUSPECT", "BR_TRANSACTION_PENDING_FROZEN",
		"BR_FROZEN_BINDER", "BR_CLEAR_FREEZE_NOTIFICATION_DONE",
	}
)

// CommandName names a BC_ code.
func CommandName(code uint32) string {
	if n := nr(code); code>>8&0xff == 'c' && int(n) < len(Commands) {
		return Commands[n]
	}
	return fmt.Sprintf("BC_%#x", code)
}

// ReturnName names a BR_ code.
func ReturnName(code uint32) string {
	if code == BR_TRANSACTION_SEC_CTX {
		return "BR_TRANSACTION_SEC_CTX"
	}
	if n := nr(code); code>>8&0xff == 'r' && int(n) < len(Returns) {
		return Returns[n]
	}
	return fmt.Sprintf("BR_%#x", code)
}

// PayloadSize is the number of bytes that follow a BC_ or BR_ code: the size
// field of the code.
func PayloadSize(code uint32) int { return int(code >> 16 & 0x3fff) }
