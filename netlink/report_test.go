// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goldenCase is one case captured from the C driver of Linux 7.2.13.
type goldenCase struct {
	Case    string
	Reports []struct {
		Hex   string
		Attrs []struct {
			Name  string
			Value any
		}
	}
}

func readGolden(t testing.TB) []goldenCase {
	t.Helper()
	b, err := os.ReadFile("testdata/netlink-7.2.13.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []goldenCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// goldenReport builds a report from the capture's decoded attributes, which
// another program decoded; nothing of our decoder is used.
func goldenReport(t *testing.T, attrs []struct {
	Name  string
	Value any
}) Report {
	t.Helper()
	var r Report
	for _, a := range attrs {
		switch v := a.Value.(type) {
		case float64:
			n := uint32(v)
			switch a.Name {
			case "from_pid":
				r.FromPID = n
			case "from_tid":
				r.FromTID = n
			case "to_pid":
				r.ToPID, r.HasToPID = n, true
			case "to_tid":
				r.ToTID, r.HasToTID = n, true
			case "flags":
				r.Flags = n
			case "code":
				r.Code = n
			case "data_size":
				r.DataSize = n
			default:
				t.Fatalf("capture has a number called %s", a.Name)
			}
		case bool:
			r.IsReply = v
		case string:
			if a.Name == "context" {
				r.Context = v
				continue
			}
			num, name, _ := strings.Cut(v, " ")
			n, err := strconv.ParseUint(num, 0, 32)
			if err != nil {
				t.Fatalf("error %q: %v", v, err)
			}
			r.Error = uint32(n)
			if got := ErrorName(r.Error); got != name {
				t.Errorf("%s is called %s, the capture says %s", num, got, name)
			}
		}
	}
	return r
}

func TestGolden(t *testing.T) {
	reports := 0
	for _, c := range readGolden(t) {
		for i, g := range c.Reports {
			reports++
			t.Run(c.Case+"#"+strconv.Itoa(i), func(t *testing.T) {
				want, err := hex.DecodeString(g.Hex)
				if err != nil {
					t.Fatal(err)
				}
				// Type 1000 in place of the id that the family had in that run.
				binary.LittleEndian.PutUint16(want[4:], 1000)
				r := goldenReport(t, g.Attrs)
				if got := r.AppendMessage(nil, 1000); !bytes.Equal(got, want) {
					t.Errorf("bytes differ\n got %s\nwant %s", hex.Dump(got), hex.Dump(want))
				}
				back, err := ParseMessage(want)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(r, back); d != "" {
					t.Errorf("decoded otherwise (-attributes +ours):\n%s", d)
				}
			})
		}
	}
	if reports != 34 {
		t.Errorf("the capture has %d reports, not 34: is testdata whole?", reports)
	}
}

// full has every attribute.
var full = Report{Error: BRFailedReply, Context: "hwbinder@demo", FromPID: 11, FromTID: 12, ToPID: 13, ToTID: 14,
	HasToPID: true, HasToTID: true, IsReply: true, Flags: 0x11, Code: 0x5f504e47, DataSize: 1 << 20}

func TestRoundTrip(t *testing.T) {
	for name, r := range map[string]Report{
		"everything":      full,
		"zero":            {},
		"to_pid 0 is set": {Context: "binder", HasToPID: true},
		"longest context": {Context: strings.Repeat("c", MaxContext)},
		"context mod 4=3": {Context: "abc"},
		"context mod 4=0": {Context: "abcd"},
		"largest numbers": {Error: ^uint32(0), FromPID: ^uint32(0), FromTID: ^uint32(0), Flags: ^uint32(0), Code: ^uint32(0), DataSize: ^uint32(0)},
	} {
		t.Run(name, func(t *testing.T) {
			b := r.AppendMessage(nil, FallbackType)
			if len(b)%4 != 0 || len(b) > maxMessage {
				t.Errorf("message has %d bytes, bound is %d", len(b), maxMessage)
			}
			m, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(Message{Type: FallbackType, Version: 1, Report: r}, m); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	b := full.AppendMessage([]byte("head"), 20)
	if string(b[:4]) != "head" {
		t.Fatal("prefix lost")
	}
	if !bytes.Equal(b[4:], full.AppendMessage(nil, 20)) {
		t.Error("a message after a prefix differs from one without")
	}
}

func TestContextIsCut(t *testing.T) {
	for _, c := range []struct{ name, suffix, want string }{
		{"bin\x00der", "@vm", "bin@vm"},
		{strings.Repeat("n", 2*MaxContext), "@vm", strings.Repeat("n", MaxContext-3) + "@vm"},
		{"binder", strings.Repeat("s", 2*MaxContext), strings.Repeat("s", MaxContext)},
	} {
		r := Report{Context: c.name}
		got, err := ParseMessage(r.appendMessage(nil, 20, c.suffix))
		if err != nil {
			t.Errorf("%.20q: %v", c.name, err)
		} else if got.Context != c.want {
			t.Errorf("%.20q%.5q gave %q", c.name, c.suffix, got.Context)
		}
	}
}

// edit returns full's message with bytes changed by f.
func edit(f func(b []byte) []byte) []byte {
	return f(full.AppendMessage(nil, FallbackType))
}

// fixLen writes the message's real length into its header.
func fixLen(b []byte) []byte {
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}

func TestBadMessages(t *testing.T) {
	attr := func(typ uint16, payload ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			return fixLen(append(appendAttrHeader(b, typ, len(payload)), payload...))
		}
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
		says string
	}{
		{"empty", nil, ErrTruncated, "0 bytes"},
		{"half a header", make([]byte, 8), ErrTruncated, "8 bytes"},
		{"length zero", make([]byte, 40), ErrMalformed, "length says 0"},
		{"length past the end", edit(func(b []byte) []byte { return b[:len(b)-4] }), ErrTruncated, "came"},
		{"length 4 GiB", edit(func(b []byte) []byte { binary.NativeEndian.PutUint32(b, ^uint32(0)); return b }), ErrTruncated, "4294967295"},
		{"control message", edit(func(b []byte) []byte { b[4], b[5] = 2, 0; return b }), ErrForeign, "type 2"},
		{"another command", edit(func(b []byte) []byte { b[16] = 9; return b }), ErrForeign, "command 9"},
		{"no genl header", edit(func(b []byte) []byte { return fixLen(b[:16]) }), ErrTruncated, "generic"},
		{"nothing inside", edit(func(b []byte) []byte { return fixLen(b[:20]) }), ErrMalformed, "no attribute error"},
		{"last attribute missing", edit(func(b []byte) []byte { return fixLen(b[:len(b)-8]) }), ErrMalformed, "no attribute data_size"},
		{"attribute cut", edit(func(b []byte) []byte { return fixLen(b[:len(b)-4]) }), ErrTruncated, "data_size"},
		{"attribute of no length", edit(func(b []byte) []byte { b[20], b[21] = 0, 0; return b }), ErrMalformed, "length 0"},
		{"attribute past the end", edit(func(b []byte) []byte { b[20], b[21] = 255, 255; return b }), ErrTruncated, "65535"},
		{"trailing byte in attributes", edit(func(b []byte) []byte { return fixLen(append(b, 1)) }), ErrTruncated, "1 bytes"},
		{"attribute twice", edit(attr(AttrCode, 1, 2, 3, 4)), ErrMalformed, "code comes twice"},
		{"u32 of two bytes", edit(func(b []byte) []byte { return fixLen(append(appendAttrHeader(b[:20:20], AttrError, 2), 1, 2, 0, 0)) }), ErrMalformed, "2 bytes"},
		{"flag with a value", edit(func(b []byte) []byte { return fixLen(append(appendAttrHeader(b[:20:20], AttrIsReply, 4), 1, 2, 0, 0)) }), ErrMalformed, "is_reply"},
		{"context without end", edit(func(b []byte) []byte { return fixLen(append(appendAttrHeader(b[:20:20], AttrContext, 4), "abcd"...)) }), ErrMalformed, "no end"},
		{"empty context attribute", edit(func(b []byte) []byte { return fixLen(appendAttrHeader(b[:20:20], AttrContext, 0)) }), ErrMalformed, "no end"},
		{"NUL in context", edit(func(b []byte) []byte {
			return fixLen(append(appendAttrHeader(b[:20:20], AttrContext, 4), "a\x00b\x00"...))
		}), ErrMalformed, "NUL inside"},
		{"context of 2000 bytes", edit(func(b []byte) []byte {
			return fixLen(append(append(appendAttrHeader(b[:20:20], AttrContext, 2000), strings.Repeat("a", 1999)...), 0))
		}), ErrMalformed, "1999"},
		{"two messages", append(full.AppendMessage(nil, 20), full.AppendMessage(nil, 20)...), ErrMalformed, "follow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseMessage(c.b)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want a %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.says) || strings.ContainsRune(err.Error(), '\n') {
				t.Errorf("%q does not say %q in one line", err, c.says)
			}
		})
	}
}

func TestUnknownAttributesAreKept(t *testing.T) {
	b := appendU32(full.AppendMessage(nil, 20), 11, 7)
	b = append(appendAttrHeader(b, 0x8001, 2), 'h', 'i')
	m, err := Decode(fixLen(b))
	if err != nil {
		t.Fatal(err)
	}
	want := []Attr{{11, binary.NativeEndian.AppendUint32(nil, 7)}, {0x8001, []byte("hi")}}
	if d := cmp.Diff(want, m.Unknown); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if m.Report != full {
		t.Errorf("the report itself changed: %v", m.Report)
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, c := range readGolden(f) {
		for _, g := range c.Reports {
			b, _ := hex.DecodeString(g.Hex)
			f.Add(b)
		}
	}
	f.Add(full.AppendMessage(nil, FallbackType))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		// What was accepted survives a round trip.
		again, err := ParseMessage(m.Report.AppendMessage(nil, m.Type))
		if err != nil || again != m.Report {
			t.Fatalf("%v became %v, %v", m.Report, again, err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint32(BRDeadReply), "binder", uint32(1), uint32(2), uint32(3), uint32(4), byte(7), uint32(1), uint32(5), uint32(6))
	f.Fuzz(func(t *testing.T, e uint32, ctx string, fp, ft, tp, tt uint32, bits byte, flags, code, size uint32) {
		r := Report{Error: e, Context: ctx, FromPID: fp, FromTID: ft, HasToPID: bits&1 != 0, HasToTID: bits&2 != 0,
			IsReply: bits&4 != 0, Flags: flags, Code: code, DataSize: size}
		if r.HasToPID {
			r.ToPID = tp
		}
		if r.HasToTID {
			r.ToTID = tt
		}
		got, err := ParseMessage(r.AppendMessage(nil, 40))
		if err != nil {
			t.Fatal(err)
		}
		r.Context, _, _ = strings.Cut(r.Context, "\x00")
		r.Context = r.Context[:min(len(r.Context), MaxContext)]
		if got != r {
			t.Fatalf("%v became %v", r, got)
		}
	})
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		flags uint32
		want  string
	}{{0, "0"}, {1, "TF_ONE_WAY"}, {0x61, "TF_ONE_WAY|TF_CLEAR_BUF|TF_UPDATE_TXN"}, {0x80000012, "TF_ACCEPT_FDS|0x80000002"}} {
		if got := FlagNames(c.flags); got != c.want {
			t.Errorf("flags %#x are %s, want %s", c.flags, got, c.want)
		}
	}
	for _, s := range []string{"BR_DEAD_REPLY", "dead_reply", "0x7205", "29189"} {
		if code, err := ParseErrorName(s); err != nil || code != BRDeadReply {
			t.Errorf("%s is %#x, %v", s, code, err)
		}
	}
	if _, err := ParseErrorName("DEAD_REPLI"); err == nil {
		t.Error("DEAD_REPLI accepted")
	}
	if got := ErrorName(0x7299); got != "0x00007299" {
		t.Errorf("an unknown code is called %s", got)
	}
	for code, name := range brNames {
		// The number within the protocol is the low byte, 'r' the next.
		if code>>8&0xff != 'r' {
			t.Errorf("%s = %#x is no BR code", name, code)
		}
	}
	want := `BR_FAILED_REPLY context "hwbinder@demo" from 11/12 to_pid 13 to_tid 14 reply flags TF_ONE_WAY|TF_ACCEPT_FDS code 1599098439 data_size 1048576`
	if got := full.String(); got != want {
		t.Errorf("String gave\n%s, want\n%s", got, want)
	}
}
