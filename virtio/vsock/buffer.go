// SPDX-License-Identifier: Apache-2.0

package vsock

// buffer is a byte queue of at most BufSize bytes. Its memory grows with use and
// is kept.
type buffer struct {
	b     []byte // ring
	start int
	n     int
}

func (r *buffer) len() int { return r.n }

func (r *buffer) free() int { return BufSize - r.n }

// reserve returns room for up to n bytes at the end, in at most two pieces whose
// total is n, which the caller fills before commit. n must be at most free().
func (r *buffer) reserve(n int) (first, second []byte) {
	r.grow(n)
	if n == 0 {
		return nil, nil
	}
	at := (r.start + r.n) % len(r.b)
	first = r.b[at:min(at+n, len(r.b))]
	return first, r.b[:n-len(first)]
}

func (r *buffer) commit(n int) { r.n += n }

// grow makes room for n more bytes.
func (r *buffer) grow(n int) {
	if r.n+n <= len(r.b) {
		return
	}
	size := max(4096, 2*len(r.b))
	for size < r.n+n {
		size *= 2
	}
	b := make([]byte, min(size, BufSize))
	first, second := r.peek(r.n)
	copy(b[copy(b, first):], second)
	r.b, r.start = b, 0
}

// peek returns the first n bytes, in at most two pieces. n must be at most len().
func (r *buffer) peek(n int) (first, second []byte) {
	if n == 0 {
		return nil, nil
	}
	first = r.b[r.start:min(r.start+n, len(r.b))]
	return first, r.b[:n-len(first)]
}

func (r *buffer) drop(n int) {
	if n == 0 {
		return
	}
	r.start = (r.start + n) % len(r.b)
	r.n -= n
}
