// SPDX-License-Identifier: Apache-2.0

// Package wire is the byte form of the virtio-binder protocol: it turns private
// copies of what a guest sent into the core's types, and the core's answers into
// bytes. guest/uapi/vbinder.h fixes the layout; ztypes.go mirrors it.
//
// What it decodes is hostile. Callers hand in a copy that the guest can no longer
// change. Every position, run and count is checked against the table or payload it
// points into, here and once, so that the core can index with them. Memory is
// reused from request to request and grows at most in proportion to the bytes that
// were really sent.
package wire

//go:generate go run gen.go
