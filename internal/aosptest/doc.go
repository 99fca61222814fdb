// SPDX-License-Identifier: Apache-2.0

// Package aosptest runs AOSP's own test programs on virtbinder and on the kernel's
// own driver, in one guest, and compares: what passes on the stock driver passes on
// virtbinder.
//
//	machine ── lab's host ── guest ── session.sh virtbinder|stock ── program
//
// In the guest the stock driver is loaded under other device names. Each program runs
// in a mount namespace in which /dev/binder and its siblings are one driver's or the
// other's, with a servicemanager of its own (guest/session.sh). A program says what
// it does as gtest does; those that are not gtest programs are wrapped in scripts
// that do (guest/checks.sh).
//
// A run is one guest: a kernel series and a security module. With SELinux both
// drivers can serve servicemanager. With AppArmor, Debian's default, the stock driver
// cannot, because no security context can be had from it; virtbinder must pass there
// what the stock driver passes under SELinux.
//
// One rule for what depends on time: of each program, whatever did not pass is run
// again, at most twice, on either driver, and the result says which tests that were.
package aosptest
