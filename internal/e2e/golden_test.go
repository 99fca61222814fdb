// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// goldenCase is one case of netlink/testdata/netlink-7.2.13.json: what the C driver
// of Linux 7.2.13 did.
type goldenCase struct {
	Case     string
	Procs    map[string]goldenProc
	Sender   []string  `json:"sender_br"`
	Target   []string  `json:"target_br"`
	Extended *[3]int32 `json:"extended_error_id_cmd_param"`
	Reports  []struct {
		Hex string
	}
}

// goldenProc is a pid: the capture has it as a number, or in an object.
type goldenProc uint32

// UnmarshalJSON implements json.Unmarshaler.
func (p *goldenProc) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*uint32)(p)); err == nil {
		return nil
	}
	var o struct {
		PID uint32 `json:"pid_in_init_ns"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	*p = goldenProc(o.PID)
	return nil
}

func readGolden(t *testing.T) []goldenCase {
	t.Helper()
	b, err := os.ReadFile("../../netlink/testdata/netlink-7.2.13.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []goldenCase
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 42 {
		t.Fatalf("the capture has %d cases, not 42", len(all))
	}
	return all
}

// Attributes that hold pids and tids.
var pidAttrs = map[uint16]bool{3: true, 4: true, 5: true, 6: true}

// normal is a message with what varies taken out: the family's id is zeroed, and
// each pid becomes the number of its role, in the order of roles; one that belongs
// to no role becomes 0xffffffff, which no other message has. Where the sender adds
// "@VM" to the context it is taken off.
func normal(t *testing.T, message []byte, roles map[string]uint32, vm string) string {
	t.Helper()
	b := append([]byte{}, message...)
	b[4], b[5] = 0, 0
	out := b[:20:20]
	for in := b[20:]; len(in) >= 4; {
		n, typ := int(ne.Uint16(in)), ne.Uint16(in[2:])
		if n < 4 || n > len(in) {
			t.Fatalf("attribute %d of %x has length %d", typ, message, n)
		}
		padded := min((n+3)&^3, len(in))
		a := append([]byte{}, in[:padded]...)
		if pidAttrs[typ] {
			ne.PutUint32(a[4:], roleNumber(ne.Uint32(a[4:]), roles))
		}
		if typ == 2 && vm != "" {
			a = unqualified(t, a[:n], vm)
		}
		out = append(out, a...)
		in = in[padded:]
	}
	ne.PutUint32(out, uint32(len(out)))
	return hex.EncodeToString(out)
}

// roleNumber is the same for the same role in every run: a number made of its name.
func roleNumber(pid uint32, roles map[string]uint32) uint32 {
	for role, p := range roles {
		if p == pid {
			n := uint32(0)
			for _, c := range []byte(role) {
				n = n*31 + uint32(c)
			}
			return n
		}
	}
	return 0xffffffff
}

// unqualified is a context attribute without "@VM".
func unqualified(t *testing.T, a []byte, vm string) []byte {
	t.Helper()
	name, suffix := string(a[4:len(a)-1]), "@"+vm
	if len(name) <= len(suffix) || name[len(name)-len(suffix):] != suffix {
		t.Fatalf("context %q does not end in %s", name, suffix)
	}
	name = name[:len(name)-len(suffix)] + "\x00"
	out := ne.AppendUint16(nil, uint16(4+len(name)))
	out = ne.AppendUint16(out, 2)
	out = append(out, name...)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return out
}
