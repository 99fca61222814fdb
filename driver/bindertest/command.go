// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"fmt"
	"strings"

	"virtbinder/driver/uapi"
)

// cmd is one BC command on its way into a stream. build lays out what it points to
// and returns its bytes and what the transcript says of it.
type cmd func(m *layout) (bc []byte, text string)

// layout is the part of the Arena that a call's commands point to.
type layout struct{ buf []byte }

// put places b, 8-aligned, and returns its address.
func (m *layout) put(b []byte) uint64 {
	for len(m.buf)%8 != 0 {
		m.buf = append(m.buf, 0)
	}
	at := Arena + uint64(len(m.buf))
	m.buf = append(m.buf, b...)
	return at
}

func command(code uint32, text string, args ...any) cmd {
	b := le.AppendUint32(nil, code)
	for _, a := range args {
		switch v := a.(type) {
		case uint32:
			b = le.AppendUint32(b, v)
		case uint64:
			b = le.AppendUint64(b, v)
		}
	}
	return rawCommand(b, strings.TrimSpace(uapi.CommandName(code)+" "+text))
}

// rawCommand is any bytes.
func rawCommand(b []byte, text string) cmd {
	return func(*layout) ([]byte, string) { return b, text }
}

func free(addr uint64) cmd { return command(uapi.BC_FREE_BUFFER, fmt.Sprintf("%#x", addr), addr) }

func increfs(h uint32) cmd { return command(uapi.BC_INCREFS, fmt.Sprint(h), h) }
func acquire(h uint32) cmd { return command(uapi.BC_ACQUIRE, fmt.Sprint(h), h) }
func release(h uint32) cmd { return command(uapi.BC_RELEASE, fmt.Sprint(h), h) }
func decrefs(h uint32) cmd { return command(uapi.BC_DECREFS, fmt.Sprint(h), h) }

func increfsDone(ptr, cookie uint64) cmd {
	return command(uapi.BC_INCREFS_DONE, fmt.Sprintf("%#x %#x", ptr, cookie), ptr, cookie)
}

func acquireDone(ptr, cookie uint64) cmd {
	return command(uapi.BC_ACQUIRE_DONE, fmt.Sprintf("%#x %#x", ptr, cookie), ptr, cookie)
}

var (
	enter    = command(uapi.BC_ENTER_LOOPER, "")
	register = command(uapi.BC_REGISTER_LOOPER, "")
	leave    = command(uapi.BC_EXIT_LOOPER, "")
)

func handleCookie(code, h uint32, cookie uint64) cmd {
	return command(code, fmt.Sprintf("%d cookie %#x", h, cookie), h, cookie)
}

func requestDeath(h uint32, cookie uint64) cmd {
	return handleCookie(uapi.BC_REQUEST_DEATH_NOTIFICATION, h, cookie)
}

func clearDeath(h uint32, cookie uint64) cmd {
	return handleCookie(uapi.BC_CLEAR_DEATH_NOTIFICATION, h, cookie)
}

func deadBinderDone(cookie uint64) cmd {
	return command(uapi.BC_DEAD_BINDER_DONE, fmt.Sprintf("%#x", cookie), cookie)
}

func requestFreeze(h uint32, cookie uint64) cmd {
	return handleCookie(uapi.BC_REQUEST_FREEZE_NOTIFICATION, h, cookie)
}

func clearFreeze(h uint32, cookie uint64) cmd {
	return handleCookie(uapi.BC_CLEAR_FREEZE_NOTIFICATION, h, cookie)
}

func freezeDone(cookie uint64) cmd {
	return command(uapi.BC_FREEZE_NOTIFICATION_DONE, fmt.Sprintf("%#x", cookie), cookie)
}

// The parts of a transaction besides data (string, []byte) and objects.
type (
	flags   uint32                      // TF_
	extra   uint64                      // buffers_size, instead of what the objects need
	offsets []uint64                    // instead of where the objects are
	with    func(*uapi.TransactionData) // a last change
)

