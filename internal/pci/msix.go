// SPDX-License-Identifier: Apache-2.0

package pci

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// MSI-X table geometry.
const (
	msixEntry = 16   // bytes per table entry
	msixAlign = 2048 // the pending bits begin on a multiple of this
	// MaxVectors is the largest table MSI-X allows.
	MaxVectors = 2048

	msixEnable  = 1 << 15 // message control: MSI-X enabled
	msixMaskAll = 1 << 14 // message control: function mask
)

// MSIX is an MSI-X table with its pending bits, both in one memory BAR: the
// table at offset 0, the pending bits at PBAOffset. Its methods may be called from
// any goroutine and never fail on what a guest does.
type MSIX struct {
	send func(addr uint64, data uint32) // called without mu
	n    int                            // vectors

	mu      sync.Mutex // a leaf; guards what follows
	table   []byte
	pending []byte
	control uint16 // message control, its two writable bits
}

// NewMSIX makes a table of n vectors, all masked. send raises one interrupt; it
// is called without locks.
func NewMSIX(n int, send func(addr uint64, data uint32)) (*MSIX, error) {
	if n < 1 || n > MaxVectors {
		return nil, fmt.Errorf("pci: an MSI-X table of %d vectors (1 to %d)", n, MaxVectors)
	}
	m := &MSIX{send: send, n: n, table: make([]byte, n*msixEntry), pending: make([]byte, (n+63)/64*8)}
	m.Reset()
	return m, nil
}

// Vectors returns the number of vectors.
func (m *MSIX) Vectors() int { return m.n }

// PBAOffset returns the offset of the pending bits in the BAR.
func (m *MSIX) PBAOffset() uint64 {
	return uint64(len(m.table)+msixAlign-1) / msixAlign * msixAlign
}

// BARSize returns the size of the BAR that holds both tables.
func (m *MSIX) BARSize() uint64 {
	need, size := m.PBAOffset()+uint64(len(m.pending)), uint64(4096)
	for size < need {
		size *= 2
	}
	return size
}

// Capability returns the body of the MSI-X capability and its writable bits, for
// Config.AddCapability; bar is the BAR that holds the tables. Message control is
// at offset 2 of the capability structure.
func (m *MSIX) Capability(bar int) (body, writable []byte) {
	le := binary.LittleEndian
	body = le.AppendUint16(nil, uint16(m.n-1))
	body = le.AppendUint32(body, uint32(bar))
	body = le.AppendUint32(body, uint32(m.PBAOffset())|uint32(bar))
	writable = make([]byte, len(body))
	le.PutUint16(writable, msixEnable|msixMaskAll)
	return body, writable
}

// SetControl takes over the message control register after a configuration
// write. What became unmasked by it is sent.
func (m *MSIX) SetControl(v uint16) {
	m.mu.Lock()
	m.control = v & (msixEnable | msixMaskAll)
	m.mu.Unlock()
	m.flush(0, m.n)
}

// Enabled reports whether the guest has enabled MSI-X.
func (m *MSIX) Enabled() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.control&msixEnable != 0
}

// Reset masks every vector and forgets what is pending, as a function reset does.
func (m *MSIX) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.table)
	clear(m.pending)
	for v := range m.n {
		m.table[v*msixEntry+12] = 1 // masked
	}
	m.control = 0
}

// Fire raises a vector, or marks it pending while it is masked. A vector outside
// the table, such as 0xffff, does nothing.
func (m *MSIX) Fire(vector uint16) {
	v := int(vector)
	if v >= m.n {
		return
	}
	m.mu.Lock()
	if m.control&msixEnable == 0 {
		m.mu.Unlock()
		return
	}
	if m.maskedLocked(v) {
		m.pending[v/8] |= 1 << (v % 8)
		m.mu.Unlock()
		return
	}
	addr, data := m.messageLocked(v)
	m.mu.Unlock()
	m.send(addr, data)
}

func (m *MSIX) maskedLocked(v int) bool {
	return m.control&msixMaskAll != 0 || m.table[v*msixEntry+12]&1 != 0
}

func (m *MSIX) messageLocked(v int) (addr uint64, data uint32) {
	e := m.table[v*msixEntry:]
	return binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint32(e[8:])
}

// Access is a guest's access to the BAR that holds the tables.
func (m *MSIX) Access(off uint64, p []byte, write bool) {
	if !write {
		m.read(off, p)
		return
	}
	size := uint64(len(m.table))
	if off >= size || uint64(len(p)) > size-off || len(p) == 0 {
		return // the pending bits are read-only
	}
	m.mu.Lock()
	copy(m.table[off:], p)
	m.mu.Unlock()
	first := int(off) / msixEntry
	m.flush(first, (int(off)+len(p)-1)/msixEntry+1)
}

func (m *MSIX) read(off uint64, p []byte) {
	clear(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < uint64(len(m.table)) {
		copy(p, m.table[off:])
		return
	}
	if pba := m.PBAOffset(); off >= pba && off-pba < uint64(len(m.pending)) {
		copy(p, m.pending[off-pba:])
	}
}

// flush sends the pending vectors in [first, end) that are no longer masked.
func (m *MSIX) flush(first, end int) {
	for v := first; v < end; v++ {
		m.mu.Lock()
		bit := byte(1) << (v % 8)
		due := m.pending[v/8]&bit != 0 && m.control&msixEnable != 0 && !m.maskedLocked(v)
		var addr uint64
		var data uint32
		if due {
			m.pending[v/8] &^= bit
			addr, data = m.messageLocked(v)
		}
		m.mu.Unlock()
		if due {
			m.send(addr, data)
		}
	}
}
