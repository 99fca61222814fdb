// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/internal/journal"
	"virtbinder/netlink"
)

// jsonEvent is one line of --json. Kind says what it is: report, gap, bad, or own for
// what only virtbinder tells.
// Fields that the report does not have are left out. Names and numbers of a
// report's fields are those of the kernel's specification.
type jsonEvent struct {
	Kind   string    `json:"kind"`
	Time   time.Time `json:"time"` // of receipt
	Source string    `json:"source"`

	*jsonReport

	Lost  *uint64 `json:"lost,omitempty"`   // gap: absent when not known
	Error string  `json:"reason,omitempty"` // bad
}

type jsonReport struct {
	Origin string `json:"origin"` // "kernel" (pids are the host's) or "vm" (a guest's)
	VM     string `json:"vm,omitempty"`

	Error     uint32   `json:"error"`
	ErrorName string   `json:"error_name"`
	Context   string   `json:"context"`
	FromPID   uint32   `json:"from_pid"`
	FromTID   uint32   `json:"from_tid"`
	ToPID     *uint32  `json:"to_pid,omitempty"`
	ToTID     *uint32  `json:"to_tid,omitempty"`
	IsReply   bool     `json:"is_reply"`
	Flags     uint32   `json:"flags"`
	FlagNames []string `json:"flag_names,omitempty"`
	Code      uint32   `json:"code"`
	DataSize  uint32   `json:"data_size"`

	Unknown []jsonAttr `json:"unknown,omitempty"`

	// What the report itself does not say.
	Reason    string  `json:"why,omitempty"` // in words
	FromName  string  `json:"from_name,omitempty"`
	ToName    string  `json:"to_name,omitempty"`
	Errno     int     `json:"errno,omitempty"`
	ErrnoName string  `json:"errno_name,omitempty"`
	Interface string  `json:"interface,omitempty"`
	Pending   int     `json:"pending,omitempty"`
	Free      *uint64 `json:"buffer_free,omitempty"`
	Size      uint64  `json:"buffer_size,omitempty"`
	Count     uint32  `json:"count,omitempty"` // oneways-lost
}

type jsonAttr struct {
	Type uint16 `json:"type"`
	Data string `json:"data"` // hex
}

// jsonOutput prints an object a line.
type jsonOutput struct{ w io.Writer }

func (j *jsonOutput) event(ev event) error {
	b, err := json.Marshal(toJSON(&ev))
	if err != nil {
		return err
	}
	_, err = j.w.Write(append(b, '\n'))
	return err
}

func (j *jsonOutput) tick() error { return nil }
func (j *jsonOutput) end() error  { return nil }

func toJSON(ev *event) jsonEvent {
	out := jsonEvent{Time: ev.Time, Source: ev.Source}
	switch ev.Kind {
	case netlink.EventGap:
		out.Kind = "gap"
		if ev.LostKnown {
			out.Lost = &ev.Lost
		}
	case netlink.EventBad:
		out.Kind, out.Error = "bad", ev.Err.Error()
	default:
		out.Kind, out.jsonReport = "report", reportJSON(ev)
		if ev.own() {
			out.Kind = "own"
		}
	}
	return out
}

func reportJSON(ev *event) *jsonReport {
	r := &ev.Report
	out := &jsonReport{Origin: "vm", VM: ev.VM, Error: r.Error, ErrorName: ev.name(), Context: r.Context,
		FromPID: r.FromPID, FromTID: r.FromTID, IsReply: r.IsReply, Flags: r.Flags, Code: r.Code, DataSize: r.DataSize}
	if ev.FromKernel {
		out.Origin = "kernel"
	}
	if r.HasToPID {
		out.ToPID = &r.ToPID
	}
	if r.HasToTID {
		out.ToTID = &r.ToTID
	}
	if r.Flags != 0 {
		out.FlagNames = strings.Split(netlink.FlagNames(r.Flags), "|")
	}
	out.Reason, out.FromName, out.ToName = ev.reason(), ev.fromName, ev.toName
	if ev.rec != nil {
		out.addKnown(ev.rec)
	}
	for _, a := range ev.Unknown {
		out.Unknown = append(out.Unknown, jsonAttr{a.Type, hex.EncodeToString(a.Data)})
	}
	return out
}

// addKnown adds what a journal knows.
func (out *jsonReport) addKnown(r *journal.Record) {
	out.Errno, out.Interface, out.Pending, out.Count = int(r.Errno), r.Interface, r.Pending, r.Count
	if r.Errno != 0 {
		out.ErrnoName = unix.ErrnoName(r.Errno)
	}
	if r.Size != 0 {
		out.Free, out.Size = &r.Free, r.Size
	}
}
