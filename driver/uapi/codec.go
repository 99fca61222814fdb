// SPDX-License-Identifier: Apache-2.0

package uapi

import "encoding/binary"

var le = binary.LittleEndian

// TransactionData is struct binder_transaction_data, with the fields that only
// the _sg and _secctx forms have.
type TransactionData struct {
	Target      uint64 // handle (low 32 bits) on the way in, node ptr on the way out
	Cookie      uint64
	Code        uint32
	Flags       uint32
	SenderPID   uint32
	SenderEUID  uint32
	DataSize    uint64 // bytes
	OffsetsSize uint64 // bytes
	Buffer      uint64 // user address
	Offsets     uint64 // user address
	Extra       uint64 // _sg: buffers_size in bytes; _secctx: user address
}

// DecodeTransactionData reads the 64 bytes of binder_transaction_data at b; with
// extra also the 8 that follow.
func DecodeTransactionData(b []byte, extra bool) TransactionData {
	_ = b[SizeTransactionData-1]
	t := TransactionData{
		Target: le.Uint64(b), Cookie: le.Uint64(b[8:]),
		Code: le.Uint32(b[16:]), Flags: le.Uint32(b[20:]),
		SenderPID: le.Uint32(b[24:]), SenderEUID: le.Uint32(b[28:]),
		DataSize: le.Uint64(b[32:]), OffsetsSize: le.Uint64(b[40:]),
		Buffer: le.Uint64(b[48:]), Offsets: le.Uint64(b[56:]),
	}
	if extra {
		t.Extra = le.Uint64(b[64:])
	}
	return t
}

// Append appends the structure; with extra, the 72-byte form.
func (t *TransactionData) Append(b []byte, extra bool) []byte {
	b = le.AppendUint64(b, t.Target)
	b = le.AppendUint64(b, t.Cookie)
	b = le.AppendUint32(b, t.Code)
	b = le.AppendUint32(b, t.Flags)
	b = le.AppendUint32(b, t.SenderPID)
	b = le.AppendUint32(b, t.SenderEUID)
	b = le.AppendUint64(b, t.DataSize)
	b = le.AppendUint64(b, t.OffsetsSize)
	b = le.AppendUint64(b, t.Buffer)
	b = le.AppendUint64(b, t.Offsets)
	if extra {
		b = le.AppendUint64(b, t.Extra)
	}
	return b
}

// Object is a view of one object's bytes; every accessor reads where the kernel's
// structs have the field. The caller has checked the size for the type.
type Object []byte

func (o Object) Type() uint32 { return le.Uint32(o) }

// flat_binder_object and binder_fd_object.
func (o Object) Flags() uint32      { return le.Uint32(o[4:]) }
func (o Object) Binder() uint64     { return le.Uint64(o[8:]) }
func (o Object) Handle() uint32     { return le.Uint32(o[8:]) }
func (o Object) Cookie() uint64     { return le.Uint64(o[16:]) }
func (o Object) SetType(t uint32)   { le.PutUint32(o, t) }
func (o Object) SetBinder(v uint64) { le.PutUint64(o[8:], v) }
func (o Object) SetCookie(v uint64) { le.PutUint64(o[16:], v) }

// binder_buffer_object.
func (o Object) PtrBuffer() uint64       { return le.Uint64(o[8:]) }
func (o Object) SetPtrBuffer(v uint64)   { le.PutUint64(o[8:], v) }
func (o Object) PtrLength() uint64       { return le.Uint64(o[16:]) }
func (o Object) PtrParent() uint64       { return le.Uint64(o[24:]) }
func (o Object) PtrParentOffset() uint64 { return le.Uint64(o[32:]) }

// binder_fd_array_object.
func (o Object) FDACount() uint64        { return le.Uint64(o[8:]) }
func (o Object) FDAParent() uint64       { return le.Uint64(o[16:]) }
func (o Object) FDAParentOffset() uint64 { return le.Uint64(o[24:]) }

// ObjectSize is the size in bytes of an object of this type, 0 for an unknown type.
func ObjectSize(typ uint32) int {
	switch typ {
	case BINDER_TYPE_BINDER, BINDER_TYPE_WEAK_BINDER, BINDER_TYPE_HANDLE, BINDER_TYPE_WEAK_HANDLE:
		return SizeFlatBinderObject
	case BINDER_TYPE_FD:
		return SizeFDObject
	case BINDER_TYPE_PTR:
		return SizeBufferObject
	case BINDER_TYPE_FDA:
		return SizeFDArrayObject
	}
	return 0
}
