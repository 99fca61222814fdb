// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math"

	"virtbinder/driver"
)

// ResponseSize is the number of writable bytes that an answer may need.
func ResponseSize(fixCap, reportCap, readSize uint32) uint64 {
	return SizeofResp + uint64(fixCap)*SizeofFix + uint64(reportCap)*SizeofReport + uint64(readSize)
}

// AppendResponse appends an answer to b: header, fix-up table of fixCap entries,
// reports likewise, BR area. An answer ends with the last thing that is valid in it.
// There must not be more fix-ups than fixCap, nor reports than reportCap.
func AppendResponse(b []byte, r *driver.Response, fixCap, reportCap uint32) []byte {
	b = le.AppendUint32(b, uint32(-int32(r.Status)))
	b = le.AppendUint32(b, r.Flags)
	b = le.AppendUint64(b, r.Val)
	b = le.AppendUint64(b, r.WriteConsumed)
	b = le.AppendUint32(b, uint32(len(r.BR)))
	b = le.AppendUint32(b, uint32(len(r.Fix)))
	b = le.AppendUint32(b, r.TxnPos)
	b = le.AppendUint32(b, r.SenderEUID)
	b = le.AppendUint64(b, uint64(r.SenderProc))
	b = le.AppendUint64(b, r.Delivery)
	b = le.AppendUint32(b, uint32(r.Nice))
	b = le.AppendUint16(b, uint16(len(r.Reports)))
	b = le.AppendUint16(b, uint16(min(r.ReportsLost, math.MaxUint16)))
	for i := range r.Fix {
		b = le.AppendUint64(b, r.Fix[i].Off)
		b = le.AppendUint32(b, r.Fix[i].Token)
		b = le.AppendUint32(b, uint32(r.Fix[i].Kind))
	}
	if len(r.BR) == 0 && len(r.Reports) == 0 {
		return b
	}
	b = appendZeros(b, SizeofFix*(int(fixCap)-len(r.Fix)))
	for i := range r.Reports {
		b = appendReport(b, &r.Reports[i])
	}
	if len(r.BR) == 0 {
		return b
	}
	b = appendZeros(b, SizeofReport*(int(reportCap)-len(r.Reports)))
	return append(b, r.BR...)
}

func appendZeros(b []byte, n int) []byte {
	for ; n >= 8; n -= 8 {
		b = le.AppendUint64(b, 0)
	}
	return b
}

func appendReport(b []byte, r *driver.Report) []byte {
	var flags uint32
	for _, f := range [...]struct {
		set bool
		bit uint32
	}{{r.HasTo, ReportTo}, {r.HasToTID, ReportToTid}, {r.IsReply, ReportReply}} {
		if f.set {
			flags |= f.bit
		}
	}
	for _, v := range [...]uint32{r.Error, flags, r.ToPID, r.ToTID, r.Flags, r.Code, r.DataSize, 0} {
		b = le.AppendUint32(b, v)
	}
	return b
}

// PutEvent fills an event without tokens.
func PutEvent(b *[SizeofEvent]byte, kind driver.EventKind, proc driver.ProcID, tid uint32) {
	clear(b[:])
	le.PutUint32(b[OffEventType:], uint32(kind))
	le.PutUint64(b[OffEventProc:], uint64(proc))
	le.PutUint32(b[OffEventTid:], tid)
}

// PutTokens fills an event that drops tokens, at most EvTokens of them.
func PutTokens(b *[SizeofEvent]byte, tokens []uint32) {
	clear(b[:])
	le.PutUint32(b[OffEventType:], uint32(driver.EventPut))
	le.PutUint32(b[OffEventCount:], uint32(len(tokens)))
	for i, t := range tokens {
		le.PutUint32(b[OffEventToken+4*i:], t)
	}
}

// Config is the device configuration space.
type Config struct {
	RequestQueues, MaxCtl, MaxRead, MaxMap uint32
	WindowSize                             uint64
}

// Bytes is the configuration space as the guest reads it.
func (c Config) Bytes() (b [SizeofConfig]byte) {
	le.PutUint32(b[OffConfigMagic:], Magic)
	le.PutUint32(b[OffConfigVersion:], Version)
	le.PutUint32(b[OffConfigRequestQueues:], c.RequestQueues)
	le.PutUint32(b[OffConfigMaxCtl:], c.MaxCtl)
	le.PutUint32(b[OffConfigMaxRead:], c.MaxRead)
	le.PutUint32(b[OffConfigMaxMap:], c.MaxMap)
	le.PutUint64(b[OffConfigWindowSize:], c.WindowSize)
	return b
}