// call is BC_TRANSACTION, or BC_TRANSACTION_SG where a part needs it.
func call(h, code uint32, parts ...any) cmd {
	return transaction(uapi.BC_TRANSACTION, uapi.BC_TRANSACTION_SG, fmt.Sprintf(" %d code %d", h, code),
		uapi.TransactionData{Target: uint64(h), Code: code}, parts)
}

// oneway is call with TF_ONE_WAY.
func oneway(h, code uint32, parts ...any) cmd {
	return call(h, code, append(parts, flags(uapi.TF_ONE_WAY))...)
}

// reply is BC_REPLY, or BC_REPLY_SG where a part needs it.
func reply(parts ...any) cmd {
	return transaction(uapi.BC_REPLY, uapi.BC_REPLY_SG, "", uapi.TransactionData{}, parts)
}

// parcel is what the parts of a transaction come to.
type parcel struct {
	data    []byte
	offsets []uint64
	own     bool // offsets are the scenario's
	objects []object
	at      []int // where they are in data
	extra   uint64
	sg      bool
	text    string
}

func (p *parcel) add(part any, tr *uapi.TransactionData) {
	switch v := part.(type) {
	case string:
		p.data = append(p.data, v...)
		p.text += " " + bytesText([]byte(v))
	case []byte:
		p.data = append(p.data, v...)
		p.text += " " + bytesText(v)
	case object:
		for len(p.data)%8 != 0 {
			p.data = append(p.data, 0)
		}
		if !p.own {
			p.offsets = append(p.offsets, uint64(len(p.data)))
		}
		p.objects, p.at = append(p.objects, v), append(p.at, len(p.data))
		p.data = append(p.data, v.raw...)
		p.sg = p.sg || v.raw.Type() == uapi.BINDER_TYPE_PTR || v.raw.Type() == uapi.BINDER_TYPE_FDA
		p.text += " [" + v.text + "]"
	case flags:
		tr.Flags |= uint32(v)
	case extra:
		p.sg, p.extra = true, uint64(v)
	case offsets:
		p.own, p.offsets = true, v
		p.text += fmt.Sprintf(" offsets %d", v)
	case with:
	default:
		panic(fmt.Sprintf("bindertest: a transaction of %T", part))
	}
}

// place lays the parcel out and fills tr in.
func (p *parcel) place(m *layout, tr *uapi.TransactionData) {
	for i, o := range p.objects {
		if o.raw.Type() == uapi.BINDER_TYPE_PTR && !o.placed {
			uapi.Object(p.data[p.at[i]:]).SetPtrBuffer(m.put(o.content))
		}
	}
	tr.Buffer, tr.DataSize = m.put(p.data), uint64(len(p.data))
	var offs []byte
	for _, o := range p.offsets {
		offs = le.AppendUint64(offs, o)
	}
	tr.Offsets, tr.OffsetsSize, tr.Extra = m.put(offs), uint64(len(offs)), p.extra
	if p.extra == 0 {
		for _, o := range p.objects {
			if o.raw.Type() == uapi.BINDER_TYPE_PTR {
				tr.Extra += (o.raw.PtrLength() + 7) &^ 7
			}
		}
	}
}

func transaction(plain, sg uint32, target string, tr uapi.TransactionData, parts []any) cmd {
	return func(m *layout) ([]byte, string) {
		var p parcel
		tr := tr
		for _, part := range parts {
			p.add(part, &tr)
		}
		p.place(m, &tr)
		for _, part := range parts {
			if f, ok := part.(with); ok {
				f(&tr)
			}
		}
		code := plain
		if p.sg {
			code = sg
		}
		text := fmt.Sprintf("%s%s flags %s sizes %d %d", uapi.CommandName(code), target, flagsText(tr.Flags), tr.DataSize, tr.OffsetsSize)
		if p.sg {
			text += fmt.Sprintf(" %d", tr.Extra)
		}
		return tr.Append(le.AppendUint32(nil, code), p.sg), text + p.text
	}
}
