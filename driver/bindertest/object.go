// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"encoding/binary"
	"fmt"

	"virtbinder/driver/uapi"
)

var le = binary.LittleEndian

// object is one object of a parcel.
type object struct {
	raw     uapi.Object
	content []byte // of a PTR: what its buffer holds
	placed  bool   // a PTR whose address is the scenario's own
	text    string
}

func newObject(typ, flags uint32, text string) object {
	raw := make(uapi.Object, uapi.ObjectSize(typ))
	raw.SetType(typ)
	le.PutUint32(raw[4:], flags)
	return object{raw: raw, text: text}
}

func flat(name string, typ, flags uint32, binder, cookie uint64) object {
	o := newObject(typ, flags, name)
	o.raw.SetBinder(binder)
	o.raw.SetCookie(cookie)
	return o
}

// binder is an object of the sender's own; flags as FLAT_BINDER_FLAG_.
func binder(ptr, cookie uint64, flags ...uint32) object {
	return flat(fmt.Sprintf("BINDER %#x %#x%s", ptr, cookie, objectFlags(flags)), uapi.BINDER_TYPE_BINDER, or(flags), ptr, cookie)
}

func weakBinder(ptr, cookie uint64, flags ...uint32) object {
	return flat(fmt.Sprintf("WEAK_BINDER %#x %#x%s", ptr, cookie, objectFlags(flags)), uapi.BINDER_TYPE_WEAK_BINDER, or(flags), ptr, cookie)
}

func handle(h uint32) object {
	return flat(fmt.Sprintf("HANDLE %d", h), uapi.BINDER_TYPE_HANDLE, 0, uint64(h), 0)
}

func weakHandle(h uint32) object {
	return flat(fmt.Sprintf("WEAK_HANDLE %d", h), uapi.BINDER_TYPE_WEAK_HANDLE, 0, uint64(h), 0)
}

// descriptor passes a file.
func descriptor(f fd) object {
	return flat("FD "+f.name, uapi.BINDER_TYPE_FD, 0, uint64(uint32(f.n)), 0)
}

// ptr is a scatter-gather buffer with this content.
func ptr(content string) object {
	o := newObject(uapi.BINDER_TYPE_PTR, 0, "PTR "+bytesText([]byte(content)))
	o.content = []byte(content)
	le.PutUint64(o.raw[16:], uint64(len(content)))
	return o
}

// ptrAt is a scatter-gather buffer at an address of the scenario's choice.
func ptrAt(addr, length uint64) object {
	o := newObject(uapi.BINDER_TYPE_PTR, 0, fmt.Sprintf("PTR at %#x, %d bytes", addr, length))
	o.placed = true
	o.raw.SetPtrBuffer(addr)
	le.PutUint64(o.raw[16:], length)
	return o
}

// in makes a PTR the child of the object with that index: the pointer at off in its
// parent's content is to point to it.
func (o object) in(parent, off uint64) object {
	o.raw = append(uapi.Object(nil), o.raw...)
	le.PutUint32(o.raw[4:], o.raw.Flags()|uapi.BINDER_BUFFER_FLAG_HAS_PARENT)
	le.PutUint64(o.raw[24:], parent)
	le.PutUint64(o.raw[32:], off)
	o.text += fmt.Sprintf(" in %d at %d", parent, off)
	return o
}

// fdArray is an array of n descriptors in the content of a PTR.
func fdArray(n, parent, off uint64) object {
	o := newObject(uapi.BINDER_TYPE_FDA, 0, fmt.Sprintf("FDA %d in %d at %d", n, parent, off))
	le.PutUint64(o.raw[8:], n)
	le.PutUint64(o.raw[16:], parent)
	le.PutUint64(o.raw[24:], off)
	return o
}

// rawObject is whatever these bytes are.
func rawObject(b []byte) object { return object{raw: b, text: fmt.Sprintf("raw %x", b)} }

// words is content made of u32s.
func words(v ...uint32) string {
	var b []byte
	for _, w := range v {
		b = le.AppendUint32(b, w)
	}
	return string(b)
}

func or(flags []uint32) (all uint32) {
	for _, f := range flags {
		all |= f
	}
	return all
}

func objectFlags(flags []uint32) string {
	if f := or(flags); f != 0 {
		return fmt.Sprintf(" flags %#x", f)
	}
	return ""
}
