// SPDX-License-Identifier: Apache-2.0

package agentproto

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	var b bytes.Buffer
	c := NewConn(&b)
	want := Exec{Path: "ls", Args: []string{"-l", ""}, Env: []string{"A=b"}, UID: 1000, GID: 5, Groups: []uint32{1, 2}}
	if err := c.WriteJSON(TypeExec, want); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteUint32(TypeSignal, 15); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(TypeStdin, nil); err != nil {
		t.Fatal(err)
	}
	typ, p, err := c.Read()
	var got Exec
	if err != nil || typ != TypeExec || ParseJSON(typ, p, &got) != nil || got.Check() != nil {
		t.Fatal(typ, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	typ, p, err = c.Read()
	if n, perr := ParseUint32(typ, p); err != nil || perr != nil || typ != TypeSignal || n != 15 {
		t.Error(typ, n, err, perr)
	}
	if typ, p, err = c.Read(); typ != TypeStdin || len(p) != 0 || err != nil {
		t.Error(typ, p, err)
	}
	if _, _, err = c.Read(); err != io.EOF {
		t.Error(err)
	}
}

// TestWireForm pins the bytes, one field a line.
func TestWireForm(t *testing.T) {
	var b bytes.Buffer
	if err := NewConn(&b).WriteUint32(TypeStdinAck, 0x01020304); err != nil {
		t.Fatal(err)
	}
	want := []byte{
		21,      // StdinAck
		0, 0, 0, // reserved
		4, 0, 0, 0, // length
		4, 3, 2, 1, // count
	}
	if d := cmp.Diff(want, b.Bytes()); d != "" {
		t.Error(d)
	}
}

func TestBadFrames(t *testing.T) {
	for name, raw := range map[string]string{
		"no such type":  "\x63\x00\x00\x00\x00\x00\x00\x00",
		"reserved byte": "\x01\x00\x01\x00\x00\x00\x00\x00",
		"too long":      "\x04\x00\x00\x00\x01\x00\x10\x00",
	} {
		_, _, err := NewConn(bytes.NewBufferString(raw)).Read()
		var fe *FrameError
		if !errors.As(err, &fe) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, raw := range map[string]string{"cut header": "\x01\x00", "cut payload": "\x04\x00\x00\x00\x05\x00\x00\x00abc", "no payload": "\x04\x00\x00\x00\x05\x00\x00\x00"} {
		if _, _, err := NewConn(bytes.NewBufferString(raw)).Read(); err != io.ErrUnexpectedEOF {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := NewConn(new(bytes.Buffer)).Write(TypeStdin, make([]byte, MaxPayload+1)); err == nil {
		t.Error("a payload beyond the limit was sent")
	}
}

func TestExecCheck(t *testing.T) {
	for _, e := range []Exec{
		{},
		{Path: "a\x00b"},
		{Path: "a", Args: []string{"\x00"}},
		{Path: "a", Env: []string{"NAME"}},
		{Path: "a", Env: []string{"=x"}},
		{Path: "a", Log: "/x"},
	} {
		if e.Check() == nil {
			t.Errorf("%+v passed", e)
		}
	}
}

// FuzzFrames reads any bytes as a stream. Checked: no panic, every frame within
// bounds, and what was read writes back to the same bytes.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x03\x00\x00\x00\x0b\x00\x00\x00{\"path\":\"a\"\x06\x00\x00\x00\x04\x00\x00\x00\x0f\x00\x00\x00"))
	f.Add([]byte("\x10\x00\x00\x00\x02\x00\x00\x00{}\x16\x00\x00\x00\x02\x00\x00\x00{}"))
	f.Add([]byte("\x07\x00\x00\x00\x17\x00\x00\x00{\"path\":\"/\",\"name\":\"a\"}\x20\x00\x00\x00\x01\x00\x00\x00x\x09\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x08\x00\x00\x00\x0c\x00\x00\x00{\"path\":\"/\"}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if n, err := io.Copy(io.Discard, NewDataReader(NewConn(bytes.NewBuffer(bytes.Clone(raw))))); n > int64(len(raw)) || err == io.EOF {
			t.Fatalf("%d bytes of data in %d, %v", n, len(raw), err)
		}
		in := NewConn(bytes.NewBuffer(bytes.Clone(raw)))
		var back bytes.Buffer
		out := NewConn(&back)
		for {
			typ, p, err := in.Read()
			if err != nil {
				break
			}
			if len(p) > MaxPayload || strings.HasPrefix(typ.String(), "type ") {
				t.Fatalf("%v of %d bytes", typ, len(p))
			}
			var e Exec
			if ParseJSON(typ, p, &e) == nil {
				_ = e.Check()
			}
			var push Push
			if ParseJSON(typ, p, &push) == nil && push.Check() == nil && (strings.ContainsRune(push.Name, '/') || push.Path[0] != '/') {
				t.Fatalf("%+v passed", push)
			}
			_, _ = ParseUint32(typ, p)
			if err := out.Write(typ, p); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(raw, back.Bytes()) {
			t.Fatalf("% x became % x", raw, back.Bytes())
		}
	})
}
