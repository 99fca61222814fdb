// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"

	"golang.org/x/sys/unix"

	"virtbinder/internal/journal"
	"virtbinder/netlink"
)

// reason says in words why the transaction failed, as far as it is known: a machine's
// journal knows the errno and the state of the target, a report on netlink only lets
// some of it be inferred.
func (ev *event) reason() string {
	r := &ev.Report
	if ev.own() {
		return ownReason(ev.rec)
	}
	switch r.Error {
	case netlink.BRFrozenReply:
		return "target frozen: it takes no calls"
	case netlink.BRTransactionPendingFrozen:
		if ev.rec != nil && ev.rec.Pending > 0 {
			return fmt.Sprintf("target frozen: %s pending", plural(ev.rec.Pending, "oneway"))
		}
		return "target frozen: the oneway waits"
	case netlink.BROnewaySpamSuspect:
		return "oneway flood: the sender fills the target's buffer" + ev.space()
	case netlink.BRDeadReply:
		return ev.deadReason()
	case netlink.BRFailedReply:
		return ev.failedReason()
	}
	return ""
}

func ownReason(r *journal.Record) string {
	switch r.Kind {
	case journal.KindDeliveryFailed:
		return "delivery failed: the target could not take the call's files or its read buffer was bad"
	case journal.KindCallLost:
		return "call lost: its target died before it answered"
	case journal.KindOnewaysLost:
		return plural(int(r.Count), "oneway") + " lost: their target ended without reading them"
	case journal.KindBufferLow:
		return fmt.Sprintf("buffer low: %s of %s left", size(r.Free), size(r.Size))
	}
	return ""
}

func (ev *event) deadReason() string {
	switch r := &ev.Report; {
	case r.IsReply && r.HasToPID:
		return "caller has no buffer mapped, or is ending"
	case r.IsReply:
		return "caller is dead"
	case r.HasToPID:
		return "target has no buffer mapped, or is ending"
	}
	return "target is dead, or there is none"
}

func (ev *event) failedReason() string {
	if ev.rec == nil || ev.rec.Errno == 0 {
		return ""
	}
	target := "target"
	if ev.Report.IsReply {
		target = "caller"
	}
	errno := unix.ErrnoName(ev.rec.Errno) + ": "
	switch ev.rec.Errno {
	case unix.ENOSPC:
		return errno + "no room in the " + target + "'s buffer" + ev.space()
	case unix.EPROTO:
		if ev.Report.IsReply {
			return errno + "it replies to no call, or out of turn"
		}
		return errno + "it calls out of turn: while it waits, or with work to do"
	case unix.EFAULT:
		return errno + "the sender's data cannot be read"
	case unix.EPERM, unix.EACCES:
		return errno + "not allowed: a security policy, or files to a " + target + " that takes none"
	case unix.EBADF:
		return errno + "a descriptor that is not open"
	case unix.EINVAL:
		return errno + "a handle it does not hold, itself, or malformed objects"
	}
	return errno + ev.rec.Errno.Error()
}

// space says how much the target has left, where known.
func (ev *event) space() string {
	if ev.rec == nil || ev.rec.Size == 0 {
		return ""
	}
	half := ""
	if kind(&ev.Report) == "oneway" {
		half = " for oneways"
	}
	return fmt.Sprintf(": %s of %s%s free", size(ev.rec.Free), size(ev.rec.Size), half)
}

// size is a number of bytes, to be read.
func size(n uint64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return plural(int(n), "byte")
}
