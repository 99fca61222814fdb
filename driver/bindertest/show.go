// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// How results are told: everything that can be observed, and nothing that differs
// from run to run.

func (th *thread) showErrno() func(Result) {
	return func(r Result) { th.t.printf("%s = %s", th.name, errnoText(r.Errno)) }
}

func (th *thread) showPoll() func(Result) {
	return func(r Result) {
		var out []string
		for _, e := range []struct {
			bit  int64
			name string
		}{{unix.POLLIN, "IN"}, {unix.POLLPRI, "PRI"}, {unix.POLLOUT, "OUT"}, {unix.POLLERR, "ERR"}, {unix.POLLHUP, "HUP"}, {unix.POLLNVAL, "NVAL"}} {
			if r.Val&e.bit != 0 {
				out = append(out, e.name)
			}
		}
		th.t.printf("%s = %s [%s]", th.name, errnoText(r.Errno), strings.Join(out, " "))
	}
}

var ioctlNames = map[uint32]string{
	uapi.BINDER_WRITE_READ: "BINDER_WRITE_READ", uapi.BINDER_SET_IDLE_TIMEOUT: "BINDER_SET_IDLE_TIMEOUT",
	uapi.BINDER_SET_MAX_THREADS: "BINDER_SET_MAX_THREADS", uapi.BINDER_SET_IDLE_PRIORITY: "BINDER_SET_IDLE_PRIORITY",
	uapi.BINDER_SET_CONTEXT_MGR: "BINDER_SET_CONTEXT_MGR", uapi.BINDER_THREAD_EXIT: "BINDER_THREAD_EXIT",
	uapi.BINDER_VERSION: "BINDER_VERSION", uapi.BINDER_GET_NODE_DEBUG_INFO: "BINDER_GET_NODE_DEBUG_INFO",
	uapi.BINDER_GET_NODE_INFO_FOR_REF: "BINDER_GET_NODE_INFO_FOR_REF", uapi.BINDER_SET_CONTEXT_MGR_EXT: "BINDER_SET_CONTEXT_MGR_EXT",
	uapi.BINDER_FREEZE: "BINDER_FREEZE", uapi.BINDER_GET_FROZEN_INFO: "BINDER_GET_FROZEN_INFO",
	uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION: "BINDER_ENABLE_ONEWAY_SPAM_DETECTION",
	uapi.BINDER_GET_EXTENDED_ERROR:           "BINDER_GET_EXTENDED_ERROR",
}

func ioctlName(cmd uint32) string {
	if s := ioctlNames[cmd]; s != "" {
		return s
	}
	return fmt.Sprintf("ioctl %#x", cmd)
}

func (th *thread) showIoctl(cmd uint32, size int) func(Result) {
	return func(r Result) {
		out := ""
		switch {
		case len(r.Data) < size:
		case cmd == uapi.BINDER_WRITE_READ: // copied back in any case
			out = fmt.Sprintf(", wrote %d, read %d", le.Uint64(r.Data[8:]), le.Uint64(r.Data[32:]))
		case r.Errno == 0:
			out = th.ioctlResult(cmd, r.Data[:size])
		}
		th.t.printf("%s = %s%s", th.name, errnoText(r.Errno), out)
	}
}

func (th *thread) ioctlResult(cmd uint32, b []byte) string {
	u32 := func(off int) uint32 { return le.Uint32(b[off:]) }
	switch {
	case cmd == uapi.BINDER_VERSION && len(b) >= 4:
		return fmt.Sprint(" version ", u32(0))
	case cmd == uapi.BINDER_GET_EXTENDED_ERROR && len(b) >= 12:
		return fmt.Sprintf(" id %s %s %d", th.t.names.id(u32(0)), uapi.ReturnName(u32(4)), int32(u32(8)))
	case cmd == uapi.BINDER_GET_NODE_DEBUG_INFO && len(b) >= 24:
		return fmt.Sprintf(" ptr %#x cookie %#x strong %d weak %d", le.Uint64(b), le.Uint64(b[8:]), u32(16), u32(20))
	case cmd == uapi.BINDER_GET_NODE_INFO_FOR_REF && len(b) >= 24:
		return fmt.Sprintf(" handle %d strong %d weak %d rest %x", u32(0), u32(4), u32(8), b[12:24])
	case cmd == uapi.BINDER_GET_FROZEN_INFO && len(b) >= 12:
		return fmt.Sprintf(" sync %d async %d", u32(4), u32(8))
	}
	return ""
}

func (th *thread) showWriteRead(written int) func(Result) {
	return func(r Result) {
		th.t.printf("%s = %s, wrote %d of %d, read %d", th.name, errnoText(r.Errno), r.WriteConsumed, written, r.ReadConsumed)
		th.showReturns(r.Data)
	}
}

