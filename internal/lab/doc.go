// SPDX-License-Identifier: Apache-2.0

// Package lab runs commands on a host with KVM that a machine without hardware virtualization can still have: QEMU
// (TCG) emulates AMD-V, a stock Debian kernel with kvm_amd is the lab's host ("L1"), and virtbinder runs there as it
// would on a real one, its own guests being "L2".
//
//	machine ── QEMU ── L1: Debian kernel, internal/lab/init, COMMAND ── L2: virtbinder's guest
//
// L1's root is a busybox initramfs. The source tree and the image cache are mounted in it read-only, the build
// directory read-write, all at the paths they have on the machine, so a command line means the same on both sides.
// The command's streams and exit code come back over virtio-serial (package job); L1's console log is a file under
// build/lab, kept for the case that it does not get that far.
//
// Usable says whether a machine needs the lab at all.
package lab
