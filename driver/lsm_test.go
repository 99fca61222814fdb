// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// judged sends one transaction as a guest driver with an LSM does: verdicts against
// about.
func (g *guest) judged(stream []byte, pos int, data []byte, about ProcID, lsmError unix.Errno, objs ...Object) *Request {
	g.seq++
	r := &Request{Proc: g.id, TID: g.pid, Seq: g.seq, Stream: stream, Payload: bytesPayload(data), Objects: objs, ReadSize: 256,
		Gather: []Gather{{CmdPos: uint32(pos), DataLen: uint64(len(data)), ObjCount: uint32(len(objs)),
			Judged: true, LSMProc: about, LSMError: -int32(lsmError)}}}
	g.w.vm.WriteRead(g.w.x, r)
	return r
}

// TestRetry: a command judged against the wrong process is not executed, what stands
// before it is, and the answer names the target.
func TestRetry(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	stream := slices.Concat(enter, call(0, 7, 0, 0, 0))
	for _, about := range []ProcID{0, cli.id} {
		r := cli.judged(stream, len(enter), nil, about, unix.EPERM)
		if w.names(r) != "" || r.Resp.Flags != RespRetry || ProcID(r.Resp.Val) != mgr.id || r.Resp.WriteConsumed != uint64(len(enter)) {
			t.Fatalf("answer %+v", r.Resp)
		}
	}
	w.want(srv, "parked")
	w.want(cli.judged(stream, len(enter), nil, mgr.id, 0), "parked")
	w.want(srv, "TRANSACTION")
}

// TestVerdicts: each hook's denial fails the transaction where the kernel's driver
// asks that hook.
func TestVerdicts(t *testing.T) {
	file := Object{RawLen: 24, FDCount: 1}
	uapi.Object(file.Raw[:]).SetType(uapi.BINDER_TYPE_FD)
	denied := binderObject(0x1000)
	denied.LSMError = -int32(unix.EACCES)
	for _, tc := range []struct {
		name    string
		handle  uint32
		verdict unix.Errno
		obj     Object
		fd      FD
		want    unix.Errno
	}{
		{"call", 0, unix.EACCES, binderObject(0x1000), FD{}, unix.EPERM},
		{"an unknown handle comes first", 9, unix.EACCES, binderObject(0x1000), FD{}, unix.EINVAL},
		{"binder", 0, 0, denied, FD{}, unix.EPERM},
		{"file", 0, 0, file, FD{Err: unix.EPERM}, unix.EPERM},
		{"no file", 0, 0, file, FD{Err: unix.EBADF}, unix.EBADF},
		{"file, taken", 0, 0, file, FD{Token: 5}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			mgr, cli := w.open(1), w.open(2)
			var obj [24]byte
			binary.LittleEndian.PutUint32(obj[4:], uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)
			if errno, _ := mgr.ioctl(uapi.BINDER_SET_CONTEXT_MGR_EXT, obj); errno != 0 {
				t.Fatal(errno)
			}
			cli.seq++
			r := &Request{Proc: cli.id, TID: cli.pid, Seq: cli.seq, Stream: call(tc.handle, 1, 0, 24, 1), Payload: bytesPayload(make([]byte, 24)),
				ReadSize: 256, Objects: []Object{tc.obj}, FDs: []FD{tc.fd},
				Gather: []Gather{{DataLen: 24, ObjCount: 1, Judged: true, LSMProc: mgr.id, LSMError: -int32(tc.verdict)}}}
			w.vm.WriteRead(w.x, r)
			if tc.want == 0 {
				w.want(r, "parked")
				return
			}
			if got := w.names(r); !slices.Contains([]string{"FAILED_REPLY", "INCREFS FAILED_REPLY"}, got) {
				t.Fatalf("read %q", got)
			}
			_, ee := cli.ioctl(uapi.BINDER_GET_EXTENDED_ERROR, [24]byte{})
			if got := unix.Errno(-int32(binary.LittleEndian.Uint32(ee[8:]))); got != tc.want {
				t.Fatalf("extended error %v, want %v", got, tc.want)
			}
		})
	}
}

