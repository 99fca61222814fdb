// SPDX-License-Identifier: Apache-2.0

// Package vbinder is the virtio-binder device: it brings the requests that a guest's
// driver puts on the rings to the binder core (package driver) and the core's
// answers back. guest/uapi/vbinder.h is the protocol, package wire its byte form.
//
// # Queues
//
//	0  control   cancel, release, flush, unmap, delivery failed, thread exit, ping.
//	             Nothing waits here, so that a slot always comes free again.
//	1  event     empty buffers from the driver; the device fills one when it has
//	             something to say that no request waits for.
//	2  deferred  write-read that frees a plain reply and nothing else: executed before
//	             whatever is put up later on any queue, without a doorbell of its own.
//	3+ request   open, mmap, write-read, ioctl, poll, fetch-fix, ping; usually one
//	             queue per vCPU.
//
// # Life of a request
//
//	Notify ── Pop ── load: control part copied, once, to private memory
//	                  └─ wire: checked and decoded
//	                      └─ core ── may keep ("park") the request for minutes
//	                                  └─ Complete ── answer copied, Push, Interrupt
//
// Decisions are made on the private copy of the control part only. Payload bytes
// stay in guest memory; the core copies them, once, straight to the window of the
// process that receives them.
//
// # Who may block
//
// Nobody. Notify runs the core to its end in the caller's thread (a vCPU, or a
// queue's worker) and there are no goroutines of the device's own. Any goroutine
// that runs the core, of this device or of another VM on the same core, may
// complete a request of this device. A read that waits is memory: a request with
// its chain. At most half of a request ring may wait; past that the core is told
// not to park (driver.Request.NoPark), and the driver reads again after an event.
//
// # Interrupts
//
// With VBINDER_F_INLINE a driver that kicks a request queue takes all answers off
// that queue when the kick returns. So an answer pushed by the Notify of its own
// queue raises no interrupt; every other answer does, and so does every event.
//
// # Locks
//
// Device.mu, queue.mu and events.mu have the rank lockrank.Device: none is held
// together with another, nor while guest memory is copied or the core runs. Under
// them only virtio.Queue's leaf may be taken.
package vbinder