// showReturns prints a BR stream, one command a line.
func (th *thread) showReturns(b []byte) {
	for len(b) >= 4 {
		code := le.Uint32(b)
		n := uapi.PayloadSize(code)
		if len(b) < 4+n {
			break
		}
		if code == uapi.BR_SPAWN_LOOPER && th.t.together {
			code, th.proc.asked = uapi.BR_NOOP, true
		}
		th.t.printf("  %s%s", uapi.ReturnName(code), th.returnText(code, b[4:4+n]))
		switch code {
		case uapi.BR_TRANSACTION, uapi.BR_TRANSACTION_SEC_CTX, uapi.BR_REPLY:
			th.receive(uapi.DecodeTransactionData(b[4:], code == uapi.BR_TRANSACTION_SEC_CTX))
		}
		if th.t.seen != nil {
			th.t.seen(th.task, code, b[4:4+n])
		}
		b = b[4+n:]
	}
	if len(b) > 0 {
		th.t.printf("  and %x", b)
	}
}

func (th *thread) returnText(code uint32, b []byte) string {
	switch code {
	case uapi.BR_TRANSACTION, uapi.BR_TRANSACTION_SEC_CTX, uapi.BR_REPLY:
		tr := uapi.DecodeTransactionData(b, code == uapi.BR_TRANSACTION_SEC_CTX)
		s := fmt.Sprintf(" to %#x %#x code %d flags %s pid %s euid %d sizes %d %d at %#x offsets %#x", tr.Target, tr.Cookie, tr.Code,
			flagsText(tr.Flags), th.t.names.pid(tr.SenderPID), tr.SenderEUID, tr.DataSize, tr.OffsetsSize, tr.Buffer, tr.Offsets)
		if code == uapi.BR_TRANSACTION_SEC_CTX {
			s += fmt.Sprintf(" context at %#x", tr.Extra)
		}
		return s
	case uapi.BR_INCREFS, uapi.BR_ACQUIRE, uapi.BR_RELEASE, uapi.BR_DECREFS:
		return fmt.Sprintf(" %#x %#x", le.Uint64(b), le.Uint64(b[8:]))
	case uapi.BR_DEAD_BINDER, uapi.BR_CLEAR_DEATH_NOTIFICATION_DONE, uapi.BR_CLEAR_FREEZE_NOTIFICATION_DONE:
		return fmt.Sprintf(" %#x", le.Uint64(b))
	case uapi.BR_FROZEN_BINDER:
		return fmt.Sprintf(" %#x frozen %d reserved %d", le.Uint64(b), le.Uint32(b[8:]), le.Uint32(b[12:]))
	case uapi.BR_ERROR:
		return fmt.Sprintf(" %d", int32(le.Uint32(b)))
	}
	if len(b) > 0 {
		return fmt.Sprintf(" %x", b)
	}
	return ""
}

// received is a transaction or reply as its reader finds it.
type received struct {
	uapi.TransactionData
	data    []byte
	offsets []uint64
}

// handle is the handle in object i, an impossible one if nothing of the kind came.
func (r *received) handle(i int) uint32 {
	if i >= len(r.offsets) || uint64(len(r.data)) < uapi.SizeFlatBinderObject || r.offsets[i] > uint64(len(r.data))-uapi.SizeFlatBinderObject {
		return ^uint32(0)
	}
	return uapi.Object(r.data[r.offsets[i]:]).Handle()
}

// fd is the descriptor in object i.
func (r *received) fd(i int) fd {
	return fd{int(int32(r.handle(i))), fmt.Sprintf("received[%d]", i)}
}

// shownData is the most data that is shown; of more, this much of the beginning.
const shownData = 64 << 10

// receive notes a transaction and prints what is in its buffer.
func (th *thread) receive(tr uapi.TransactionData) {
	th.got = received{TransactionData: tr}
	var offs []byte
	if tr.DataSize > shownData {
		var b []byte
		if th.load(tr.Buffer, shownData, &b) {
			th.t.printf("    begins with %s", longText(b))
		}
		return
	}
	if aligned := (tr.DataSize + 7) &^ 7; tr.OffsetsSize > 0 && tr.Offsets == tr.Buffer+aligned { // all at once
		if !th.load(tr.Buffer, aligned+tr.OffsetsSize, &th.got.data) {
			return
		}
		th.got.data, offs = th.got.data[:tr.DataSize], th.got.data[aligned:]
	} else if !th.load(tr.Buffer, tr.DataSize, &th.got.data) || !th.load(tr.Offsets, tr.OffsetsSize, &offs) {
		return
	}
	for ; len(offs) >= 8; offs = offs[8:] {
		th.got.offsets = append(th.got.offsets, le.Uint64(offs))
	}
	th.showParcel(&th.got)
}

