// SPDX-License-Identifier: Apache-2.0

package agentclient_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtbinder/guest/agentclient"
	"virtbinder/guest/agentproto"
	"virtbinder/guest/treecopy"
)

func TestCopy(t *testing.T) {
	g := newGuest(t)
	host, inGuest := t.TempDir(), t.TempDir()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
	dir := filepath.Join(host, "dir")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o755), os.WriteFile(filepath.Join(dir, "sub", "large"), large, 0o640)); err != nil {
		t.Fatal(err)
	}
	s, err := g.CopyTo(g.ctx, dir, inGuest) // into it
	if err != nil || s.Files != 3 || s.Bytes != int64(len(large)) {
		t.Fatalf("%+v, %v", s, err)
	}
	back := filepath.Join(host, "back")
	if s, err = g.CopyFrom(g.ctx, filepath.Join(inGuest, "dir"), back); err != nil || s.Files != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	got, err := os.ReadFile(filepath.Join(back, "sub", "large"))
	if err != nil || !bytes.Equal(got, large) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if _, err := g.CopyTo(g.ctx, filepath.Join(dir, "sub", "large"), filepath.Join(inGuest, "renamed")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(inGuest, "renamed")); err != nil || info.Mode() != 0o640 || info.Size() != int64(len(large)) {
		t.Errorf("%v, %v", info, err)
	}
}

// TestCopyFails: the error is that of the side where it happened, however much is on
// its way.
func TestCopyFails(t *testing.T) {
	g := newGuest(t)
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var fromAgent *agentproto.Error
	if _, err := g.CopyTo(g.ctx, large, "/proc/nowhere/x"); !errors.As(err, &fromAgent) || fromAgent.Kind != agentproto.ErrCopy || !strings.Contains(err.Error(), "/proc/nowhere/x") {
		t.Errorf("to a place that is not there: %v", err)
	}
	if _, err := g.CopyFrom(g.ctx, "/nowhere", t.TempDir()); !errors.As(err, &fromAgent) || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("from a place that is not there: %v", err)
	}
	if _, err := g.CopyTo(g.ctx, large+".not", "/tmp"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of what is not there: %v", err)
	}
	if _, err := g.CopyFrom(g.ctx, large, "/proc/nowhere"); err == nil || errors.As(err, &fromAgent) && fromAgent.Kind != agentproto.ErrCopy {
		t.Errorf("to where nothing can be made: %v", err)
	}
	for _, path := range []string{"relative", "", "/with\x00zero"} {
		if _, err := g.CopyFrom(g.ctx, path, t.TempDir()); err == nil || !strings.Contains(err.Error(), "give an absolute path") {
			t.Errorf("%q: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(g.ctx)
	cancel()
	if _, err := g.CopyTo(ctx, large, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCopyCut: an agent that goes away in the middle of a copy does not pass for the
// end of it, not even after the last byte.
func TestCopyCut(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	if err := os.WriteFile(src, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if _, err := treecopy.Pack(&whole, src); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 100, 514, whole.Len()} {
		part := whole.Bytes()[:n]
		answers := []func(*agentproto.Conn) error{
			func(pc *agentproto.Conn) error { return pc.WriteJSON(agentproto.TypeInfoReply, agentproto.Info{}) },
			func(pc *agentproto.Conn) error { _, err := pc.DataWriter().Write(part); return err },
		}
		c, err := agentclient.New(t.Context(), func(context.Context) (net.Conn, error) {
			mine, its := net.Pipe()
			answer := answers[0]
			answers = answers[1:]
			go func() {
				defer its.Close()
				pc := agentproto.NewConn(its)
				if _, _, err := pc.Read(); err == nil {
					_ = answer(pc)
				}
			}()
			return mine, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := c.CopyFrom(t.Context(), "/x", filepath.Join(t.TempDir(), "x")); err == nil {
			t.Errorf("%d of %d bytes pass for all: %+v", n, whole.Len(), s)
		}
	}
}
