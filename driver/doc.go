// SPDX-License-Identifier: Apache-2.0

// Package driver is the binder core: Android's Binder driver as plain Go, outside
// every kernel. It knows no virtio and no KVM; virtio/vbinder feeds it requests and
// publishes what it completes.
//
// # Objects
//
//	Core ── VM ── Context ("binder", "hwbinder", ...) ── the context manager's Node
//	        └─── Process (one open of the device) ─┬─ Thread   (a guest thread that used it)
//	                                               ├─ Node     (an object it serves; refs point here)
//	                                               ├─ Ref      (a handle: its side of a remote Node)
//	                                               └─ Buffer   (a range of its receive window)
//	        Transaction: one call, oneway or reply on its way from a Thread to a Process
//
// A Process is known by (VM, ProcID); the pids, uids and labels that the guest
// states are claims, used inside that VM only and never to find anything but by
// request of the same VM. A ProcID carries a generation, so that an old one never
// names a new process.
//
// # Life of a call
//
// VM.WriteRead runs the BC stream of one BINDER_WRITE_READ (command.go), a
// transaction in two halves around the only copy of its payload:
//
//	step 5  resolve.go     handle -> node -> target process; stack rules; target thread
//	step 6  translate.go   space reserved, objects translated to private records
//	        payload.go     [lock dropped] payload copied once into the target's window
//	        send.go        [lock retaken] queued on the target
//	step 7  read.go        a parked read of the target is claimed and filled
//
// Nothing that a guest can write is read back to decide anything: offsets, objects,
// descriptors and the layout of a buffer stay in Buffer and Transaction until it is
// freed. The only memory the core writes is the target's window.
//
// # Concurrency: event driven, one lock
//
// There is no goroutine per guest thread. Whoever brings a request runs the core to
// its end, and completes on the way the parked reads that it made ready.
//
//	Lock order, outermost first (ranks in internal/lockrank; checked with -tags lockdep):
//
//	  Core.mu          every object above; a VM has a Core of its own, unless VMs share objects
//	  └─ vbinder.Device.mu    requests in flight, events waiting for a buffer
//	     └─ virtio queue      the used ring (leaf)
//
// Core.mu is never held while guest memory is copied, a report is emitted, a
// response is published, an interrupt is raised, or anything blocks: what a locked
// section decides it appends to its caller's Exec, and Exec.flush carries it out
// after unlock. Critical sections are short and bounded by the size of one request, or
// by what a process has when it ends.
// docs/decisions.md says why one lock and not the kernel's three.
//
// A Process that has a payload copy in flight (as sender or as target) is pinned:
// its release waits for the copy, and new calls to it already find it dead.
//
// # Ownership
//
// Transactions and their completions come from free lists in Core and go back where
// the kernel's driver frees them; everything else is the collector's. A Request is
// the caller's: the core keeps it from WriteRead until it hands it to Env.Complete,
// exactly once.
package driver
