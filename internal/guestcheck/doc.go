// SPDX-License-Identifier: Apache-2.0

// Package guestcheck holds the guest driver, guest/module, to the standard of a
// kernel's own: in a running guest its processes are killed at whatever they do, its
// device is unbound under them, its module is loaded and unloaded, the guest is reset;
// and after each of these neither side may have kept anything, nor the guest's kernel
// have complained. On the sanitizing kernel (images/sanitize.sh) the kernel complains
// about far more, and fails allocations on request.
//
// The tests, under the build tag e2e, run themselves on the nested lab's host where this
// machine has no usable KVM, and boot the guests in their own process, so that they see
// the device's counters. storm/ is the program that the guest runs.
package guestcheck
