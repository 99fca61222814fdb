// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"virtbinder/netlink"
)

// maxRows bounds the table: a guest can make up as many processes as it likes.
// Failures beyond it are counted in one row.
const maxRows = 1000

// summaryKey is what a row stands for.
type summaryKey struct {
	context string
	pid     uint32
	process string // its name, where known
	name    string // of the error
}

type summaryRow struct {
	key         summaryKey
	count       uint64
	recent      uint64 // since the last tick
	first, last time.Time
}

// summary is the table of --summary.
type summary struct {
	w        io.Writer
	asJSON   bool
	live     bool
	rows     map[summaryKey]*summaryRow
	others   uint64
	lost     uint64
	bad      uint64
	lastTick time.Time
	period   time.Duration // that recent covers, as of the last tick
}

func newSummary(w io.Writer, asJSON, live bool) *summary {
	return &summary{w: w, asJSON: asJSON, live: live, rows: map[summaryKey]*summaryRow{}, lastTick: time.Now()}
}

func (s *summary) event(ev event) error {
	switch ev.Kind {
	case netlink.EventGap:
		s.lost += ev.Lost
		return nil
	case netlink.EventBad:
		s.bad++
		return nil
	}
	k := summaryKey{ev.Report.Context, ev.Report.FromPID, ev.fromName, ev.name()}
	row := s.rows[k]
	if row == nil {
		if len(s.rows) >= maxRows {
			s.others++
			return nil
		}
		row = &summaryRow{key: k, first: ev.Time}
		s.rows[k] = row
	}
	row.count++
	row.recent++
	row.last = ev.Time
	return nil
}

// tick redraws the live table.
func (s *summary) tick() error {
	now := time.Now()
	s.period, s.lastTick = now.Sub(s.lastTick), now
	var err error
	if s.live {
		_, err = io.WriteString(s.w, "\x1b[H\x1b[2J"+s.table(now))
	}
	for _, r := range s.rows {
		r.recent = 0
	}
	return err
}

func (s *summary) end() error {
	if s.asJSON {
		return s.endJSON()
	}
	_, err := io.WriteString(s.w, s.table(time.Now()))
	return err
}

// sorted is the rows, most failures first.
func (s *summary) sorted() []*summaryRow {
	rows := make([]*summaryRow, 0, len(s.rows))
	for _, r := range s.rows {
		rows = append(rows, r)
	}
	sort.Slice(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		if a.count != b.count {
			return a.count > b.count
		}
		if a.key.context != b.key.context {
			return a.key.context < b.key.context
		}
		if a.key.pid != b.key.pid {
			return a.key.pid < b.key.pid
		}
		return a.key.name < b.key.name
	})
	return rows
}

func (s *summary) table(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%8s %7s  %-29s %-16s %-24s %-9s %s\n", "COUNT", "RATE/S", "ERROR", "CONTEXT", "FROM", "FIRST", "LAST SEEN")
	for _, r := range s.sorted() {
		rate := "-"
		if s.period > 0 {
			rate = fmt.Sprintf("%.1f", float64(r.recent)/s.period.Seconds())
		}
		fmt.Fprintf(&b, "%8d %7s  %-29s %-16s %-24s %-9s %s ago\n", r.count, rate, r.key.name, clean(r.key.context),
			named(fmt.Sprint(r.key.pid), r.key.process), r.first.Format("15:04:05"), ago(now.Sub(r.last)))
	}
	if s.others > 0 {
		fmt.Fprintf(&b, "%8d          from further processes and contexts, beyond %d rows\n", s.others, maxRows)
	}
	if s.lost > 0 || s.bad > 0 {
		fmt.Fprintf(&b, "%d reports lost on the way, %d bad messages\n", s.lost, s.bad)
	}
	return b.String()
}

func (s *summary) endJSON() error {
	enc := json.NewEncoder(s.w)
	for _, r := range s.sorted() {
		err := enc.Encode(map[string]any{"kind": "summary", "count": r.count, "error_name": r.key.name,
			"context": r.key.context, "from_pid": r.key.pid, "from_name": r.key.process, "first": r.first, "last": r.last})
		if err != nil {
			return err
		}
	}
	return enc.Encode(map[string]any{"kind": "summary_total", "beyond_rows": s.others, "lost": s.lost, "bad": s.bad})
}
