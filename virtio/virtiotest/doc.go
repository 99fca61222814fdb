// SPDX-License-Identifier: Apache-2.0

// Package virtiotest is a guest for the tests, benchmarks and fuzzers of virtio
// devices: a machine made of plain memory, and a driver that treats a device as a
// real one does. It finds the registers by walking the capability list, places the
// BARs, negotiates, sets rings up in guest memory and rings the doorbell port; only
// the processor is missing.
//
//	d, err := virtiotest.Start(dev, virtiotest.Config{Inline: true})
//	defer d.Close()
//	answer, err := d.Queue(0).Call(ctx, request, 64)
//
// A test of hostile behaviour takes the same driver and breaks the rules by hand:
// Queue.SetDesc, Queue.Offer and Queue.SetAvailIdx write the ring as they are told,
// and Machine.Bytes gives all of guest memory.
//
// Queue's methods may be called from several goroutines; a Driver's set-up methods
// may not. Submit, Kick and Used allocate nothing.
package virtiotest
