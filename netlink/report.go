// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Sizes of the fixed parts of a message, in bytes.
const (
	nlHeaderLen   = 16 // struct nlmsghdr
	genlHeaderLen = 4  // struct genlmsghdr
	attrHeaderLen = 4  // struct nlattr
	headersLen    = nlHeaderLen + genlHeaderLen
	u32AttrLen    = attrHeaderLen + 4

	// maxMessage bounds what AppendMessage appends: nine u32-sized attributes
	// and the longest context with its NUL.
	maxMessage = headersLen + 9*u32AttrLen + attrHeaderLen + (MaxContext+1+3)&^3
)

// Report says that one transaction failed. It is a plain value: copying it
// copies everything that may change.
type Report struct {
	Error   uint32 // full BR code, for example BRDeadReply
	Context string // context name; on a host qualified by VM, as in binder@demo

	FromPID, FromTID   uint32 // issuer of the failing BC
	ToPID, ToTID       uint32 // target; meaningful only with HasToPID, HasToTID
	HasToPID, HasToTID bool

	IsReply  bool   // the failing BC was BC_REPLY or BC_REPLY_SG
	Flags    uint32 // transaction flags, raw
	Code     uint32 // transaction code, raw
	DataSize uint32 // bytes, low 32 bits; without offsets and extra buffers
}

// AppendMessage appends the report as one netlink message of type nlType (the
// family's id) and returns the longer slice. The bytes are those that the
// kernel's driver sends: header flags, sequence and port are 0. It allocates
// only if b lacks room.
func (r *Report) AppendMessage(b []byte, nlType uint16) []byte {
	return r.appendMessage(b, nlType, "")
}

// appendMessage is AppendMessage with suffix added to the context name.
func (r *Report) appendMessage(b []byte, nlType uint16, suffix string) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0) // length, known at the end
	b = binary.NativeEndian.AppendUint16(b, nlType)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // flags, sequence, port
	b = append(b, CmdReport, FamilyVersion, 0, 0)

	b = appendU32(b, AttrError, r.Error)
	b = appendContext(b, r.Context, suffix)
	b = appendU32(b, AttrFromPID, r.FromPID)
	b = appendU32(b, AttrFromTID, r.FromTID)
	if r.HasToPID {
		b = appendU32(b, AttrToPID, r.ToPID)
	}
	if r.HasToTID {
		b = appendU32(b, AttrToTID, r.ToTID)
	}
	if r.IsReply {
		b = appendAttrHeader(b, AttrIsReply, 0)
	}
	b = appendU32(b, AttrFlags, r.Flags)
	b = appendU32(b, AttrCode, r.Code)
	b = appendU32(b, AttrDataSize, r.DataSize)

	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func appendAttrHeader(b []byte, typ uint16, payload int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeaderLen+payload))
	return binary.NativeEndian.AppendUint16(b, typ)
}

func appendU32(b []byte, typ uint16, v uint32) []byte {
	b = appendAttrHeader(b, typ, 4)
	return binary.NativeEndian.AppendUint32(b, v)
}

// appendContext writes name+suffix, NUL-terminated and padded to four bytes. A
// name ends at its first NUL, and gives way where both are too long.
func appendContext(b []byte, name, suffix string) []byte {
	if i := strings.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	if len(suffix) > MaxContext {
		suffix = suffix[:MaxContext]
	}
	if room := MaxContext - len(suffix); len(name) > room {
		name = name[:room]
	}
	n := len(name) + len(suffix) + 1
	b = appendAttrHeader(b, AttrContext, n)
	b = append(b, name...)
	b = append(b, suffix...)
	b = append(b, 0)
	for ; n%4 != 0; n++ {
		b = append(b, 0)
	}
	return b
}

// String is the report in one line, for logs.
func (r *Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s context %q from %d/%d", ErrorName(r.Error), r.Context, r.FromPID, r.FromTID)
	if r.HasToPID {
		fmt.Fprintf(&s, " to_pid %d", r.ToPID)
	}
	if r.HasToTID {
		fmt.Fprintf(&s, " to_tid %d", r.ToTID)
	}
	if r.IsReply {
		s.WriteString(" reply")
	}
	fmt.Fprintf(&s, " flags %s code %d data_size %d", FlagNames(r.Flags), r.Code, r.DataSize)
	return s.String()
}
