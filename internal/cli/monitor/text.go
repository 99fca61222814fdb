// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"virtbinder/netlink"
)

// textOutput prints a line an event, columns aligned, each field with its name.
// What a report does not say is left out.
type textOutput struct {
	w      io.Writer
	colour bool
}

func (t *textOutput) event(ev event) error {
	_, err := io.WriteString(t.w, t.line(&ev)+"\n")
	return err
}

func (t *textOutput) tick() error { return nil }
func (t *textOutput) end() error  { return nil }

func (t *textOutput) line(ev *event) string {
	at := t.paint(dim, ev.Time.Format("15:04:05.000"))
	switch ev.Kind {
	case netlink.EventGap:
		return at + " " + t.paint(yellow, "GAP: "+lostText(ev)+" lost here ("+ev.Source+")")
	case netlink.EventBad:
		return at + " " + t.paint(yellow, "BAD MESSAGE: "+ev.Err.Error()+" ("+ev.Source+")")
	}
	return at + " " + t.report(ev)
}

func lostText(ev *event) string {
	if !ev.LostKnown {
		return "an unknown number of reports"
	}
	return plural(int(ev.Lost), "report")
}

// report is the fields of one report, then why.
func (t *textOutput) report(ev *event) string {
	r := &ev.Report
	cols := []string{
		t.paint(ev.colour(), fmt.Sprintf("%-29s", ev.name())),
		fmt.Sprintf("%-16s", clean(r.Context)),
		fmt.Sprintf("%-20s", source(ev)),
		fmt.Sprintf("%-16s", target(ev)),
	}
	if !ev.own() || r.Code != 0 {
		cols = append(cols,
			fmt.Sprintf("%-6s", kind(r)),
			fmt.Sprintf("code %-10s", codeText(r.Code)),
			fmt.Sprintf("size %-8d", r.DataSize),
			"flags "+netlink.FlagNames(r.Flags))
	}
	if ev.rec != nil && ev.rec.Interface != "" {
		cols = append(cols, "interface "+clean(ev.rec.Interface))
	}
	switch {
	case ev.FromKernel:
		cols = append(cols, "(host kernel)")
	case ev.own():
		cols = append(cols, "(virtbinder's own)")
	case ev.VM != "" && !strings.HasSuffix(r.Context, "@"+ev.VM):
		cols = append(cols, "vm "+clean(ev.VM))
	}
	if why := ev.reason(); why != "" {
		cols = append(cols, t.paint(ev.colour(), "-- "+why))
	}
	for _, a := range ev.Unknown {
		cols = append(cols, t.paint(yellow, fmt.Sprintf("unknown attribute %d = %x", a.Type, a.Data)))
	}
	return strings.TrimRight(strings.Join(cols, " "), " ")
}

// pair is PID/TID as far as they are there.
func pair(pid uint32, hasPID bool, tid uint32, hasTID bool) string {
	switch {
	case hasPID && hasTID:
		return fmt.Sprintf("%d/%d", pid, tid)
	case hasPID:
		return strconv.FormatUint(uint64(pid), 10)
	case hasTID:
		return fmt.Sprintf("?/%d", tid)
	}
	return ""
}

// source is who issued the transaction; of what is our own it may not be known.
func source(ev *event) string {
	if ev.own() && ev.Report.FromPID == 0 {
		return ""
	}
	return "from " + named(pair(ev.Report.FromPID, true, ev.Report.FromTID, !ev.own() || ev.Report.FromTID != 0), ev.fromName)
}

func target(ev *event) string {
	r := &ev.Report
	p := pair(r.ToPID, r.HasToPID, r.ToTID, r.HasToTID)
	if p == "" {
		return ""
	}
	return "to " + named(p, ev.toName)
}

// named adds a process's name, where there is one.
func named(pids, name string) string {
	if name == "" {
		return pids
	}
	return pids + " " + clean(name)
}

const tfOneWay = 0x01

func kind(r *netlink.Report) string {
	switch {
	case r.IsReply:
		return "reply"
	case r.Flags&tfOneWay != 0:
		return "oneway"
	}
	return "call"
}

// codeText is the code as a number, or as the four characters that Android packs
// into its own codes ('_PNG' is a ping).
func codeText(code uint32) string {
	s := string([]byte{byte(code >> 24), byte(code >> 16), byte(code >> 8), byte(code)})
	if printable4(s) {
		return "'" + s + "'"
	}
	return strconv.FormatUint(uint64(code), 10)
}

// clean makes a name from elsewhere safe for a terminal and one word.
func clean(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return strconv.Quote(s)
	}
	return s
}

// Colours, as SGR parameters.
const (
	dim     = "2"
	red     = "31"
	green   = "32"
	yellow  = "33"
	blue    = "34"
	magenta = "35"
	cyan    = "36"
)

func (ev *event) colour() string {
	if ev.own() {
		return green
	}
	switch ev.Report.Error {
	case netlink.BRDeadReply:
		return magenta
	case netlink.BRFrozenReply:
		return cyan
	case netlink.BROnewaySpamSuspect:
		return yellow
	case netlink.BRTransactionPendingFrozen:
		return blue
	}
	return red
}

func (t *textOutput) paint(colour, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// ago is a duration short enough for a table.
func ago(d time.Duration) string { return d.Truncate(time.Second).String() }
