// SPDX-License-Identifier: Apache-2.0

// Package kvm is the raw KVM interface of the VMM: one file a concern, and the
// only place of package vmm where unsafe appears.
//
// It stands on gokvm's package kvm, whose types, constants and value-passing
// ioctls it uses. Ioctls that pass a pointer are issued here, because gokvm
// converts the pointer to an integer before the call that enters the kernel:
// the object may then move (a stack) or be freed (a heap buffer) in between.
// So are the ioctls that gokvm lacks (IOEVENTFD, IRQFD, SIGNAL_MSI,
// ENABLE_CAP) or has wrong (SET_GSI_ROUTING, SET_IDENTITY_MAP_ADDR, and RUN,
// which hides EINTR and EAGAIN there).
//
// All methods are safe for concurrent use unless their comment says otherwise.
package kvm