// load reads the thread's own memory.
func (th *thread) load(addr, n uint64, to *[]byte) bool {
	if n == 0 {
		return true
	}
	r := th.quiet(Call{Op: OpPeek, Addr: addr, Len: n})
	if r.Errno != 0 {
		th.t.printf("    %#x is unreadable: %s", addr, errnoText(r.Errno))
		return false
	}
	*to = r.Data
	return true
}

// showParcel prints data and objects in their order.
func (th *thread) showParcel(g *received) {
	arrays := th.arrays(g)
	pos := uint64(0)
	for i, off := range g.offsets {
		size := uint64(0)
		if off < uint64(len(g.data)) && uint64(len(g.data))-off >= 4 {
			size = uint64(uapi.ObjectSize(uapi.Object(g.data[off:]).Type()))
		}
		if size == 0 || off < pos || off+size > uint64(len(g.data)) {
			th.t.printf("    offset %d", off)
			continue
		}
		th.showGap(g.data[pos:off])
		th.showObject(i, g.data[off:off+size], arrays)
		pos = off + size
	}
	th.showGap(g.data[pos:])
}

func (th *thread) showGap(b []byte) {
	if len(b) > 0 && !bytes.Equal(b, make([]byte, len(b))) || len(b) > 8 {
		th.t.printf("    %s", longText(b))
	}
}

// longText is bytesText up to a length, and a checksum beyond.
func longText(b []byte) string {
	if s := bytesText(b); len(s) <= 256 {
		return s
	}
	return fmt.Sprintf("%d bytes, crc %08x", len(b), crc32.ChecksumIEEE(b))
}

// arrays tells where descriptor arrays are: their addresses, by the index of the
// PTR they are in.
func (th *thread) arrays(g *received) map[int][]uapi.Object {
	out := map[int][]uapi.Object{}
	for _, off := range g.offsets {
		if off+uapi.SizeFDArrayObject > uint64(len(g.data)) {
			continue
		}
		if o := uapi.Object(g.data[off : off+uapi.SizeFDArrayObject]); o.Type() == uapi.BINDER_TYPE_FDA {
			out[int(o.FDAParent())] = append(out[int(o.FDAParent())], o)
		}
	}
	return out
}

func (th *thread) showObject(i int, o uapi.Object, arrays map[int][]uapi.Object) {
	switch typ := o.Type(); typ {
	case uapi.BINDER_TYPE_BINDER, uapi.BINDER_TYPE_WEAK_BINDER:
		th.t.printf("    [%d] %s %#x %#x flags %#x", i, typeName(typ), o.Binder(), o.Cookie(), o.Flags())
	case uapi.BINDER_TYPE_HANDLE, uapi.BINDER_TYPE_WEAK_HANDLE:
		th.t.printf("    [%d] %s %d flags %#x rest %#x %#x", i, typeName(typ), o.Handle(), o.Flags(), o.Binder()>>32, o.Cookie())
	case uapi.BINDER_TYPE_FD:
		th.t.printf("    [%d] FD %s flags %#x rest %#x cookie %#x", i, th.describe(int(int32(o.Handle()))), o.Flags(), o.Binder()>>32, o.Cookie())
	case uapi.BINDER_TYPE_FDA:
		th.t.printf("    [%d] FDA %d in %d at %d pad %d", i, o.FDACount(), o.FDAParent(), o.FDAParentOffset(), o.Flags())
	case uapi.BINDER_TYPE_PTR:
		th.t.printf("    [%d] PTR %#x, %d bytes flags %#x parent %d at %d", i, o.PtrBuffer(), o.PtrLength(), o.Flags(), o.PtrParent(), o.PtrParentOffset())
		th.showSegment(o, arrays[i])
	}
}

// showSegment prints what a PTR points to; descriptors in it are described.
func (th *thread) showSegment(o uapi.Object, arrays []uapi.Object) {
	var b []byte
	if !th.load(o.PtrBuffer(), o.PtrLength(), &b) || len(b) == 0 {
		return
	}
	for _, a := range arrays {
		for k := range a.FDACount() {
			at := a.FDAParentOffset() + 4*k
			n := int(int32(le.Uint32(b[at:])))
			th.t.printf("      at %d: %s", at, th.describe(n))
			copy(b[at:], "fd??")
		}
	}
	th.t.printf("      %s", longText(b))
}

func typeName(typ uint32) string {
	switch typ {
	case uapi.BINDER_TYPE_BINDER:
		return "BINDER"
	case uapi.BINDER_TYPE_WEAK_BINDER:
		return "WEAK_BINDER"
	case uapi.BINDER_TYPE_HANDLE:
		return "HANDLE"
	default:
		return "WEAK_HANDLE"
	}
}
