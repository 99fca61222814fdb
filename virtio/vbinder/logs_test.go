// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/virtio/vbinder/wire"
)

// readLog is one LOG.
func (g *guest) readLog(snapshot, pos uint64, kind, pid, room uint32) answer {
	g.t.Helper()
	b := make([]byte, wire.SizeofLog)
	le.PutUint64(b[wire.OffLogSnapshot:], snapshot)
	le.PutUint64(b[wire.OffLogPos:], pos)
	le.PutUint32(b[wire.OffLogKind:], kind)
	le.PutUint32(b[wire.OffLogPid:], pid)
	le.PutUint32(b[wire.OffLogRoom:], room)
	return g.call(wire.QRequest, wire.OpLog, 0, 1, b, int(room))
}

func TestLogIsReadFromOneSnapshot(t *testing.T) {
	g := newGuest(t, Config{}, true)
	g.open(10)
	first := g.readLog(0, 0, wire.LogState, 0, 20)
	if first.status != 0 || string(first.br) != "binder state:\nproc 1" {
		t.Fatalf("%d %q", first.status, first.br)
	}
	g.open(11)
	text, id := string(first.br), first.val
	for {
		a := g.readLog(id, uint64(len(text)), 0, 0, 7)
		if a.status != 0 || a.val != id {
			t.Fatalf("%+v", a)
		}
		if len(a.br) == 0 {
			break
		}
		text += string(a.br)
	}
	if text != "binder state:\nproc 10\ncontext binder\n  thread 10: l 00 need_return 0 tr 0\n" {
		t.Errorf("read %q", text)
	}
	if a := g.readLog(id, 1<<63, 0, 0, 7); a.status != 0 || len(a.br) != 0 {
		t.Errorf("far behind the end: %+v", a)
	}
	if a := g.readLog(0, 0, wire.LogProc, 11, 100); string(a.br) != "binder proc state:\nproc 11\ncontext binder\n  thread 11: l 00 need_return 0 tr 0\n" {
		t.Errorf("proc/11 is %q", a.br)
	}
	closing := func(id uint64) answer {
		return g.call(wire.QControl, wire.OpLogClose, 0, 1, le.AppendUint64(nil, id), 0)
	}
	if a := closing(id); a.status != 0 {
		t.Error(a)
	}
	if a := g.readLog(id, 0, 0, 0, 7); a.status != status(unix.ESTALE) {
		t.Errorf("after close: %+v", a)
	}
	if a := closing(id); a.status != 0 {
		t.Errorf("closed twice: %+v", a)
	}
}

// TestLogSnapshotsAreBounded: the oldest gives way, so that nobody can keep others
// from reading, and none outlives a reset.
func TestLogSnapshotsAreBounded(t *testing.T) {
	g := newGuest(t, Config{}, true)
	first := g.readLog(0, 0, wire.LogStats, 0, 64).val
	for i := range maxSnapshots {
		if a := g.readLog(first, 0, 0, 0, 64); a.status != 0 {
			t.Fatalf("with %d more: %+v", i, a)
		}
		if a := g.readLog(0, 0, wire.LogStats, 0, 64); a.status != 0 || !strings.HasPrefix(string(a.br), "binder stats:\n") {
			t.Fatalf("%+v", a)
		}
	}
	if a := g.readLog(first, 0, 0, 0, 64); a.status != status(unix.ESTALE) {
		t.Errorf("the oldest is still there: %+v", a)
	}
	g.drv.SetStatus(0)
	if n := len(g.dev.snapshots.open); n != 0 {
		t.Errorf("%d snapshots after reset", n)
	}
}
