// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/netlink"
)

// Version is that of the form of datagrams.
const Version = 1

// Kind is what a record tells.
type Kind string

// The kinds. All but KindReport are virtbinder's own.
const (
	KindReport         Kind = "report"
	KindDeliveryFailed Kind = "delivery-failed" // the target read it and could not take it
	KindCallLost       Kind = "call-lost"       // the target died with the call
	KindOnewaysLost    Kind = "oneways-lost"    // a process ended with Count unread oneways
	KindBufferLow      Kind = "buffer-low"      // less than a tenth of a process's buffers is free
	kindHello          Kind = "hello"
	kindGap            Kind = "gap"
)

// Known says whether k is a record's kind.
func (k Kind) Known() bool {
	switch k {
	case KindReport, KindDeliveryFailed, KindCallLost, KindOnewaysLost, KindBufferLow:
		return true
	}
	return false
}

// Record is one thing that failed. Which fields hold something depends on Kind;
// those of Report that are not known are zero.
type Record struct {
	Kind   Kind
	Seq    uint64    // of the machine, from 1
	Time   time.Time // of the failure
	Report netlink.Report

	Errno            unix.Errno // 0: none
	Pending          int        // transactions that a frozen target has not served
	Free, Size       uint64     // the target's buffers, or their oneway half, bytes
	Interface        string
	FromName, ToName string // of the processes
	Count            uint32 // KindOnewaysLost
}

// Hello is what a client is told first.
type Hello struct {
	VM     string            `json:"vm"`
	Ports  []uint32          `json:"ports"`            // netlink ports of the machine's reports
	Socket string            `json:"socket,omitempty"` // unix socket of the same
	Counts map[string]uint64 `json:"counts"`           // records by BR code or kind
}

// Message is one datagram: exactly one of the three.
type Message struct {
	Hello  *Hello
	Record *Record
	Lost   uint64
}

// message is a datagram's JSON.
type message struct {
	Kind    Kind   `json:"kind"`
	Version int    `json:"version,omitzero"` // hello
	Lost    uint64 `json:"lost,omitzero"`    // gap
	*Hello

	Seq       uint64    `json:"seq,omitzero"`
	Time      time.Time `json:"time,omitzero"`
	Error     uint32    `json:"error,omitzero"`
	ErrorName string    `json:"error_name,omitzero"`
	Context   string    `json:"context,omitzero"`
	FromPID   uint32    `json:"from_pid,omitzero"`
	FromTID   uint32    `json:"from_tid,omitzero"`
	ToPID     *uint32   `json:"to_pid,omitzero"`
	ToTID     *uint32   `json:"to_tid,omitzero"`
	IsReply   bool      `json:"is_reply,omitzero"`
	Flags     uint32    `json:"flags,omitzero"`
	Code      uint32    `json:"code,omitzero"`
	DataSize  uint32    `json:"data_size,omitzero"`

	Errno     int    `json:"errno,omitzero"`
	ErrnoName string `json:"errno_name,omitzero"`
	Pending   int    `json:"pending,omitzero"`
	Free      uint64 `json:"buffer_free,omitzero"`
	Size      uint64 `json:"buffer_size,omitzero"`
	Interface string `json:"interface,omitzero"`
	FromName  string `json:"from_name,omitzero"`
	ToName    string `json:"to_name,omitzero"`
	Count     uint32 `json:"count,omitzero"`
}

// JSON is the datagram of a record, its context qualified by suffix.
func (r *Record) JSON(suffix string) ([]byte, error) {
	p := &r.Report
	m := message{Kind: r.Kind, Seq: r.Seq, Time: r.Time, Error: p.Error, Context: p.Context + suffix,
		FromPID: p.FromPID, FromTID: p.FromTID, IsReply: p.IsReply, Flags: p.Flags, Code: p.Code, DataSize: p.DataSize,
		Errno: int(r.Errno), Pending: r.Pending, Free: r.Free, Size: r.Size, Interface: r.Interface,
		FromName: r.FromName, ToName: r.ToName, Count: r.Count}
	if r.Kind == KindReport {
		m.ErrorName = netlink.ErrorName(p.Error)
	}
	if r.Errno != 0 {
		m.ErrnoName = unix.ErrnoName(r.Errno)
	}
	if p.HasToPID {
		m.ToPID = &p.ToPID
	}
	if p.HasToTID {
		m.ToTID = &p.ToTID
	}
	return json.Marshal(&m)
}

// ErrMalformed is what Decode's errors match.
var ErrMalformed = errors.New("malformed journal record")

// Bounds of what a machine, whose guest may choose names, is believed.
const (
	maxErrno = 4095
	maxText  = 1024
)

// Decode reads one datagram.
func Decode(b []byte) (Message, error) {
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	switch {
	case m.Kind == kindHello && m.Version != Version:
		return Message{}, fmt.Errorf("%w: version %d, this program reads %d", ErrMalformed, m.Version, Version)
	case m.Kind == kindHello && m.Hello == nil:
		return Message{}, fmt.Errorf("%w: hello says nothing", ErrMalformed)
	case m.Kind == kindHello:
		return Message{Hello: m.Hello}, nil
	case m.Kind == kindGap:
		return Message{Lost: m.Lost}, nil
	case !m.Kind.Known():
		return Message{}, fmt.Errorf("%w: kind %.40q", ErrMalformed, m.Kind)
	case m.Errno < 0 || m.Errno > maxErrno || m.Pending < 0:
		return Message{}, fmt.Errorf("%w: errno %d, %d pending", ErrMalformed, m.Errno, m.Pending)
	}
	for _, s := range []string{m.Context, m.Interface, m.FromName, m.ToName} {
		if len(s) > maxText {
			return Message{}, fmt.Errorf("%w: a name of %d bytes", ErrMalformed, len(s))
		}
	}
	return Message{Record: m.record()}, nil
}

func (m *message) record() *Record {
	r := &Record{Kind: m.Kind, Seq: m.Seq, Time: m.Time,
		Report: netlink.Report{Error: m.Error, Context: m.Context, FromPID: m.FromPID, FromTID: m.FromTID,
			IsReply: m.IsReply, Flags: m.Flags, Code: m.Code, DataSize: m.DataSize},
		Errno: unix.Errno(m.Errno), Pending: m.Pending, Free: m.Free, Size: m.Size, Interface: m.Interface,
		FromName: m.FromName, ToName: m.ToName, Count: m.Count}
	if m.ToPID != nil {
		r.Report.ToPID, r.Report.HasToPID = *m.ToPID, true
	}
	if m.ToTID != nil {
		r.Report.ToTID, r.Report.HasToTID = *m.ToTID, true
	}
	return r
}
