// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
)

var le = binary.LittleEndian

// Error says what was wrong with a request. Errno is what the guest is answered:
// EPROTO if the request's frame is broken, EINVAL if something in it is.
type Error struct {
	Errno  unix.Errno
	Field  string // of guest/uapi/vbinder.h, such as "vbinder_txn.obj_first"
	Reason string
	Value  uint64 // what the guest sent
}

func (e *Error) Error() string { return fmt.Sprintf("%s = %d: %s", e.Field, e.Value, e.Reason) }

// Unwrap returns Errno.
func (e *Error) Unwrap() error { return e.Errno }

func invalid(field string, value uint64, reason string) error {
	return &Error{Errno: unix.EINVAL, Field: field, Reason: reason, Value: value}
}

func broken(field string, value uint64, reason string) error {
	return &Error{Errno: unix.EPROTO, Field: field, Reason: reason, Value: value}
}

// Header is the head of every request.
type Header struct {
	Op     uint32
	CtlLen uint32 // bytes of the control part, the header included
	Proc   driver.ProcID
	TID    uint32
	Seq    uint32
}

// ParseHeader reads the header that a control part begins with.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < SizeofReq {
		return Header{}, broken("vbinder_req", uint64(len(b)), "fewer bytes than a header has")
	}
	h := Header{
		Op:     le.Uint32(b[OffReqOp:]),
		CtlLen: le.Uint32(b[OffReqCtlLen:]),
		Proc:   driver.ProcID(le.Uint64(b[OffReqProc:])),
		TID:    le.Uint32(b[OffReqTid:]),
		Seq:    le.Uint32(b[OffReqSeq:]),
	}
	if h.CtlLen < SizeofReq {
		return h, broken("vbinder_req.ctl_len", uint64(h.CtlLen), "less than the header")
	}
	return h, nil
}

// body returns the size bytes after the header; the control part must have no more.
func body(ctl []byte, size int, name string) ([]byte, error) {
	if len(ctl) != SizeofReq+size {
		return nil, broken("vbinder_req.ctl_len", uint64(len(ctl)), "not the length of "+name)
	}
	return ctl[SizeofReq:], nil
}

// ParseOpen reads the control part of OPEN.
func ParseOpen(ctl []byte) (driver.OpenArgs, error) {
	if len(ctl) < SizeofReq+SizeofOpen {
		return driver.OpenArgs{}, broken("vbinder_req.ctl_len", uint64(len(ctl)), "shorter than vbinder_open")
	}
	b := ctl[SizeofReq:]
	label := b[SizeofOpen:]
	if n := le.Uint32(b[OffOpenLabelLen:]); uint64(n) != uint64(len(label)) {
		return driver.OpenArgs{}, invalid("vbinder_open.label_len", uint64(n), "not what is left of the control part")
	}
	if err := checkLabel(label); err != nil {
		return driver.OpenArgs{}, err
	}
	return driver.OpenArgs{
		Context: driver.ContextID(le.Uint64(b[OffOpenContext:])),
		PID:     le.Uint32(b[OffOpenPid:]),
		Nice:    int32(le.Uint32(b[OffOpenNice:])),
		Label:   string(label),
		Comm:    padded(b[OffOpenComm : OffOpenComm+LenOpenComm]),
	}, nil
}

