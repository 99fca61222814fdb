// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"virtbinder/driver"
)

// Extent is a piece of a payload that is not in the chain itself.
type Extent struct {
	Pos uint64 // of its first byte in the payload
	GPA uint64
	Len uint64 // bytes
}

// WriteRead is what a WRITE_READ says beyond driver.Request. Its slice is reused.
type WriteRead struct {
	FixCap  uint32   // room for fix-ups in the answer
	Extents []Extent // by Pos; none if the payload follows the control part
	Payload uint64   // bytes

	txns []driver.Gather // all of the request's; the core advances Request.Gather
}

// Trim drops memory beyond the given number of entries of each table.
func (w *WriteRead) Trim(entries int) {
	if cap(w.Extents) > entries {
		w.Extents = nil
	}
	if cap(w.txns) > entries {
		w.txns = nil
	}
}

// Parse reads the control part of a WRITE_READ into r and w. after is the number
// of readable bytes that follow it. r.Stream refers to ctl; the tables are copied.
// On an error r holds nothing to be used.
func (w *WriteRead) Parse(ctl []byte, after uint64, r *driver.Request) error {
	if len(ctl) < SizeofReq+SizeofWr {
		return broken("vbinder_req.ctl_len", uint64(len(ctl)), "shorter than vbinder_wr")
	}
	wr := ctl[SizeofReq : SizeofReq+SizeofWr]
	t := tables{rest: ctl[SizeofReq+SizeofWr:]}
	stream := t.stream(le.Uint32(wr[OffWrWriteLen:]))
	txns := t.table(le.Uint32(wr[OffWrTxnCount:]), SizeofTxn)
	objs := t.table(le.Uint32(wr[OffWrObjCount:]), SizeofObj)
	fds := t.table(le.Uint32(wr[OffWrFdCount:]), SizeofFd)
	extents := t.table(le.Uint32(wr[OffWrExtentCount:]), SizeofExtent)
	if t.short || len(t.rest) != 0 {
		return broken("vbinder_req.ctl_len", uint64(len(ctl)), "not the length of vbinder_wr and what it counts")
	}
	w.FixCap = le.Uint32(wr[OffWrFixCap:])
	w.Payload = after
	if err := w.parseExtents(extents); err != nil {
		return err
	}
	flags := le.Uint32(wr[OffWrFlags:])
	r.Stream = stream
	r.ReadSize = le.Uint32(wr[OffWrReadSize:])
	r.NonBlock = flags&WrNonblock != 0
	r.Continued = flags&WrContinued != 0
	r.Fault = flags&WrFault != 0
	r.Partial = flags&WrPartial != 0
	r.Nice = int32(le.Uint32(wr[OffWrNice:]))
	r.EUID = le.Uint32(wr[OffWrEuid:])
	r.ReportCap = le.Uint32(wr[OffWrReportCap:])
	parseFDs(fds, r)
	if err := w.parseObjects(objs, r); err != nil {
		return err
	}
	return w.parseTxns(txns, r)
}

// tables cuts a control part into pieces; short is sticky.
type tables struct {
	rest  []byte
	short bool
}

func (t *tables) take(n uint64) []byte {
	if t.short || n > uint64(len(t.rest)) {
		t.short = true
		return nil
	}
	b := t.rest[:n:n]
	t.rest = t.rest[n:]
	return b
}

func (t *tables) table(count uint32, size uint64) []byte { return t.take(uint64(count) * size) }

// stream takes n bytes and their padding.
func (t *tables) stream(n uint32) []byte {
	b := t.take((uint64(n) + 7) &^ 7)
	if b == nil {
		return nil
	}
	return b[:n:n]
}

func (w *WriteRead) parseExtents(b []byte) error {
	w.Extents = w.Extents[:0]
	if len(b) == 0 {
		return nil
	}
	pos := uint64(0)
	for ; len(b) > 0; b = b[SizeofExtent:] {
		e := Extent{Pos: pos, GPA: le.Uint64(b[OffExtentGpa:]), Len: le.Uint64(b[OffExtentLen:])}
		if e.Len == 0 || pos+e.Len < pos || e.GPA+e.Len < e.GPA {
			return invalid("vbinder_extent.len", e.Len, "empty, or beyond the address space")
		}
		pos += e.Len
		w.Extents = append(w.Extents, e)
	}
	w.Payload = pos
	return nil
}

