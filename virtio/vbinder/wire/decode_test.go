// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
)

// control builds the control part of a WRITE_READ with 16 bytes of stream, two
// descriptors, two objects and one transaction, over a payload of 64 bytes.
func control() []byte {
	b := make([]byte, SizeofReq+SizeofWr, 512)
	wr := b[SizeofReq:]
	for off, v := range map[int]uint32{
		OffWrWriteLen: 13, OffWrTxnCount: 1, OffWrObjCount: 2, OffWrFdCount: 2,
		OffWrReadSize: 256, OffWrFixCap: 4, OffWrFlags: WrNonblock | WrFault, OffWrEuid: 1000, OffWrReportCap: 3,
	} {
		le.PutUint32(wr[off:], v)
	}
	b = append(b, "stream 13 lng\x00\x00\x00"...)
	b = append(b, make([]byte, SizeofTxn+2*SizeofObj+2*SizeofFd)...)
	txn, obj, fd := b[txnAt:], b[objAt:], b[fdAt:]
	le.PutUint32(txn[OffTxnCmdPos:], 8)
	le.PutUint64(txn[OffTxnDataPos:], 16)
	le.PutUint64(txn[OffTxnDataLen:], 48)
	le.PutUint32(txn[OffTxnObjCount:], 2)
	le.PutUint32(txn[OffTxnFlags:], TxnJudged)
	le.PutUint64(txn[OffTxnLsmProc:], 1<<32)
	le.PutUint32(txn[OffTxnLsmError:], ^uint32(unix.EACCES)+1)
	le.PutUint32(obj[OffObjRawLen:], 24)
	le.PutUint32(obj[OffObjFdFirst:], 1)
	le.PutUint32(obj[OffObjFdCount:], 1)
	le.PutUint64(obj[OffObjSegPos:], 8)
	le.PutUint64(obj[OffObjSegLen:], 8)
	le.PutUint32(fd[OffFdToken:], 5)
	le.PutUint32(fd[SizeofFd+OffFdError:], ^uint32(unix.EBADF)+1)
	return b
}

const (
	streamAt = SizeofReq + SizeofWr
	txnAt    = streamAt + 16
	objAt    = txnAt + SizeofTxn
	fdAt     = objAt + 2*SizeofObj
)

func TestParseWriteRead(t *testing.T) {
	var w WriteRead
	var r driver.Request
	if err := w.Parse(control(), 64, &r); err != nil {
		t.Fatal(err)
	}
	if string(r.Stream) != "stream 13 lng" || r.ReadSize != 256 || w.FixCap != 4 || !r.NonBlock || !r.Fault || r.Partial || r.Continued || r.EUID != 1000 || r.ReportCap != 3 {
		t.Errorf("%+v", r)
	}
	if len(r.Gather) != 1 || r.Gather[0].DataPos != 16 || r.Gather[0].ObjCount != 2 || r.Gather[0].CmdPos != 8 ||
		!r.Gather[0].Judged || r.Gather[0].LSMProc != 1<<32 || r.Gather[0].LSMError != -int32(unix.EACCES) {
		t.Errorf("transactions %+v", r.Gather)
	}
	if len(r.Objects) != 2 || r.Objects[0].RawLen != 24 || r.Objects[0].FDFirst != 1 || r.Objects[0].SegPos != 8 {
		t.Errorf("objects %+v", r.Objects)
	}
	if want := []driver.FD{{Token: 5}, {Err: unix.EBADF}}; !slices.Equal(r.FDs, want) {
		t.Errorf("descriptors %+v", r.FDs)
	}
}