// padded is a string that fills its field with NULs.
func padded(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// ParseContext reads the control part of CONTEXT: the context's name.
func ParseContext(ctl []byte) (string, error) {
	b, err := body(ctl, SizeofContext, "vbinder_context")
	if err != nil {
		return "", err
	}
	name := b[OffContextName : OffContextName+LenContextName]
	end := bytes.IndexByte(name, 0)
	if end < 0 {
		return "", invalid("vbinder_context.name", 0, "not NUL-terminated")
	}
	return string(name[:end]), nil
}

// ParseContextEnd reads the control part of CONTEXT_END.
func ParseContextEnd(ctl []byte) (driver.ContextID, error) {
	b, err := body(ctl, SizeofContextEnd, "vbinder_context_end")
	if err != nil {
		return 0, err
	}
	return driver.ContextID(le.Uint64(b[OffContextEndContext:])), nil
}

// ParseLabel reads the control part of LABEL.
func ParseLabel(ctl []byte) (string, error) {
	label := ctl[SizeofReq:]
	return string(label), checkLabel(label)
}

func checkLabel(label []byte) error {
	if bytes.IndexByte(label, 0) >= 0 {
		return invalid("label", uint64(len(label)), "a NUL within the label")
	}
	return nil
}

// ParseMmap reads the control part of MMAP: start and length of the mapping in the
// process, in bytes.
func ParseMmap(ctl []byte) (addr, length uint64, err error) {
	b, err := body(ctl, SizeofMmap, "vbinder_mmap")
	if err != nil {
		return 0, 0, err
	}
	return le.Uint64(b[OffMmapAddr:]), le.Uint64(b[OffMmapLen:]), nil
}

// ParseIoctl reads the control part of IOCTL: who calls goes into r.
func ParseIoctl(ctl []byte, r *driver.Request, arg *[LenIoctlArg]byte) (cmd uint32, err error) {
	b, err := body(ctl, SizeofIoctl, "vbinder_ioctl")
	if err != nil {
		return 0, err
	}
	copy(arg[:], b[OffIoctlArg:])
	r.EUID = le.Uint32(b[OffIoctlEuid:])
	r.LSMError = -int32(errno(le.Uint32(b[OffIoctlLsmError:])))
	return le.Uint32(b[OffIoctlCmd:]), nil
}

// ParseFetch reads the control part of FETCH_FIX: how many fix-ups fit the answer.
func ParseFetch(ctl []byte) (fixCap uint32, err error) {
	b, err := body(ctl, SizeofFetch, "vbinder_fetch")
	if err != nil {
		return 0, err
	}
	return le.Uint32(b[OffFetchFixCap:]), nil
}

// Undo is the body of DELIVERY_FAILED.
type Undo struct {
	Delivery uint64
	Why      uint32 // UndoFds or UndoCopy
	Err      unix.Errno
}

// Log is the body of LOG.
type Log struct {
	Snapshot uint64 // 0: take one
	Pos      uint64
	Kind     driver.DumpKind
	PID      uint32
	Room     uint32
}

// ParseLog reads the control part of LOG.
func ParseLog(ctl []byte) (Log, error) {
	b, err := body(ctl, SizeofLog, "vbinder_log")
	if err != nil {
		return Log{}, err
	}
	return Log{
		Snapshot: le.Uint64(b[OffLogSnapshot:]),
		Pos:      le.Uint64(b[OffLogPos:]),
		Kind:     driver.DumpKind(le.Uint32(b[OffLogKind:])),
		PID:      le.Uint32(b[OffLogPid:]),
		Room:     le.Uint32(b[OffLogRoom:]),
	}, nil
}

// ParseLogClose reads the control part of LOG_CLOSE.
func ParseLogClose(ctl []byte) (snapshot uint64, err error) {
	b, err := body(ctl, SizeofLogClose, "vbinder_log_close")
	if err != nil {
		return 0, err
	}
	return le.Uint64(b[OffLogCloseSnapshot:]), nil
}

// ParseUndo reads the control part of DELIVERY_FAILED.
func ParseUndo(ctl []byte) (Undo, error) {
	b, err := body(ctl, SizeofUndo, "vbinder_undo")
	if err != nil {
		return Undo{}, err
	}
	return Undo{
		Delivery: le.Uint64(b[OffUndoDelivery:]),
		Why:      le.Uint32(b[OffUndoWhy:]),
		Err:      errno(le.Uint32(b[OffUndoError:])),
	}, nil
}

// ParseEmpty checks the control part of a request without body.
func ParseEmpty(ctl []byte) error {
	_, err := body(ctl, 0, "a request without body")
	return err
}

// errno reads a signed errno, whose sign does not matter.
func errno(v uint32) unix.Errno {
	n := int64(int32(v))
	if n < 0 {
		n = -n
	}
	const maxErrno = 4095
	if n > maxErrno {
		return unix.EINVAL
	}
	return unix.Errno(n)
}
