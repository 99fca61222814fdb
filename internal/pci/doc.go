// SPDX-License-Identifier: Apache-2.0

// Package pci holds what every PCI function needs and no bus owns: the 256-byte
// type-0 configuration space with its header, BAR registers and their sizing,
// the capability list, and the MSI-X table.
//
// The bus (package vmm) decodes configuration cycles and port and memory
// accesses; a function (virtio.PCI) is built from the parts here. Nothing in
// this package knows virtio or KVM.
//
// # Locking
//
// Config.mu and MSIX.mu are leaves: neither calls out while it is held.
package pci