// TestReplyJudged: a reply is judged for what it carries only, against the caller.
func TestReplyJudged(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	w.want(cli.send(call(0, 1, 0, 0, 0), nil, true), "parked")
	w.want(srv, "TRANSACTION")
	data := make([]byte, 24)
	r := mgr.judged(reply(24, 1), 0, data, mgr.id, 0, binderObject(0x2000))
	if r.Resp.Flags != RespRetry || ProcID(r.Resp.Val) != cli.id {
		t.Fatalf("answer %+v", r.Resp)
	}
	w.want(mgr.judged(reply(0, 0), 0, nil, 0, 0), "TRANSACTION_COMPLETE")
}

// TestContextManagerJudged: the LSM is asked after the slot and before the uid rule.
func TestContextManagerJudged(t *testing.T) {
	w := newWorld(t)
	set := func(g *guest, lsmError int32) unix.Errno {
		r := &Request{Proc: g.id, TID: g.pid, EUID: g.euid(), LSMError: lsmError}
		w.vm.Ioctl(w.x, r, uapi.BINDER_SET_CONTEXT_MGR, &[24]byte{})
		return r.Resp.Status
	}
	a, b := w.open(1), w.open(2)
	if errno := set(b, -int32(unix.EACCES)); errno != unix.EACCES {
		t.Fatalf("denied: %v", errno)
	}
	if errno := set(a, 0); errno != 0 {
		t.Fatalf("after a denial: %v; its uid must not stick", errno)
	}
	if errno := set(b, -int32(unix.EACCES)); errno != unix.EBUSY {
		t.Fatalf("slot taken: %v", errno)
	}
	w.vm.Release(w.x, a.id)
	if errno := set(b, 0); errno != unix.EPERM {
		t.Fatalf("another uid: %v", errno)
	}
}

// TestFilesGoBack: files of commands that are not executed are given back.
func TestFilesGoBack(t *testing.T) {
	w := newWorld(t)
	w.open(1).manage()
	cli := w.open(2)
	cli.seq++
	stream := slices.Concat(call(9, 1, 0, 0, 0), call(0, 1, 0, 0, 1))
	r := &Request{Proc: cli.id, TID: cli.pid, Seq: cli.seq, Stream: stream, Payload: bytesPayload(nil), ReadSize: 256,
		Objects: []Object{{FDCount: 1}}, FDs: []FD{{Token: 77}},
		Gather: []Gather{{}, {CmdPos: uint32(len(stream) / 2), ObjCount: 1}}}
	w.vm.WriteRead(w.x, r)
	w.want(r, "FAILED_REPLY")
	if len(r.Resp.Fix) != 1 || r.Resp.Fix[0] != (Fix{Token: 77, Kind: FixPut}) {
		t.Fatalf("fix-ups %+v", r.Resp.Fix)
	}
}

// TestReportsRideAlong: an answer carries its failures as far as there is room.
func TestReportsRideAlong(t *testing.T) {
	w := newWorld(t)
	w.open(1).manage()
	cli := w.open(2)
	var arg [24]byte
	binary.LittleEndian.PutUint32(arg[0:], 1)
	binary.LittleEndian.PutUint32(arg[4:], 1)
	if errno, _ := cli.ioctl(uapi.BINDER_FREEZE, arg); errno != 0 {
		t.Fatal(errno)
	}
	oneway := call(0, 1, uapi.TF_ONE_WAY, 0, 0)
	r := cli.send(slices.Concat(oneway, oneway, oneway), nil, true)
	if len(w.reports) != 3 || len(r.Resp.Reports) != 1 || r.Resp.Reports[0] != w.reports[0] || r.Resp.ReportsLost != 2 {
		t.Fatalf("%d reports, %d along, %d lost", len(w.reports), len(r.Resp.Reports), r.Resp.ReportsLost)
	}
}
