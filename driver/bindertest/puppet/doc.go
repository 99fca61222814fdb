// SPDX-License-Identifier: Apache-2.0

// Package puppet is the bindertest.System of a real Linux kernel: each process of a
// scenario is a process, each thread a thread of it, and each call the system call.
//
// A process runs the program in guest/, which does what it is told through a socket
// for each of its threads. It has one thread more, the clerk, that never touches
// binder: threads are started and descriptors handed over through it, whatever the
// others are blocked in.
//
// # In turn
//
// With Turns, puppets and the kernel's workers are scheduled first in, first out: each
// runs until it waits, and those that its call woke run after it, in the order of its
// wakes. Nothing else decides which of several threads finds a piece of work; without
// this the kernel's scheduler would, and so the time that things take.
//
// # When nothing moves
//
// Settle proves quiescence instead of waiting for a while. On a machine with one
// processor /proc/loadavg counts exactly the tasks that can run: when it says one,
// that is the reader, and every puppet and every kernel worker has gone as far as it
// can. A thread whose call is not finished has to be in an interruptible sleep (both
// drivers park their readers so; a request of ours that is on its way sleeps
// uninterruptibly, and so does whom the freezer of control groups of version 1
// suspends). What the kernel puts off by a timer is the closing of files that
// it drops outside of a process: one jiffy. Before a call looks at a file, some jiffies
// are let pass, and it settles once more.
package puppet
