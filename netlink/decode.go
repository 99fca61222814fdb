// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// What can be wrong with a message; match with errors.Is.
var (
	// ErrTruncated: a length reaches past the end of what was received.
	ErrTruncated = errors.New("truncated message")
	// ErrForeign: not a binder report: another type, command or protocol.
	ErrForeign = errors.New("foreign message")
	// ErrMalformed: a report that contradicts the interface's specification.
	ErrMalformed = errors.New("malformed report")
	// ErrOversized: a datagram larger than any that is accepted.
	ErrOversized = errors.New("oversized message")
)

// Message is a decoded report with what surrounded it.
type Message struct {
	Type    uint16 // nlmsg_type: the family's id, or FallbackType
	Seq     uint32
	PID     uint32 // nlmsg_pid, a claim of the sender
	Version uint8  // of the family, as the sender says
	Report  Report
	Unknown []Attr // attributes that this package does not know, in order
}

// Attr is an attribute kept as it came.
type Attr struct {
	Type uint16 `json:"type"`
	Data []byte `json:"data"`
}

// nlHeader is struct nlmsghdr.
type nlHeader struct {
	length   uint32
	typ      uint16
	flags    uint16
	seq, pid uint32
}

// cutMessage splits the first netlink message off a datagram: its header, its
// payload, and what follows it.
func cutMessage(b []byte) (h nlHeader, payload, rest []byte, err error) {
	if len(b) < nlHeaderLen {
		return h, nil, nil, fmt.Errorf("%w: %d bytes, a netlink header has %d", ErrTruncated, len(b), nlHeaderLen)
	}
	h = nlHeader{
		length: binary.NativeEndian.Uint32(b),
		typ:    binary.NativeEndian.Uint16(b[4:]),
		flags:  binary.NativeEndian.Uint16(b[6:]),
		seq:    binary.NativeEndian.Uint32(b[8:]),
		pid:    binary.NativeEndian.Uint32(b[12:]),
	}
	if h.length < nlHeaderLen {
		return h, nil, nil, fmt.Errorf("%w: its length says %d bytes, a netlink header has %d", ErrMalformed, h.length, nlHeaderLen)
	}
	if uint64(h.length) > uint64(len(b)) {
		return h, nil, nil, fmt.Errorf("%w: its length says %d bytes, %d came", ErrTruncated, h.length, len(b))
	}
	end := int(h.length)
	next := min((end+3)&^3, len(b))
	return h, b[nlHeaderLen:end], b[next:], nil
}

// ParseMessage decodes one netlink message that holds a report. The error
// matches ErrTruncated, ErrForeign or ErrMalformed. Attributes of later kernels
// are skipped; Decode keeps them.
func ParseMessage(b []byte) (Report, error) {
	m, err := Decode(b)
	return m.Report, err
}

// Decode is ParseMessage with what surrounds the report. The message's type is
// not judged: a family's id differs from boot to boot. Nothing of the result
// aliases b.
func Decode(b []byte) (Message, error) {
	h, payload, rest, err := cutMessage(b)
	if err != nil {
		return Message{}, err
	}
	if len(rest) > 0 {
		return Message{}, fmt.Errorf("%w: %d bytes follow the message", ErrMalformed, len(rest))
	}
	return decodePayload(h, payload)
}

// decodePayload decodes what follows the netlink header.
func decodePayload(h nlHeader, p []byte) (Message, error) {
	if h.typ < firstFamilyID {
		return Message{}, fmt.Errorf("%w: netlink control type %d", ErrForeign, h.typ)
	}
	if len(p) < genlHeaderLen {
		return Message{}, fmt.Errorf("%w: no room for the generic netlink header", ErrTruncated)
	}
	if p[0] != CmdReport {
		return Message{}, fmt.Errorf("%w: command %d, a report is %d", ErrForeign, p[0], CmdReport)
	}
	d := decoder{msg: Message{Type: h.typ, Seq: h.seq, PID: h.pid, Version: p[1]}}
	if err := d.attributes(p[genlHeaderLen:]); err != nil {
		return Message{}, err
	}
	return d.msg, nil
}

// firstFamilyID is the least message type that is a family; below are netlink's
// own control messages.
const firstFamilyID = 16

// required are the attributes that every report has.
const required = 1<<AttrError | 1<<AttrContext | 1<<AttrFromPID | 1<<AttrFromTID |
	1<<AttrFlags | 1<<AttrCode | 1<<AttrDataSize

// decoder gathers a message's attributes; seen has a bit for each known one.
type decoder struct {
	msg  Message
	seen uint32
}

func (d *decoder) attributes(b []byte) error {
	for len(b) > 0 {
		if len(b) < attrHeaderLen {
			return fmt.Errorf("%w: %d bytes where an attribute should begin", ErrTruncated, len(b))
		}
		n := int(binary.NativeEndian.Uint16(b))
		typ := binary.NativeEndian.Uint16(b[2:])
		if n < attrHeaderLen {
			return fmt.Errorf("%w: attribute %s has length %d", ErrMalformed, attrName(typ), n)
		}
		if n > len(b) {
			return fmt.Errorf("%w: attribute %s has length %d, %d bytes are left", ErrTruncated, attrName(typ), n, len(b))
		}
		if err := d.attribute(typ, b[attrHeaderLen:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	if missing := required &^ d.seen; missing != 0 {
		return fmt.Errorf("%w: no attribute %s", ErrMalformed, attrName(uint16(bits.TrailingZeros32(uint32(missing)))))
	}
	return nil
}

func (d *decoder) attribute(typ uint16, p []byte) error {
	if typ == 0 || typ > AttrDataSize {
		d.msg.Unknown = append(d.msg.Unknown, Attr{Type: typ, Data: append([]byte{}, p...)})
		return nil
	}
	if d.seen&(1<<typ) != 0 {
		return fmt.Errorf("%w: attribute %s comes twice", ErrMalformed, attrName(typ))
	}
	d.seen |= 1 << typ
	switch typ {
	case AttrContext:
		return d.context(p)
	case AttrIsReply:
		if len(p) != 0 {
			return fmt.Errorf("%w: flag is_reply carries %d bytes", ErrMalformed, len(p))
		}
		d.msg.Report.IsReply = true
		return nil
	}
	if len(p) != 4 {
		return fmt.Errorf("%w: attribute %s has %d bytes, not 4", ErrMalformed, attrName(typ), len(p))
	}
	d.number(typ, binary.NativeEndian.Uint32(p))
	return nil
}

func (d *decoder) context(p []byte) error {
	end := strings.IndexByte(string(p), 0)
	switch {
	case end < 0:
		return fmt.Errorf("%w: context has no end", ErrMalformed)
	case end != len(p)-1:
		return fmt.Errorf("%w: context has a NUL inside", ErrMalformed)
	case end > MaxContext:
		return fmt.Errorf("%w: context is %d bytes long, at most %d", ErrMalformed, end, MaxContext)
	}
	d.msg.Report.Context = string(p[:end])
	return nil
}

func (d *decoder) number(typ uint16, v uint32) {
	r := &d.msg.Report
	switch typ {
	case AttrError:
		r.Error = v
	case AttrFromPID:
		r.FromPID = v
	case AttrFromTID:
		r.FromTID = v
	case AttrToPID:
		r.ToPID, r.HasToPID = v, true
	case AttrToTID:
		r.ToTID, r.HasToTID = v, true
	case AttrFlags:
		r.Flags = v
	case AttrCode:
		r.Code = v
	case AttrDataSize:
		r.DataSize = v
	}
}
