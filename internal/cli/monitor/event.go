// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"virtbinder/internal/journal"
	"virtbinder/netlink"
)

// event is what the outputs print: an event of package netlink, and what is known
// besides. A record of a machine's journal that no report tells of is an EventReport
// too, so that filters hold for it; own says which.
type event struct {
	netlink.Event
	rec              *journal.Record // nil: known from netlink alone
	fromName, toName string          // of the processes, "" where not known
}

// own says that the event is virtbinder's alone: the kernel would report nothing.
func (ev *event) own() bool { return ev.rec != nil && ev.rec.Kind != journal.KindReport }

// name is the BR code's, or the kind of what is our own.
func (ev *event) name() string {
	if ev.own() {
		return string(ev.rec.Kind)
	}
	return netlink.ErrorName(ev.Report.Error)
}

// fromJournal is the event of a record.
func fromJournal(r *journal.Record, vm, source string) event {
	return event{
		Event: netlink.Event{Kind: netlink.EventReport, Time: r.Time, Source: source, Report: r.Report, VM: vm},
		rec:   r, fromName: r.FromName, toName: r.ToName,
	}
}
