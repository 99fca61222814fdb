// SPDX-License-Identifier: Apache-2.0

package driver

// Report is one failed transaction, in the fields of Linux's binder netlink
// family. It is built under Core.mu from the failing command and never changed.
type Report struct {
	VM       string
	Error    uint32 // BR_ code
	Context  string
	FromPID  uint32
	FromTID  uint32
	ToPID    uint32 // valid if HasTo
	ToTID    uint32 // valid if HasToTID
	HasTo    bool
	HasToTID bool
	IsReply  bool
	Flags    uint32
	Code     uint32
	DataSize uint32 // low 32 bits of the data size, bytes

	Detail // for virtbinder's own channels, where Env is a Noticer
}

// takeAlong lets the answer to r carry rep to the guest, if somebody listens there.
func (r *Request) takeAlong(rep Report) {
	switch {
	case uint32(len(r.Resp.Reports)) < r.ReportCap:
		r.Resp.Reports = append(r.Resp.Reports, rep)
	case r.ReportCap > 0:
		r.Resp.ReportsLost++
	}
}
