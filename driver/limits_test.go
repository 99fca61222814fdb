// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// newTightWorld is a world where one cap is small.
func newTightWorld(t *testing.T, l Limits) *world {
	w := newWorld(t)
	l.setDefaults()
	w.vm.core.cfg.Limits = l
	return w
}

// extendedErrno reads the errno of a guest's last failed transaction.
func (g *guest) extendedErrno() unix.Errno {
	_, ee := g.ioctl(uapi.BINDER_GET_EXTENDED_ERROR, [24]byte{})
	return unix.Errno(-int32(binary.LittleEndian.Uint32(ee[8:])))
}

func (w *world) wantErrno(g *guest, errno unix.Errno) {
	w.t.Helper()
	if got := g.extendedErrno(); got != errno {
		w.t.Fatalf("errno %v, want %v", got, errno)
	}
}

// TestCapsOfVM: what a VM counts up as a whole.
func TestCapsOfVM(t *testing.T) {
	w := newTightWorld(t, Limits{Contexts: 2, Processes: 1, Label: 8})
	if _, err := w.vm.NewContext("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.vm.NewContext("b"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a context too many: %v", err)
	}
	if _, err := w.vm.Open(w.x, OpenArgs{Context: w.binder, Label: strings.Repeat("x", 9)}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a long label: %v", err)
	}
	g := w.open(1)
	if err := w.vm.Relabel(w.x, g.id, strings.Repeat("x", 9)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a long label, later: %v", err)
	}
	if _, err := w.vm.Open(w.x, OpenArgs{Context: w.binder}); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("a process too many: %v", err)
	}
	w.vm.Release(w.x, g.id)
	w.open(2)
}

// TestCapsOfProcess: each thing that a process can count up ends with its error, and
// goes on when one of them is given back.
func TestCapsOfProcess(t *testing.T) {
	t.Run("threads", func(t *testing.T) {
		w := newTightWorld(t, Limits{Threads: 2})
		g := w.open(1).another(2)
		r := &Request{Proc: g.id, TID: 3}
		if w.vm.WriteRead(w.x, r); r.Resp.Status != unix.ENOMEM {
			t.Fatal(r.Resp.Status)
		}
		g.ioctl(uapi.BINDER_THREAD_EXIT, [24]byte{})
		if w.vm.WriteRead(w.x, r); r.Resp.Status != 0 {
			t.Fatal(r.Resp.Status)
		}
	})
	t.Run("nodes and handles", func(t *testing.T) {
		for _, l := range []Limits{{Nodes: 2}, {Refs: 2}} {
			w := newTightWorld(t, l)
			w.open(1).manage()
			cli := w.open(2)
			for i := range uint64(3) {
				want := "TRANSACTION_COMPLETE"
				if i == 2 {
					want = "FAILED_REPLY"
				}
				r := cli.send(call(0, 1, uapi.TF_ONE_WAY, 24, 1), make([]byte, 24), true, binderObject(0x10*(i+1)))
				if !strings.HasSuffix(w.names(r), want) {
					t.Fatalf("object %d: %s", i, w.names(r))
				}
			}
			w.wantErrno(cli, unix.ENOMEM)
		}
	})
	t.Run("buffers", func(t *testing.T) {
		w := newTightWorld(t, Limits{Buffers: 2})
		mgr, cli := w.open(1).manage(), w.open(2)
		for range 2 {
			w.want(cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, true), "TRANSACTION_COMPLETE")
		}
		w.want(cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, true), "FAILED_REPLY")
		w.wantErrno(cli, unix.ENOSPC)
		mgr.send(bc(uapi.BC_FREE_BUFFER, received(mgr.send(enter, nil, true)).Buffer), nil, false)
		w.want(cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, true), "TRANSACTION_COMPLETE")
	})
	t.Run("transactions", func(t *testing.T) {
		w := newTightWorld(t, Limits{Transactions: 2})
		w.open(1).manage()
		cli := w.open(2)
		for range 2 {
			w.want(cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, true), "TRANSACTION_COMPLETE")
		}
		w.want(cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, true), "FAILED_REPLY")
		w.wantErrno(cli, unix.ENOMEM)
	})
	t.Run("completions", func(t *testing.T) {
		w := newTightWorld(t, Limits{Completions: 2})
		w.open(1).manage()
		cli := w.open(2)
		for range 3 {
			cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, false)
		}
		w.want(cli.send(nil, nil, true), "TRANSACTION_COMPLETE TRANSACTION_COMPLETE FAILED_REPLY")
		w.wantErrno(cli, unix.ENOMEM)
		w.want(cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, true), "TRANSACTION_COMPLETE")
	})
	t.Run("death notices", func(t *testing.T) {
		w := newTightWorld(t, Limits{Notices: 2})
		w.open(1).manage()
		cli := w.open(2)
		again := slices.Concat(bc(uapi.BC_REQUEST_DEATH_NOTIFICATION, uint32(0), uint64(9)), bc(uapi.BC_CLEAR_DEATH_NOTIFICATION, uint32(0), uint64(9)))
		r := cli.send(slices.Concat(bc(uapi.BC_ACQUIRE, uint32(0)), again, again, again), nil, true)
		if !bytes.Contains(r.Resp.BR, binary.LittleEndian.AppendUint32(nil, uapi.BR_ERROR)) {
			t.Fatalf("BR stream %x", r.Resp.BR)
		}
	})
	t.Run("freeze notices", func(t *testing.T) {
		w := newTightWorld(t, Limits{Notices: 1})
		w.open(1).manage()
		cli := w.open(2)
		request, clear := bc(uapi.BC_REQUEST_FREEZE_NOTIFICATION, uint32(0), uint64(9)), bc(uapi.BC_CLEAR_FREEZE_NOTIFICATION, uint32(0), uint64(9))
		r := cli.send(slices.Concat(bc(uapi.BC_ACQUIRE, uint32(0)), request, clear, request), nil, true)
		if r.Resp.Status != unix.ENOMEM {
			t.Fatal(r.Resp.Status)
		}
		w.want(cli.send(nil, nil, true), "CLEAR_FREEZE_NOTIFICATION_DONE")
		w.want(cli.send(request, nil, true), "FROZEN_BINDER")
	})
}

