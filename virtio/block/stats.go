// SPDX-License-Identifier: Apache-2.0

package block

import "sync/atomic"

// Stats is what a disk has done since New, in requests and bytes. A request that
// failed is counted as what it wanted to be, too.
type Stats struct {
	Reads, Writes, Flushes, Discards, Zeroes uint64
	ReadBytes, WrittenBytes                  uint64
	Failures                                 uint64
}

// counters count since New.
type counters struct {
	reads, writes, flushes, discards, zeroes, readBytes, writtenBytes, failures atomic.Uint64
}

// request counts one of a kind.
func (c *counters) request(kind uint32) {
	switch kind {
	case requestRead:
		c.reads.Add(1)
	case requestWrite:
		c.writes.Add(1)
	case requestFlush:
		c.flushes.Add(1)
	case requestDiscard:
		c.discards.Add(1)
	case requestWriteZeroes:
		c.zeroes.Add(1)
	}
}

// Stats returns a snapshot; the counters are read one by one.
func (d *Device) Stats() Stats {
	c := &d.count
	return Stats{
		Reads: c.reads.Load(), Writes: c.writes.Load(), Flushes: c.flushes.Load(), Discards: c.discards.Load(), Zeroes: c.zeroes.Load(),
		ReadBytes: c.readBytes.Load(), WrittenBytes: c.writtenBytes.Load(), Failures: c.failures.Load(),
	}
}
