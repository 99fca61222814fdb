// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// BR codes that reports carry as their error.
const (
	BRDeadReply                = 0x7205
	BRFailedReply              = 0x7211
	BRFrozenReply              = 0x7212
	BROnewaySpamSuspect        = 0x7213
	BRTransactionPendingFrozen = 0x7214
)

// brNames are all BR codes: a report may come from a kernel that reports more
// than those of today.
var brNames = map[uint32]string{
	0x80047200:                 "BR_ERROR",
	0x7201:                     "BR_OK",
	0x80487202:                 "BR_TRANSACTION_SEC_CTX",
	0x80407202:                 "BR_TRANSACTION",
	0x80407203:                 "BR_REPLY",
	0x80047204:                 "BR_ACQUIRE_RESULT",
	BRDeadReply:                "BR_DEAD_REPLY",
	0x7206:                     "BR_TRANSACTION_COMPLETE",
	0x80107207:                 "BR_INCREFS",
	0x80107208:                 "BR_ACQUIRE",
	0x80107209:                 "BR_RELEASE",
	0x8010720a:                 "BR_DECREFS",
	0x8018720b:                 "BR_ATTEMPT_ACQUIRE",
	0x720c:                     "BR_NOOP",
	0x720d:                     "BR_SPAWN_LOOPER",
	0x720e:                     "BR_FINISHED",
	0x8008720f:                 "BR_DEAD_BINDER",
	0x80087210:                 "BR_CLEAR_DEATH_NOTIFICATION_DONE",
	BRFailedReply:              "BR_FAILED_REPLY",
	BRFrozenReply:              "BR_FROZEN_REPLY",
	BROnewaySpamSuspect:        "BR_ONEWAY_SPAM_SUSPECT",
	BRTransactionPendingFrozen: "BR_TRANSACTION_PENDING_FROZEN",
	0x80107215:                 "BR_FROZEN_BINDER",
	0x80087216:                 "BR_CLEAR_FREEZE_NOTIFICATION_DONE",
}

// ErrorName is the symbolic name of a BR code, or its number in hex.
func ErrorName(code uint32) string {
	if s, ok := brNames[code]; ok {
		return s
	}
	return fmt.Sprintf("0x%08x", code)
}

// ParseErrorName is the BR code that s names: BR_DEAD_REPLY, DEAD_REPLY (in
// either case), or a number.
func ParseErrorName(s string) (uint32, error) {
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "BR_") {
		name = "BR_" + name
	}
	for code, n := range brNames {
		if n == name {
			return code, nil
		}
	}
	if v, err := strconv.ParseUint(s, 0, 32); err == nil {
		return uint32(v), nil
	}
	return 0, fmt.Errorf("%q is no BR code: use a name such as %s, or a number", s, strings.Join(reportedNames(), ", "))
}

// reportedNames are the errors that today's drivers report.
func reportedNames() []string {
	names := []string{ErrorName(BRDeadReply), ErrorName(BRFailedReply), ErrorName(BRFrozenReply),
		ErrorName(BROnewaySpamSuspect), ErrorName(BRTransactionPendingFrozen)}
	sort.Strings(names)
	return names
}

// tfNames are the transaction flags, lowest bit first.
var tfNames = []struct {
	bit  uint32
	name string
}{
	{0x01, "TF_ONE_WAY"},
	{0x04, "TF_ROOT_OBJECT"},
	{0x08, "TF_STATUS_CODE"},
	{0x10, "TF_ACCEPT_FDS"},
	{0x20, "TF_CLEAR_BUF"},
	{0x40, "TF_UPDATE_TXN"},
}

// FlagNames spells transaction flags out, joined by '|'; bits without a name
// stay a hex number, and no flags are "0".
func FlagNames(flags uint32) string {
	if flags == 0 {
		return "0"
	}
	var names []string
	for _, f := range tfNames {
		if flags&f.bit != 0 {
			names = append(names, f.name)
			flags &^= f.bit
		}
	}
	if flags != 0 {
		names = append(names, fmt.Sprintf("0x%x", flags))
	}
	return strings.Join(names, "|")
}

var attrNames = [...]string{
	AttrError: "error", AttrContext: "context", AttrFromPID: "from_pid", AttrFromTID: "from_tid",
	AttrToPID: "to_pid", AttrToTID: "to_tid", AttrIsReply: "is_reply", AttrFlags: "flags",
	AttrCode: "code", AttrDataSize: "data_size",
}

// attrName is an attribute's name in the specification, or its number.
func attrName(typ uint16) string {
	if typ > 0 && int(typ) < len(attrNames) {
		return attrNames[typ]
	}
	return strconv.Itoa(int(typ))
}
