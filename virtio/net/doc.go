// SPDX-License-Identifier: Apache-2.0

// Package net is virtio's network device (id 1) over a Link: a tap interface of the
// host, or a network in this process.
//
// Two goroutines per activation carry frames, one in each direction, so that no
// vCPU waits for the host's network. A frame for the guest waits until the guest
// has put up buffers; what the guest sends is dropped when the link does not take it,
// as a network may.
//
// Headers go through as they are where the link understands them (a tap interface
// does: sums and segmentation are then left to the receiving end); other links get
// and give headers of zeroes.
package net
