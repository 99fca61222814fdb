// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
)

// Seen is a report as `virtbinder monitor --json` prints it, without the time.
type Seen struct {
	Kind      string  `json:"kind"`
	Source    string  `json:"source"`
	Origin    string  `json:"origin"`
	VM        string  `json:"vm,omitempty"`
	ErrorName string  `json:"error_name"`
	Context   string  `json:"context"`
	FromPID   uint32  `json:"from_pid"`
	FromTID   uint32  `json:"from_tid"`
	ToPID     *uint32 `json:"to_pid,omitempty"`
	ToTID     *uint32 `json:"to_tid,omitempty"`
	IsReply   bool    `json:"is_reply"`
	Flags     uint32  `json:"flags"`
	Code      uint32  `json:"code"`
	DataSize  uint32  `json:"data_size"`
	Unknown   []any   `json:"unknown,omitempty"`
}

func (s Seen) String() string {
	to := ""
	if s.ToPID != nil {
		to += fmt.Sprintf(" to pid %d", *s.ToPID)
	}
	if s.ToTID != nil {
		to += fmt.Sprintf(" tid %d", *s.ToTID)
	}
	if s.Kind != "report" {
		return s.Kind + " from " + s.Source
	}
	return fmt.Sprintf("%s %s from pid %d tid %d%s code %d size %d flags %#x reply %t (by %s)",
		s.ErrorName, s.Context, s.FromPID, s.FromTID, to, s.Code, s.DataSize, s.Flags, s.IsReply, s.Source)
}

// tfAcceptFDs is the flag that libbinder and libgbinder set on each call of theirs.
const tfAcceptFDs = 0x10

// deadReport is the report of a call to a dead service. The target is gone, so the
// kernel's driver names none.
func deadReport(vm string, from, code uint32) Seen {
	return Seen{Kind: "report", Source: "netlink", Origin: "vm", VM: vm, ErrorName: "BR_DEAD_REPLY", Context: "binder@" + vm,
		FromPID: from, FromTID: from, Flags: tfAcceptFDs, Code: code}
}

// tooLargeReport is the report of a call that does not fit into its live target's
// buffer. The target's process is named, a thread was not chosen yet.
func tooLargeReport(vm string, from, to, code, size uint32) Seen {
	return Seen{Kind: "report", Source: "netlink", Origin: "vm", VM: vm, ErrorName: "BR_FAILED_REPLY", Context: "binder@" + vm,
		FromPID: from, FromTID: from, ToPID: &to, Flags: tfAcceptFDs, Code: code, DataSize: size}
}

// readSeen reads the monitor's output. A last line without its end is left out.
func readSeen(path string) ([]Seen, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []Seen
	for {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return all, nil
		}
		var s Seen
		if err := json.Unmarshal(line, &s); err != nil {
			return all, fmt.Errorf("%s: %w in %q", path, err, line)
		}
		all, b = append(all, s), rest
	}
}

// compare says how what was seen differs from what was expected: nothing may be
// missing, nothing may be there besides, and no field may differ.
func compare(want, got []Seen) error {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			return fmt.Errorf("report %d is missing: %v", i+1, want[i])
		case i >= len(want):
			return fmt.Errorf("report %d should not be there: %v", i+1, got[i])
		case !reflect.DeepEqual(want[i], got[i]):
			return fmt.Errorf("report %d is\n  %v, expected\n  %v", i+1, got[i], want[i])
		}
	}
	return nil
}
