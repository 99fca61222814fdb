// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"slices"
	"unicode/utf16"
)

// The interface token: a parcel of Android's begins with the name of the interface
// that is called. It is read for failed calls only, after Core.mu was released and
// before the sender has its answer, so that its memory is still there.

// maxToken is the longest interface name that is looked for, in characters.
const maxToken = 127

// interfaceOf reads the token from the sender's data.
func (rep *vmReport) interfaceOf() string {
	var head [16 + 2*(maxToken+1)]byte
	b := head[:min(rep.dataLen, uint64(len(head)))]
	err := rep.env.Copy(func() error { return rep.req.Payload.ReadAt(b, rep.dataPos) })
	if err != nil {
		return ""
	}
	return parseToken(b)
}

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
	units := make([]uint16, n+1)
	for i := range units {
		units[i] = le.Uint16(b[at+4+2*i:])
	}
	name := []byte(string(utf16.Decode(units[:n])))
	if units[n] != 0 || !isName(name) {
		return ""
	}
	return string(name)
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
