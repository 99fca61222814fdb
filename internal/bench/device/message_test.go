// SPDX-License-Identifier: Apache-2.0

package device

import (
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder/wire"
)

// message is what a BINDER_WRITE_READ writes and reads.
type message struct {
	stream []byte // BC commands
	txn    int    // where in it a transaction or reply begins; noTxn if none does
	size   int    // of its data, bytes
	object []byte // a flat_binder_object that the data begins with, or nil
	files  int    // that the object names
	read   int    // room for BR commands
}

const (
	noTxn    = -1
	readSize = 256
	maxFixes = 2 // fix-ups that an answer has room for
	token    = 7 // of the one file that is ever sent
)

// writeRead makes a request of it.
func (t *thread) writeRead(m message) *request {
	const fixes = maxFixes * wire.SizeofFix
	r := t.request(wire.OpWriteRead, m.body(), m.size, fixes+m.read)
	r.br = wire.SizeofResp + fixes
	return r
}

func (m message) body() []byte {
	body := make([]byte, wire.SizeofWr)
	le.PutUint32(body[wire.OffWrWriteLen:], uint32(len(m.stream)))
	le.PutUint32(body[wire.OffWrReadSize:], uint32(m.read))
	le.PutUint32(body[wire.OffWrFixCap:], maxFixes)
	body = append(body, m.stream...)
	for len(body)%8 != 0 {
		body = append(body, 0)
	}
	if m.txn == noTxn {
		return body
	}
	le.PutUint32(body[wire.OffWrTxnCount:], 1)
	txn := make([]byte, wire.SizeofTxn)
	le.PutUint32(txn[wire.OffTxnCmdPos:], uint32(m.txn))
	le.PutUint64(txn[wire.OffTxnDataLen:], uint64(m.size))
	if m.object == nil {
		return append(body, txn...)
	}
	le.PutUint32(body[wire.OffWrObjCount:], 1)
	le.PutUint32(body[wire.OffWrFdCount:], uint32(m.files))
	le.PutUint32(txn[wire.OffTxnObjCount:], 1)
	obj := make([]byte, wire.SizeofObj)
	copy(obj[wire.OffObjRaw:], m.object)
	le.PutUint32(obj[wire.OffObjRawLen:], uint32(len(m.object)))
	le.PutUint32(obj[wire.OffObjFdCount:], uint32(m.files))
	body = append(append(body, txn...), obj...)
	for range m.files {
		body = le.AppendUint64(body, token)
	}
	return body
}

// object is a flat_binder_object; what it names may take descriptors.
func object(kind uint32, value uint64) []byte {
	o := uapi.Object(make([]byte, 24))
	o.SetType(kind)
	le.PutUint32(o[4:], uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)
	o.SetBinder(value)
	return o
}

// ---- BC commands ----

const freeAt = wire.SizeofReq + wire.SizeofWr + 4 // where a stream that begins with BC_FREE_BUFFER names it

var freeBuffer = le.AppendUint64(le.AppendUint32(nil, uapi.BC_FREE_BUFFER), 0)

// frees sets the buffer that a stream that begins with BC_FREE_BUFFER frees.
func (r *request) frees(buffer uint64) *request {
	le.PutUint64(r.ctl[freeAt:], buffer)
	return r
}

func command(bc uint32, arg ...uint32) []byte {
	b := le.AppendUint32(nil, bc)
	for _, a := range arg {
		b = le.AppendUint32(b, a)
	}
	return b
}

func transaction(bc uint32, t uapi.TransactionData) []byte { return t.Append(command(bc), false) }
