// SPDX-License-Identifier: Apache-2.0

package driver

import "slices"

// The interface token: a parcel of Android's begins with the name of the interface
// that is called. It is read for failed calls only, after Core.mu was released and
// before the sender has its answer, so that its memory is still there.

// maxToken is the longest interface name that is looked for, in characters.
const maxToken = 127

// tokenReader is an Exec's room for reading one.
type tokenReader struct {
	rep    *vmReport
	head   [16 + 2*(maxToken+1)]byte
	copyFn func() error // t.copy, made once
}

// interfaceOf reads the token from the sender's data.
func (t *tokenReader) interfaceOf(rep *vmReport) string {
	if t.copyFn == nil {
		t.copyFn = t.copy
	}
	t.rep = rep
	err := rep.env.Copy(t.copyFn)
	t.rep = nil
	if err != nil {
		return ""
	}
	return parseToken(t.head[:rep.headLen()])
}

func (t *tokenReader) copy() error {
	return t.rep.req.Payload.ReadAt(t.head[:t.rep.headLen()], t.rep.dataPos)
}

// headLen is how much of the data is looked at, bytes.
func (rep *vmReport) headLen() uint64 { return min(rep.dataLen, uint64(len(tokenReader{}.head))) }

// parseToken finds the name. Before it libbinder writes a strict-mode policy, since
// Android 10 a work source, since 11 a mark of the partition; libhwbinder writes
// nothing, and a C string.
func parseToken(b []byte) string {
	for _, at := range []int{12, 8, 4} {
		if s := string16(b, at); s != "" {
			return s
		}
	}
	if n := slices.Index(b, 0); n > 0 && n <= maxToken && isName(b[:n]) {
		return string(b[:n])
	}
	return ""
}

// string16 reads a String16 of a parcel: a length, UTF-16 and its end.
func string16(b []byte, at int) string {
	if len(b) < at+4 {
		return ""
	}
	n := int(int32(le.Uint32(b[at:])))
	if n <= 0 || n > maxToken || len(b) < at+4+2*(n+1) {
		return ""
	}
	var name [maxToken]byte // of the characters that isName knows
	for i := range n + 1 {
		c := le.Uint16(b[at+4+2*i:])
		if i == n && c == 0 {
			break
		}
		if i == n || c > 0x7f {
			return ""
		}
		name[i] = byte(c)
	}
	if !isName(name[:n]) {
		return ""
	}
	return string(name[:n])
}

// isName says whether b looks like a name of Java, AIDL or HIDL.
func isName(b []byte) bool {
	dotted := false
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '$', c == '@', c == '/':
		case c == '.' || c == ':':
			dotted = true
		default:
			return false
		}
	}
	return dotted
}