func parseFDs(b []byte, r *driver.Request) {
	r.FDs = r.FDs[:0]
	for ; len(b) > 0; b = b[SizeofFd:] {
		r.FDs = append(r.FDs, driver.FD{Token: le.Uint32(b[OffFdToken:]), Err: errno(le.Uint32(b[OffFdError:]))})
	}
}

func (w *WriteRead) parseObjects(b []byte, r *driver.Request) error {
	r.Objects = r.Objects[:0]
	for ; len(b) > 0; b = b[SizeofObj:] {
		o := driver.Object{
			Offset:   le.Uint64(b[OffObjOffset:]),
			Raw:      [LenObjRaw]byte(b[OffObjRaw:]),
			RawLen:   le.Uint32(b[OffObjRawLen:]),
			FDFirst:  le.Uint32(b[OffObjFdFirst:]),
			FDCount:  le.Uint32(b[OffObjFdCount:]),
			LSMError: int32(le.Uint32(b[OffObjLsmError:])),
			SegPos:   le.Uint64(b[OffObjSegPos:]),
			SegLen:   le.Uint64(b[OffObjSegLen:]),
		}
		switch {
		case o.RawLen > LenObjRaw:
			return invalid("vbinder_obj.raw_len", uint64(o.RawLen), "more than raw holds")
		case !within(uint64(o.FDFirst), uint64(o.FDCount), uint64(len(r.FDs))):
			return invalid("vbinder_obj.fd_first", uint64(o.FDFirst), "a run outside the vbinder_fd table")
		case !w.inPayload(&o.SegPos, o.SegLen):
			return invalid("vbinder_obj.seg_pos", o.SegPos, "a buffer outside the payload")
		}
		r.Objects = append(r.Objects, o)
	}
	return nil
}

func (w *WriteRead) parseTxns(b []byte, r *driver.Request) error {
	w.txns = w.txns[:0]
	least := uint64(0) // where the next command can stand
	for ; len(b) > 0; b = b[SizeofTxn:] {
		g := driver.Gather{
			CmdPos:       le.Uint32(b[OffTxnCmdPos:]),
			OffsetsFault: le.Uint32(b[OffTxnFlags:])&TxnOffsetsFault != 0,
			Judged:       le.Uint32(b[OffTxnFlags:])&TxnJudged != 0,
			DataPos:      le.Uint64(b[OffTxnDataPos:]),
			DataLen:      le.Uint64(b[OffTxnDataLen:]),
			ObjFirst:     le.Uint32(b[OffTxnObjFirst:]),
			ObjCount:     le.Uint32(b[OffTxnObjCount:]),
			LSMProc:      driver.ProcID(le.Uint64(b[OffTxnLsmProc:])),
			LSMError:     int32(le.Uint32(b[OffTxnLsmError:])),
		}
		const code = 4 // bytes of a BC code
		switch {
		case uint64(g.CmdPos) < least || !within(uint64(g.CmdPos), code, uint64(len(r.Stream))):
			return invalid("vbinder_txn.cmd_pos", uint64(g.CmdPos), "outside the stream or out of order")
		case !w.inPayload(&g.DataPos, g.DataLen):
			return invalid("vbinder_txn.data_pos", g.DataPos, "data outside the payload")
		case !within(uint64(g.ObjFirst), uint64(g.ObjCount), uint64(len(r.Objects))):
			return invalid("vbinder_txn.obj_first", uint64(g.ObjFirst), "a run outside the vbinder_obj table")
		}
		least = uint64(g.CmdPos) + code
		w.txns = append(w.txns, g)
	}
	r.Gather = w.txns
	return nil
}

// within reports whether the n things from first on are among total.
func within(first, n, total uint64) bool { return n <= total && first <= total-n }

// inPayload is within for the payload; the position of an empty range means
// nothing and becomes 0.
func (w *WriteRead) inPayload(pos *uint64, n uint64) bool {
	if n == 0 {
		*pos = 0
	}
	return within(*pos, n, w.Payload)
}

// Find returns the extent that holds byte pos of the payload. pos must be less
// than Payload and there must be extents.
func (w *WriteRead) Find(pos uint64) int {
	lo, hi := 0, len(w.Extents)
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if w.Extents[mid].Pos <= pos {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