// TestDepthIsCapped: two processes call each other from within each other's calls,
// and free the buffers meanwhile, so that nothing else would end it.
func TestDepthIsCapped(t *testing.T) {
	w := newTightWorld(t, Limits{Depth: 4})
	a, b := w.open(1).manage(), w.open(2)
	in := a.send(enter, nil, true)
	out := b.send(call(0, 1, 0, 24, 1), make([]byte, 24), true, binderObject(0x10))
	a.send(bc(uapi.BC_ACQUIRE, uint32(1)), nil, false)
	for depth, g, handle := 1, a, uint32(1); ; depth++ {
		tr := received(in)
		in, out = out, g.send(slices.Concat(bc(uapi.BC_FREE_BUFFER, tr.Buffer), call(handle, 1, 0, 0, 0)), nil, true)
		if w.names(out) != "parked" {
			w.want(out, "FAILED_REPLY")
			w.wantErrno(g, unix.ENOMEM)
			if depth != 5 {
				t.Fatalf("refused at depth %d", depth)
			}
			return
		}
		if g = b; handle == 0 {
			g = a
		}
		handle = 1 - handle
	}
}

// TestShareOfVM: processes together may not have more than their VM's share, and are
// charged for the most they had, until they end.
func TestShareOfVM(t *testing.T) {
	w := newTightWorld(t, Limits{Threads: 2, Share: 2})
	a := w.open(1).another(11)
	b := w.open(2).another(12)
	b.ioctl(uapi.BINDER_THREAD_EXIT, [24]byte{}) // its table keeps its size
	id, err := w.vm.Open(w.x, OpenArgs{Context: w.binder, PID: 3})
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Proc: id, TID: 3}
	if w.vm.WriteRead(w.x, r); r.Resp.Status != unix.ENOMEM {
		t.Fatalf("a fifth thread: %v", r.Resp.Status)
	}
	b.another(13) // but may be used again
	w.vm.Release(w.x, a.id)
	if w.vm.WriteRead(w.x, r); r.Resp.Status != 0 {
		t.Fatalf("after a release: %v", r.Resp.Status)
	}
}

// TestFreeRecordsKeepLittle: a free record of a buffer or a transaction does not keep
// the room that an unusually large one took, nor does a way into the core.
func TestFreeRecordsKeepLittle(t *testing.T) {
	const many = 4 * maxSpare
	w := newWorld(t)
	mgr, cli := w.open(1), w.open(2)
	var accept [24]byte
	binary.LittleEndian.PutUint32(accept[4:], uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)
	if errno, _ := mgr.ioctl(uapi.BINDER_SET_CONTEXT_MGR_EXT, accept); errno != 0 {
		t.Fatal(errno)
	}
	oneway := func() {
		r := &Request{Proc: cli.id, TID: cli.tid, Stream: call(0, 1, uapi.TF_ONE_WAY, 48*many, 2*many),
			Payload: bytesPayload(make([]byte, 48*many)), Gather: []Gather{{DataLen: 48 * many, ObjCount: 2 * many}}}
		for i := range uint64(many) {
			binder, file := binderObject(0x10), Object{RawLen: 24, FDFirst: uint32(i), FDCount: 1}
			uapi.Object(file.Raw[:]).SetType(uapi.BINDER_TYPE_FD)
			binder.Offset, file.Offset = 48*i, 48*i+24
			r.Objects = append(r.Objects, binder, file)
			r.FDs = append(r.FDs, FD{Token: uint32(i + 1)})
		}
		w.vm.WriteRead(w.x, r)
	}
	oneway()
	srv := mgr.send(enter, nil, true)
	w.want(srv, "TRANSACTION")
	if n := len(srv.Resp.Fix); n != many {
		t.Fatalf("%d files delivered", n)
	}
	mgr.send(bc(uapi.BC_FREE_BUFFER, received(srv).Buffer), nil, false)
	for _, b := range w.vm.proc(mgr.id).buffers {
		if b != nil && cap(b.held) > maxSpare {
			t.Errorf("a free buffer keeps room for %d objects", cap(b.held))
		}
	}
	for _, txn := range w.vm.core.txns.txns {
		if cap(txn.fds) > maxSpare {
			t.Errorf("a free transaction keeps room for %d files", cap(txn.fds))
		}
	}
	oneway()
	w.vm.Release(w.x, mgr.id)
	if n := len(w.events); n != many {
		t.Fatalf("%d events of %d files", n, many)
	}
	if n := cap(w.x.events); n > maxSpare {
		t.Errorf("room for %d events is kept", n)
	}
}
