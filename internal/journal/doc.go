// SPDX-License-Identifier: Apache-2.0

// Package journal is virtbinder's own channel for what fails in a machine: the
// reports that also go to netlink, with what Linux's interface has no place for, and
// losses that it does not report at all. Nothing of the latter ever goes to netlink.
//
// A Journal remembers the last records in a ring. Append is all that happens on a
// transaction's path: one slot is written, nothing waits for a reader. Readers, each
// with a goroutine and a place of its own in the ring, take what is there: one feeds
// the netlink emitter, the others are clients of the machine's unix socket. A reader
// that falls behind the ring is told how many records it lost.
//
// # The socket
//
// RUNDIR/journal.sock is of type SOCK_SEQPACKET and belongs to the machine's owner.
// A client sends nothing. Each datagram is one JSON object with a field "kind":
//
//	hello    first: version of the form (1), vm, the netlink ports and the unix socket
//	         by which the same reports leave, the counts since the machine began
//	report   a failed transaction, as on netlink
//	delivery-failed, call-lost, oneways-lost, buffer-low
//	         what no report tells; see the constants
//	gap      lost: how many records this client was too slow for
//
// The records that are remembered come first, then new ones as they are made; seq
// numbers them. Fields that are not known are left out, and readers ignore fields
// that they do not know.
package journal
