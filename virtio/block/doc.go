// SPDX-License-Identifier: Apache-2.0

// Package block is virtio's block device (id 2) over anything that can read and
// write at an offset.
//
// # Threads
//
// Notify only wakes: requests are served by a few goroutines per queue, started
// by Activate, so that no vCPU waits for a disk. Each has a page-aligned buffer of
// its own through which all data goes: the guest may change a page while the
// kernel reads it, and what reaches the disk must be one of the two, not a fault.
// A worker that finds a request wakes one more, up to their number.
//
// # Durability
//
// A flush is answered after the backend's Sync, and covers every write answered
// before it was asked. A driver that did not negotiate VIRTIO_BLK_F_FLUSH, or that
// has switched the write cache off (config field writeback), gets a Sync before
// each answer to a write.
//
// # Reset
//
// Reset waits for the requests being served; a long one stops at its next buffer.
// What the guest was told is written is written.
package block
