// SPDX-License-Identifier: Apache-2.0

// Package fake is a guest in Go: processes, threads, memory, files, and a guest
// driver that does what guest/module does, down to the requests. Core and Ring are
// its two Systems: in the first the requests are calls of the driver's core, in the
// second they travel as bytes through virtqueues to virtio/vbinder's device.
//
// Everything runs in the caller of Start. What the core completes by itself (a
// freeze that times out) is taken in by the next call.
package fake
