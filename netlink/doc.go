// SPDX-License-Identifier: Apache-2.0

// Package netlink speaks Linux's binder failure reports: the generic netlink
// family "binder", multicast group "report", by which the kernel's binder driver
// (6.18 and later) tells userspace of every transaction that failed.
//
// It encodes and decodes the messages (Report, ParseMessage), sends them from
// userspace (Emitter) and receives them from kernels and emitters alike
// (Listener). Nothing in it needs the rest of virtbinder.
//
// # Modes
//
// A process cannot register a netlink family, but it can multicast on one. An
// Emitter takes the best way there is, and publishes which in a runtime file:
//
//	a   the kernel has the family: its own group, with messages that are byte for
//	    byte those of the driver. Every client of the kernel's reports sees them.
//	a'  it has none: group 18 of generic netlink, which the kernel hands to no
//	    other family.
//	b   NETLINK_USERSOCK, on request: needs no privilege to send, which also means
//	    that anyone can.
//	c   a unix socket of type SOCK_SEQPACKET that carries the same messages,
//	    beside any of the others or alone.
//
// a and a' need CAP_NET_ADMIN in the host's network namespace when the Emitter
// is made, and never again. Listening to a, a' and c needs no privilege.
//
// Clients other than Listener should not filter on the sender's netlink port: it
// is not 0 for messages that come from userspace.
//
// # Identity
//
// The kernel's reports name host processes. Reports of a VM name guest
// processes, whose numbers mean nothing on the host; therefore the Emitter
// qualifies contexts, binder becomes binder@VM, unless told otherwise.
// Event.FromKernel tells the two apart beyond doubt.
//
// # Locks
//
// Each of ring.mu, unixServer.mu, Emitter.statusMu, Listener.mu and
// netlinkSource.mu guards one struct. Order, outermost first:
//
//	Emitter.statusMu
//	  ring.mu
//	  unixServer.mu
//	Listener.mu
//	  netlinkSource.mu
//
// No system call is made under ring.mu, and nothing that can block under
// unixServer.mu.
package netlink
