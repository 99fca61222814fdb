// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

var le = binary.LittleEndian

// Layout of a puppet's memory. The driver reads and writes it by address.
const (
	arenaSize = 8 << 20
	streamAt  = 0       // the BC stream
	offsetsAt = 4 << 10 // the offsets array
	readAt    = 8 << 10 // what is read, up to dataAt
	dataAt    = 1 << 20 // the payload
	maxData   = 4 << 10 // of it, what can be other than zero
	nowhere   = 0x1000  // below what a process may map
)

// hand is a puppet's hold on binder: one open file, one thread.
type hand struct {
	fd    int
	arena []byte
	mem   []byte // the binder mapping
	seen  []back // read, but not asked for yet
}

// newArena is the memory, followed by a page that nobody may touch.
func newArena() ([]byte, error) {
	m, err := unix.Mmap(-1, 0, arenaSize+os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	return m[:arenaSize], unix.Mprotect(m[arenaSize:], unix.PROT_NONE)
}

func (h *hand) addr(at uint64) uint64 { return uint64(uintptr(unsafe.Pointer(&h.arena[0]))) + at }

func (h *hand) open(path string, size int) (err error) {
	if h.fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil || size == 0 {
		return err
	}
	h.mem, err = unix.Mmap(h.fd, 0, size, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	return err
}

func (h *hand) ioctl(cmd uint32, arg []byte) error {
	var p unsafe.Pointer
	if len(arg) > 0 {
		p = unsafe.Pointer(&arg[0])
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(h.fd), uintptr(cmd), uintptr(p)); errno != 0 {
		return errno
	}
	return nil
}

// writeRead is BINDER_WRITE_READ; it returns read_consumed.
func (h *hand) writeRead(stream []byte, readAddr, readSize uint64) (uint64, error) {
	copy(h.arena[streamAt:], stream)
	arg := make([]byte, 48)
	le.PutUint64(arg, uint64(len(stream)))
	le.PutUint64(arg[16:], h.addr(streamAt))
	le.PutUint64(arg[24:], readSize)
	le.PutUint64(arg[40:], readAddr)
	err := h.ioctl(uapi.BINDER_WRITE_READ, arg)
	return le.Uint64(arg[32:]), err
}

// stream is a transaction's BC code and structure; its data is placed in the arena.
func (h *hand) stream(t *transact) []byte {
	clear(h.arena[dataAt : dataAt+maxData])
	copy(h.arena[dataAt:], t.Data)
	for i, o := range t.Offsets {
		le.PutUint64(h.arena[offsetsAt+8*i:], o)
	}
	tr := uapi.TransactionData{Target: uint64(t.Handle), Code: t.Code, Flags: t.Flags,
		DataSize: t.Size, OffsetsSize: t.OffsetsSize, Buffer: h.addr(dataAt), Offsets: h.addr(offsetsAt), Extra: t.Extra}
	if tr.OffsetsSize == 0 {
		tr.OffsetsSize = 8 * uint64(len(t.Offsets))
	}
	if t.BadData {
		tr.Buffer = nowhere
	}
	cmd := uint32(uapi.BC_TRANSACTION)
	switch {
	case t.Reply:
		cmd = uapi.BC_REPLY
	case t.SG:
		cmd = uapi.BC_TRANSACTION_SG
	}
	return tr.Append(le.AppendUint32(nil, cmd), t.SG)
}

// patience bounds the wait for a BR code that does not come.
const patience = 20 * time.Second

// read waits for want BR codes.
func (h *hand) read(want int) ([]back, error) {
	for end := time.Now().Add(patience); len(h.seen) < want; {
		err := h.glance(h.addr(readAt), dataAt-readAt)
		if err == unix.EAGAIN && time.Now().Before(end) {
			// Not time.Sleep, which opens files, and some puppets may not.
			_, _ = unix.Poll(nil, 1)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	out := h.seen[:want]
	h.seen = h.seen[want:]
	return out, nil
}

// glance reads what is there now.
func (h *hand) glance(addr, size uint64) error {
	n, err := h.writeRead(nil, addr, size)
	if err != nil {
		return err
	}
	h.parse(h.arena[readAt : readAt+n])
	return nil
}

// parse splits what was read. A code's payload size is in the code.
func (h *hand) parse(b []byte) {
	for len(b) >= 4 {
		code := le.Uint32(b)
		size := int(code >> 16 & 0x3fff)
		payload := b[4 : 4+size]
		b = b[4+size:]
		if code == uapi.BR_NOOP {
			continue
		}
		r := back{Code: code}
		if code == uapi.BR_TRANSACTION {
			r.Handle = h.firstHandle(uapi.DecodeTransactionData(payload, false))
		}
		h.seen = append(h.seen, r)
	}
}

func (h *hand) firstHandle(t uapi.TransactionData) uint32 {
	if t.OffsetsSize == 0 {
		return 0
	}
	base := uint64(uintptr(unsafe.Pointer(&h.mem[0])))
	o := uapi.Object(h.mem[t.Buffer-base:][:uapi.SizeFlatBinderObject])
	if o.Type() != uapi.BINDER_TYPE_HANDLE {
		return 0
	}
	return o.Handle()
}