// TestParseWriteReadRefuses changes one field of a good request at a time.
func TestParseWriteReadRefuses(t *testing.T) {
	u32 := func(off int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint32(b[off:], v); return b }
	}
	u64 := func(off int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint64(b[off:], v); return b }
	}
	max32, max64 := ^uint32(0), ^uint64(0)
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   unix.Errno
	}{
		"cut short":          {func(b []byte) []byte { return b[:len(b)-1] }, unix.EPROTO},
		"a byte too many":    {func(b []byte) []byte { return append(b, 0) }, unix.EPROTO},
		"no body":            {func(b []byte) []byte { return b[:SizeofReq+SizeofWr-1] }, unix.EPROTO},
		"write_len":          {u32(SizeofReq+OffWrWriteLen, max32), unix.EPROTO},
		"write_len -7":       {u32(SizeofReq+OffWrWriteLen, max32-6), unix.EPROTO},
		"txn_count":          {u32(SizeofReq+OffWrTxnCount, max32), unix.EPROTO},
		"obj_count":          {u32(SizeofReq+OffWrObjCount, max32), unix.EPROTO},
		"fd_count":           {u32(SizeofReq+OffWrFdCount, 3), unix.EPROTO},
		"extent_count":       {u32(SizeofReq+OffWrExtentCount, 1), unix.EPROTO},
		"cmd_pos at the end": {u32(txnAt+OffTxnCmdPos, 10), unix.EINVAL},
		"cmd_pos wraps":      {u32(txnAt+OffTxnCmdPos, max32), unix.EINVAL},
		"data beyond":        {u64(txnAt+OffTxnDataLen, 49), unix.EINVAL},
		"data_pos wraps":     {u64(txnAt+OffTxnDataPos, max64), unix.EINVAL},
		"obj_first":          {u32(txnAt+OffTxnObjFirst, 1), unix.EINVAL},
		"obj_first wraps":    {u32(txnAt+OffTxnObjFirst, max32), unix.EINVAL},
		"raw_len":            {u32(objAt+OffObjRawLen, 41), unix.EINVAL},
		"fd_first":           {u32(objAt+OffObjFdFirst, 2), unix.EINVAL},
		"fd_count of object": {u32(objAt+OffObjFdCount, max32), unix.EINVAL},
		"seg_pos":            {u64(objAt+OffObjSegPos, 57), unix.EINVAL},
		"seg_len wraps":      {u64(objAt+OffObjSegLen, max64), unix.EINVAL},
	} {
		var w WriteRead
		var r driver.Request
		err := w.Parse(c.change(control()), 64, &r)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestParseExtents(t *testing.T) {
	with := func(extents ...uint64) []byte {
		b := control()
		le.PutUint32(b[SizeofReq+OffWrExtentCount:], uint32(len(extents)/2))
		for _, v := range extents {
			b = le.AppendUint64(b, v)
		}
		return b
	}
	var w WriteRead
	var r driver.Request
	if err := w.Parse(with(0x1000, 40, 0x9000, 24), 0, &r); err != nil {
		t.Fatal(err)
	}
	if w.Payload != 64 || w.Find(39) != 0 || w.Find(40) != 1 || w.Find(63) != 1 {
		t.Errorf("%+v", w)
	}
	for name, b := range map[string][]byte{
		"empty":       with(0x1000, 0, 0x9000, 64),
		"wraps":       with(^uint64(0), 64),
		"total wraps": with(0, ^uint64(0), 0, 64),
		"too little":  with(0x1000, 63),
	} {
		if err := w.Parse(b, 64, &r); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseReusesMemory(t *testing.T) {
	var w WriteRead
	var r driver.Request
	b := control()
	n := testing.AllocsPerRun(100, func() {
		if err := w.Parse(b, 64, &r); err != nil {
			t.Fatal(err)
		}
		r.Gather = r.Gather[1:] // as the core does
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseOpen(t *testing.T) {
	b := make([]byte, SizeofReq+SizeofOpen)
	body := b[SizeofReq:]
	le.PutUint64(body[OffOpenContext:], 7)
	le.PutUint32(body[OffOpenPid:], 12)
	le.PutUint32(body[OffOpenNice:], ^uint32(0))
	le.PutUint32(body[OffOpenLabelLen:], 5)
	copy(body[OffOpenComm:], "servicemanager!!")
	b = append(b, "label"...)
	got, err := ParseOpen(b)
	if want := (driver.OpenArgs{Context: 7, PID: 12, Nice: -1, Label: "label", Comm: "servicemanager!!"}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ParseOpen(b[:len(b)-1]); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a label cut short: %v", err)
	}
	b[len(b)-1] = 0
	if _, err := ParseOpen(b); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a NUL in the label: %v", err)
	}
}

func TestAppendResponse(t *testing.T) {
	r := driver.Response{
		Status: unix.EFAULT, Flags: driver.RespStopped, Val: 1, WriteConsumed: 2, BR: []byte("BRBR"),
		Fix: []driver.Fix{{Off: 7, Token: 8, Kind: driver.FixPut}}, TxnPos: 9, SenderEUID: 10, SenderProc: 11, Delivery: 12, Nice: -3,
	}
	b := AppendResponse(nil, &r, 2, 0)
	if len(b) != SizeofResp+2*SizeofFix+4 || uint64(len(b)) != ResponseSize(2, 0, 4) {
		t.Fatalf("%d bytes", len(b))
	}
	for off, want := range map[int]uint32{
		OffRespStatus: 0xfffffff2, OffRespFlags: RespStopped, OffRespVal: 1, OffRespWriteConsumed: 2, OffRespBrLen: 4,
		OffRespFixCount: 1, OffRespTxnPos: 9, OffRespSenderEuid: 10, OffRespSenderProc: 11, OffRespDelivery: 12, OffRespNice: 0xfffffffd,
		SizeofResp + OffFixOff: 7, SizeofResp + OffFixToken: 8, SizeofResp + OffFixKind: FixPut,
	} {
		if got := le.Uint32(b[off:]); got != want {
			t.Errorf("offset %d: %#x, want %#x", off, got, want)
		}
	}
	if !bytes.HasSuffix(b, []byte("BRBR")) {
		t.Errorf("BR area: %x", b)
	}
	r.BR = nil
	if b := AppendResponse(nil, &r, 2, 3); len(b) != SizeofResp+SizeofFix {
		t.Errorf("without BR: %d bytes", len(b))
	}
}

// TestAppendReports: the reports stand between fix-ups and BR area, whatever room
// either table leaves.
func TestAppendReports(t *testing.T) {
	r := driver.Response{
		BR: []byte("BRBR"), ReportsLost: 70000,
		Reports: []driver.Report{{Error: 1, ToPID: 2, ToTID: 3, HasTo: true, HasToTID: true, IsReply: true, Flags: 4, Code: 5, DataSize: 6}, {Error: 7}},
	}
	b := AppendResponse(nil, &r, 2, 3)
	if uint64(len(b)) != ResponseSize(2, 3, 4) || !bytes.HasSuffix(b, []byte("BRBR")) {
		t.Fatalf("%d bytes: %x", len(b), b)
	}
	if n, lost := le.Uint16(b[OffRespReportCount:]), le.Uint16(b[OffRespReportsLost:]); n != 2 || lost != 65535 {
		t.Errorf("%d reports, %d lost", n, lost)
	}
	at := SizeofResp + 2*SizeofFix
	for i, want := range []uint32{1, ReportTo | ReportToTid | ReportReply, 2, 3, 4, 5, 6, 0, 7, 0} {
		if got := le.Uint32(b[at+4*i:]); got != want {
			t.Errorf("word %d: %d, want %d", i, got, want)
		}
	}
	r.BR = nil
	if b := AppendResponse(nil, &r, 2, 3); len(b) != SizeofResp+2*SizeofFix+2*SizeofReport {
		t.Errorf("without BR: %d bytes", len(b))
	}
}

// FuzzDecode feeds every parser; what WriteRead accepts must be safe to index.
func FuzzDecode(f *testing.F) {
	f.Add(control(), uint64(64))
	f.Add(make([]byte, SizeofReq+SizeofOpen), uint64(0))
	f.Add(make([]byte, SizeofReq+SizeofIoctl), uint64(0))
	var w WriteRead
	var r driver.Request
	f.Fuzz(func(t *testing.T, b []byte, after uint64) {
		_, _ = ParseHeader(b)
		_, _ = ParseContext(b)
		_, _ = ParseContextEnd(b)
		_, _ = ParseLog(b)
		_, _ = ParseLogClose(b)
		_, _ = ParseOpen(b)
		_, _, _ = ParseMmap(b)
		_, _ = ParseIoctl(b, &r, new([LenIoctlArg]byte))
		_, _ = ParseFetch(b)
		_, _ = ParseUndo(b)
		if w.Parse(b, after, &r) != nil {
			return
		}
		inside := func(pos, n, total uint64) {
			if pos+n < pos || pos+n > total {
				t.Fatalf("accepted [%d, +%d) of %d", pos, n, total)
			}
		}
		for _, g := range r.Gather {
			inside(uint64(g.CmdPos), 4, uint64(len(r.Stream)))
			inside(g.DataPos, g.DataLen, w.Payload)
			inside(uint64(g.ObjFirst), uint64(g.ObjCount), uint64(len(r.Objects)))
		}
		for _, o := range r.Objects {
			inside(0, uint64(o.RawLen), uint64(len(o.Raw)))
			inside(uint64(o.FDFirst), uint64(o.FDCount), uint64(len(r.FDs)))
			inside(o.SegPos, o.SegLen, w.Payload)
		}
		if w.Payload > 0 && len(w.Extents) > 0 {
			e := w.Extents[w.Find(w.Payload-1)]
			inside(w.Payload-1-e.Pos, 1, e.Len)
		}
	})
}
