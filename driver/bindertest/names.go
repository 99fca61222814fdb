// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// names gives what differs from run to run a name that does not.
type names struct {
	pids, tids map[uint32]string
	ids        map[uint32]int    // extended errors, in the order of their appearance
	files      map[string]string // by identity
}

func newNames() names {
	return names{pids: map[uint32]string{}, tids: map[uint32]string{}, ids: map[uint32]int{}, files: map[string]string{}}
}

func (n *names) pid(v uint32) string { return orNumber(n.pids[v], v) }
func (n *names) tid(v uint32) string { return orNumber(n.tids[v], v) }

func orNumber(name string, v uint32) string {
	if name == "" {
		return fmt.Sprint(v)
	}
	return name
}

func (n *names) id(v uint32) string {
	if v == 0 {
		return "0"
	}
	if n.ids[v] == 0 {
		n.ids[v] = len(n.ids) + 1
	}
	return fmt.Sprint("#", n.ids[v])
}

func (n *names) file(identity string) string {
	if n.files[identity] == "" {
		n.files[identity] = fmt.Sprint("file", len(n.files)+1)
	}
	return n.files[identity]
}

// errnoText is "0" or the name of the error.
func errnoText(n int) string {
	if n == 0 {
		return "0"
	}
	if s := unix.ErrnoName(unix.Errno(n)); s != "" {
		return s
	}
	return fmt.Sprint("errno ", n)
}

// bytesText is short: text as it is, the rest in hexadecimal, long runs of one
// byte counted.
func bytesText(b []byte) string {
	if len(b) == 0 {
		return `""`
	}
	if len(b) > 8 && strings.Count(string(b), string(b[:1])) == len(b) {
		return fmt.Sprintf("%d x %#02x", len(b), b[0])
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return fmt.Sprintf("%x", b)
		}
	}
	return fmt.Sprintf("%q", b)
}

// flagsText names transaction flags.
func flagsText(f uint32) string {
	if f == 0 {
		return "0"
	}
	var out []string
	for _, n := range []struct {
		bit  uint32
		name string
	}{
		{uapi.TF_ONE_WAY, "ONE_WAY"}, {uapi.TF_ROOT_OBJECT, "ROOT_OBJECT"}, {uapi.TF_STATUS_CODE, "STATUS_CODE"},
		{uapi.TF_ACCEPT_FDS, "ACCEPT_FDS"}, {uapi.TF_CLEAR_BUF, "CLEAR_BUF"}, {uapi.TF_UPDATE_TXN, "UPDATE_TXN"},
	} {
		if f&n.bit != 0 {
			out, f = append(out, n.name), f&^n.bit
		}
	}
	if f != 0 {
		out = append(out, fmt.Sprintf("%#x", f))
	}
	return strings.Join(out, "|")
}
