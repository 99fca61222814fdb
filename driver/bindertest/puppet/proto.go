// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"encoding/binary"
	"io"

	"virtbinder/driver/bindertest"
)

// Sizes of the puppet's messages, which are 64-bit words; data follows them.
const (
	callSize   = 12 * 8
	resultSize = 6 * 8
)

// appendCall encodes a call as guest/puppet.c has it.
func appendCall(b []byte, c bindertest.Call) []byte {
	data := c.Data
	if c.Op == bindertest.OpOpen {
		data = []byte(c.Name)
	}
	for _, w := range []uint64{
		uint64(c.Op), uint64(c.FD), uint64(c.Cmd), uint64(c.Flags), uint64(c.Prot), uint64(c.Index), c.Addr, c.Len,
		c.WriteConsumed, c.ReadSize, c.ReadConsumed, uint64(len(data)),
	} {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return append(b, data...)
}

// readResult decodes a result from its header and what follows it.
func readResult(header []byte, rest io.Reader) (r bindertest.Result, err error) {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(header[8*i:]) }
	r = bindertest.Result{
		Errno: int(word(0)), Val: int64(word(1)), Val2: int64(word(2)),
		WriteConsumed: word(3), ReadConsumed: word(4),
	}
	if n := word(5); n > 0 {
		r.Data = make([]byte, n)
		_, err = io.ReadFull(rest, r.Data)
	}
	return r, err
}
