// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"time"

	"virtbinder/netlink"
)

// jsonEvent is one line of --json. Kind says what it is: report, gap or bad.
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
}

type jsonAttr struct {
	Type uint16 `json:"type"`
	Data string `json:"data"` // hex
}

// jsonOutput prints an object a line.
type jsonOutput struct{ w io.Writer }

func (j *jsonOutput) event(ev netlink.Event) error {
	b, err := json.Marshal(toJSON(&ev))
	if err != nil {
		return err
	}
	_, err = j.w.Write(append(b, '\n'))
	return err
}

func (j *jsonOutput) tick() error { return nil }
func (j *jsonOutput) end() error  { return nil }

func toJSON(ev *netlink.Event) jsonEvent {
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
	}
	return out
}

func reportJSON(ev *netlink.Event) *jsonReport {
	r := &ev.Report
	out := &jsonReport{Origin: "vm", VM: ev.VM, Error: r.Error, ErrorName: netlink.ErrorName(r.Error), Context: r.Context,
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
	for _, a := range ev.Unknown {
		out.Unknown = append(out.Unknown, jsonAttr{a.Type, hex.EncodeToString(a.Data)})
	}
	return out
}
