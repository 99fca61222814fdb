// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// Tests of docs/threat-model.md's rows, by their numbers. Each fails if its defence is
// taken away.

// TestEachThreatHasItsTest: every row of the table names tests that there are, or says
// why the threat cannot arise.
func TestEachThreatHasItsTest(t *testing.T) {
	text, err := os.ReadFile("../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	row := regexp.MustCompile(`(?m)^\| (\d+) \|([^|]*)\|([^|]*)\|([^|]*)\|$`)
	seen := map[int]bool{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(m[1])
		seen[n] = true
		names := regexp.MustCompile(`\b(Test|Fuzz)\w+`).FindAllString(m[4], -1)
		if len(names) == 0 && !strings.Contains(m[4], "cannot arise") {
			t.Errorf("row %d names no test and does not say why it cannot arise", n)
		}
		for _, name := range names {
			if !tests[name] {
				t.Errorf("row %d: there is no %s", n, name)
			}
		}
	}
	for n := 1; n <= 30; n++ {
		if !seen[n] {
			t.Errorf("row %d is missing", n)
		}
	}
}

// testNames are the names of all tests of the module.
func testNames(t *testing.T) map[string]bool {
	names := map[string]bool{}
	decl := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range decl.FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// acceptor makes a context manager that accepts files and wants security contexts.
func (g *guest) acceptor() *guest {
	g.w.t.Helper()
	o := binderObject(0)
	raw := [24]byte(o.Raw[:24])
	binary.LittleEndian.PutUint32(raw[4:], uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS|uapi.FLAT_BINDER_FLAG_TXN_SECURITY_CTX)
	if errno, _ := g.ioctl(uapi.BINDER_SET_CONTEXT_MGR_EXT, raw); errno != 0 {
		g.w.t.Fatal(errno)
	}
	return g
}

// sg sends one BC_TRANSACTION_SG that the guest has gathered all of.
func (g *guest) sg(td uapi.TransactionData, objs ...Object) *Request {
	g.seq++
	r := &Request{Proc: g.id, TID: g.tid, Seq: g.seq, ReadSize: 256, Objects: objs, Payload: bytesPayload(make([]byte, 4096)),
		Stream: td.Append(binary.LittleEndian.AppendUint32(nil, uapi.BC_TRANSACTION_SG), true),
		Gather: []Gather{{ObjCount: uint32(len(objs)), DataLen: td.DataSize}}}
	for i := range objs {
		if uapi.Object(objs[i].Raw[:]).Type() == uapi.BINDER_TYPE_PTR {
			objs[i].SegLen = uapi.Object(objs[i].Raw[:]).PtrLength()
		}
	}
	g.w.vm.WriteRead(g.w.x, r)
	return r
}

func at(offset uint64, o Object) Object {
	o.Offset = offset
	return o
}

func ptrObject(length, flags, parent, parentOffset uint64) Object {
	o := Object{RawLen: 40}
	for i, v := range []uint64{uapi.BINDER_TYPE_PTR | flags<<32, 0x1000, length, parent, parentOffset} {
		binary.LittleEndian.PutUint64(o.Raw[8*i:], v)
	}
	return o
}

// untouched checks that a failed transaction left nothing with its target.
func (w *world) untouched(target *guest) {
	w.t.Helper()
	p := w.vm.proc(target.id)
	if p.mem.alloc.Len() != 0 || p.handles.n != 0 {
		w.t.Errorf("%d buffers and %d handles are left with the target", p.mem.alloc.Len(), p.handles.n)
	}
}

func TestThreat01FreeIgnoresWhatIsInTheWindow(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	cli.send(call(0, 1, uapi.TF_ONE_WAY, 24, 1), make([]byte, 24), false, binderObject(0x10))
	tr := received(srv)
	keep := bc(uapi.BC_ACQUIRE, uint32(1))
	// The guest writes its own buffer: another type, another handle, other offsets.
	all := w.mem[srv.Resp.Val : srv.Resp.Val+32]
	for i := range all {
		all[i] = 0xff
	}
	mgr.send(slices.Concat(keep, bc(uapi.BC_FREE_BUFFER, tr.Buffer)), nil, false)
	if ref := w.vm.proc(mgr.id).ref(1, true); ref == nil || ref.strong != 1 {
		t.Fatalf("handle 1 after the buffer was freed: %+v", ref)
	}
}

func TestThreat02OldNamesReachNothingNew(t *testing.T) {
	w := newWorld(t)
	old := w.open(1)
	w.vm.Release(w.x, old.id)
	fresh := w.open(2)
	if uint32(old.id) != uint32(fresh.id) {
		t.Fatal("the test wants the slot used again")
	}
	w.vm.Unmap(w.x, old.id)
	w.vm.Flush(w.x, old.id)
	w.vm.Release(w.x, old.id)
	if _, errno := w.vm.Mmap(w.x, old.id, 0x1000, 4096); errno != unix.ENODEV {
		t.Errorf("mmap of a released process: %v", errno)
	}
	if p := w.vm.proc(fresh.id); p == nil || !p.mem.mapped {
		t.Fatal("the new process felt its predecessor's calls")
	}
	if _, errno := w.vm.Mmap(w.x, fresh.id, 0x1000, 4096); errno != unix.EBUSY {
		t.Errorf("a second mapping: %v", errno)
	}
}

func TestThreat03BadOffsetsUnwindWhatWasTaken(t *testing.T) {
	for name, second := range map[string]uint64{"gap past the data": 1 << 20, "before its turn": 8, "wraps": ^uint64(3)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			mgr, cli := w.open(1).manage(), w.open(2)
			td := uapi.TransactionData{DataSize: 48, OffsetsSize: 16}
			w.want(cli.sg(td, binderObject(0x10), at(second, binderObject(0x20))), "FAILED_REPLY")
			w.untouched(mgr)
		})
	}
}

func TestThreat04ObjectsMustBeAlignedAndWhole(t *testing.T) {
	weird := binderObject(1)
	uapi.Object(weird.Raw[:]).SetType(0x1234)
	cut := binderObject(1)
	cut.RawLen = 23
	for name, o := range map[string]Object{"misaligned": at(2, binderObject(1)), "at the end": at(44, binderObject(1)),
		"at the very end": at(48, binderObject(1)), "unknown": weird, "cut short": cut, "unreadable": {}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			mgr, cli := w.open(1).manage(), w.open(2)
			w.want(cli.sg(uapi.TransactionData{DataSize: 48, OffsetsSize: 8}, o), "FAILED_REPLY")
			w.wantErrno(cli, unix.EINVAL)
			w.untouched(mgr)
		})
	}
}

func TestThreat05ParentsComeBefore(t *testing.T) {
	for name, tc := range map[string]struct{ parent, offset uint64 }{"itself": {1, 0}, "later": {2, 0}, "huge": {1 << 63, 0},
		"outside its parent": {0, 12}, "wraps": {0, ^uint64(3)}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			mgr, cli := w.open(1).manage(), w.open(2)
			td := uapi.TransactionData{DataSize: 128, OffsetsSize: 16, Extra: 32}
			w.want(cli.sg(td, at(8, ptrObject(16, 0, 0, 0)), at(48, ptrObject(16, 1, tc.parent, tc.offset))), "FAILED_REPLY")
			w.wantErrno(cli, unix.EINVAL)
			w.untouched(mgr)
		})
	}
}

func TestThreat06NothingDoneMeansNothingUndone(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	w.want(cli.sg(uapi.TransactionData{Flags: uapi.TF_ONE_WAY, DataSize: 24, OffsetsSize: 8}, binderObject(0x10)), "INCREFS ACQUIRE TRANSACTION_COMPLETE")
	keep := slices.Concat(bc(uapi.BC_ACQUIRE, uint32(1)), bc(uapi.BC_FREE_BUFFER, received(srv).Buffer))
	mgr.send(keep, nil, false)
	// Fails at its first object: the second, of which the manager has a handle, was not reached.
	w.want(cli.sg(uapi.TransactionData{DataSize: 48, OffsetsSize: 16}, at(2, binderObject(0x20)), at(24, binderObject(0x10))), "FAILED_REPLY")
	if ref := w.vm.proc(mgr.id).ref(1, true); ref == nil || ref.strong != 1 {
		t.Fatalf("handle 1 after a call that failed: %+v", ref)
	}
}

func TestThreat07UnalignedSizes(t *testing.T) {
	for name, td := range map[string]uapi.TransactionData{"offsets": {DataSize: 24, OffsetsSize: 12}, "extra": {DataSize: 24, OffsetsSize: 8, Extra: 12}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			mgr, cli := w.open(1).manage(), w.open(2)
			w.want(cli.sg(td, binderObject(0x10)), "FAILED_REPLY")
			w.wantErrno(cli, unix.EINVAL)
			w.untouched(mgr)
		})
	}
}

func TestThreat08AnExitedThreadIsNobody(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	w.vm.Poll(w.x, mgr.id, mgr.tid)
	read := mgr.send(enter, nil, true)
	mgr.ioctl(uapi.BINDER_THREAD_EXIT, [24]byte{}) // only a broken guest: its read waits
	if !w.done[read] || read.Resp.Flags&RespGone == 0 {
		t.Fatal("the read of an exited thread waits")
	}
	w.want(cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, true), "TRANSACTION_COMPLETE")
	w.want(mgr.another(5).send(enter, nil, true), "TRANSACTION")
}

func TestThreat10OnlyDeliveredBuffersAreFreed(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	free := func() { mgr.send(bc(uapi.BC_FREE_BUFFER, mgr.base), nil, false) }
	left := func() int { return w.vm.proc(mgr.id).mem.alloc.Len() }
	w.during = func() { // the sender's bytes are being copied
		if free(); left() != 1 {
			t.Error("a buffer was freed while it was built")
		}
	}
	cli.send(call(0, 1, uapi.TF_ONE_WAY, 8, 0), make([]byte, 8), false)
	if free(); left() != 1 {
		t.Error("a buffer was freed before it was delivered")
	}
	w.want(mgr.send(enter, nil, true), "TRANSACTION")
	free()
	if free(); left() != 0 {
		t.Error("a delivered buffer was not freed")
	}
}

func TestThreat11TargetDiesWhileACallIsBuilt(t *testing.T) {
	for _, flags := range []uint32{0, uapi.TF_ONE_WAY} {
		w := newWorld(t)
		mgr, cli := w.open(1).manage(), w.open(2)
		w.during = func() { w.vm.Release(w.x, mgr.id) }
		r := cli.send(call(0, 1, flags, 24, 1), make([]byte, 24), true, binderObject(0x10))
		if !w.done[r] {
			t.Error("the caller waits for a dead process")
		}
		if w.vm.proc(mgr.id) != nil {
			t.Error("the target lives")
		}
	}
}

func TestThreat13SupersededFilesArePut(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).acceptor(), w.open(2)
	fd := func(token uint32) *Request {
		o := Object{RawLen: 24, FDCount: 1}
		uapi.Object(o.Raw[:]).SetType(uapi.BINDER_TYPE_FD)
		cli.seq++
		td := uapi.TransactionData{Flags: uapi.TF_ONE_WAY | uapi.TF_UPDATE_TXN, DataSize: 24, OffsetsSize: 8}
		r := &Request{Proc: cli.id, TID: cli.tid, Seq: cli.seq, ReadSize: 256, Objects: []Object{o}, FDs: []FD{{Token: token}}, Payload: bytesPayload(make([]byte, 24)),
			Stream: td.Append(binary.LittleEndian.AppendUint32(nil, uapi.BC_TRANSACTION_SG), true), Gather: []Gather{{ObjCount: 1, DataLen: 24}}}
		w.vm.WriteRead(w.x, r)
		return r
	}
	w.vm.Ioctl(w.x, &Request{Proc: cli.id, TID: cli.tid}, uapi.BINDER_FREEZE, freezeArg(1, 0))
	for token := range uint32(3) {
		w.want(fd(token+1), "TRANSACTION_PENDING_FROZEN")
	}
	var back []uint32
	for _, e := range w.events {
		if e.Kind == EventPut {
			back = append(back, e.Token)
		}
	}
	// 1 is first in line, 2 was superseded by 3: its file goes back, nobody's number is closed.
	if !slices.Equal(back, []uint32{2}) {
		t.Errorf("files given back: %v", back)
	}
	for _, want := range []uint32{1, 3} {
		r := mgr.send(enter, nil, true)
		w.want(r, "TRANSACTION_SEC_CTX")
		if r.Resp.Fix[0].Kind != FixFD || r.Resp.Fix[0].Token != want {
			t.Fatalf("delivered %+v, want file %d", r.Resp.Fix, want)
		}
		mgr.send(bc(uapi.BC_FREE_BUFFER, received(r).Buffer), nil, false)
	}
}

func TestThreat14ReportsComeBeforeTheAnswer(t *testing.T) {
	w := newWorld(t)
	w.open(1).manage()
	cli := w.open(2)
	answers := len(w.done)
	w.always = func() {
		if len(w.reports) == 0 && len(w.done) > answers {
			t.Error("the failure could be read before its report was made")
		}
	}
	w.want(cli.send(call(99, 1, 0, 0, 0), nil, true), "FAILED_REPLY")
	if len(w.reports) != 1 {
		t.Fatalf("%d reports", len(w.reports))
	}
}

// TestThreat16TheCoreCanBeCalledFromItsEffects: no effect is carried out under a lock,
// so each may call the core.
func TestThreat16TheCoreCanBeCalledFromItsEffects(t *testing.T) {
	w := newWorld(t)
	w.open(1).manage()
	cli, busy := w.open(2), w.open(3)
	calls := 0
	w.always = func() {
		calls++
		if calls < 50 {
			busy.ioctl(uapi.BINDER_VERSION, [24]byte{})
		}
	}
	cli.send(call(99, 1, 0, 0, 0), nil, true)
	cli.send(call(0, 1, uapi.TF_ONE_WAY, 8, 0), make([]byte, 8), true)
	w.vm.Release(w.x, cli.id)
	w.always = nil
	if calls < 4 {
		t.Fatalf("%d effects", calls)
	}
}

func TestThreat18PollHearsItsOwnWork(t *testing.T) {
	w := newWorld(t)
	w.open(1).manage()
	cli := w.open(2)
	if readable, _ := w.vm.Poll(w.x, cli.id, cli.tid); readable {
		t.Fatal("readable from the start")
	}
	w.events = nil
	cli.send(call(0, 1, uapi.TF_ONE_WAY, 0, 0), nil, false)
	if readable, _ := w.vm.Poll(w.x, cli.id, cli.tid); !readable || !slices.Contains(w.events, Event{Kind: EventPoll, Proc: cli.id}) {
		t.Fatalf("readable %v, events %v", readable, w.events)
	}
}

func TestThreat22PidsOfOtherVMsAreNobodys(t *testing.T) {
	w, other := newWorld(t), &world{t: t, x: &Exec{}, mem: make([]byte, 16<<20), done: map[*Request]bool{}}
	other.vm = w.vm.core.NewVM("other", other)
	other.binder = other.context("binder")
	defer other.vm.Close(other.x)
	w.open(77)
	evil := other.open(5)
	r := &Request{Proc: evil.id, TID: evil.tid}
	if other.vm.Ioctl(other.x, r, uapi.BINDER_FREEZE, freezeArg(77, 0)); r.Resp.Status != unix.EINVAL {
		t.Errorf("freezing a pid of another VM: %v", r.Resp.Status)
	}
	if errno, _ := evil.ioctl(uapi.BINDER_GET_FROZEN_INFO, [24]byte{77}); errno != unix.EINVAL {
		t.Errorf("asking for a pid of another VM: %v", errno)
	}
	mgr := w.open(1).manage()
	w.want(mgr.send(enter, nil, true), "parked")
	other.want(evil.send(call(0, 1, 0, 0, 0), nil, true), "DEAD_REPLY") // its own context has no manager
}

func TestThreat23SizesAreAddedWithCare(t *testing.T) {
	for name, td := range map[string]uapi.TransactionData{"data": {DataSize: ^uint64(0)}, "offsets": {DataSize: 8, OffsetsSize: ^uint64(7)},
		"with the label": {Extra: ^uint64(7)}, "all": {DataSize: 1 << 63, OffsetsSize: 1 << 63}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			mgr, cli := w.open(1).acceptor(), w.open(2)
			r := &Request{Proc: cli.id, TID: cli.tid, ReadSize: 256, Payload: bytesPayload(nil), Gather: []Gather{{}},
				Stream: td.Append(binary.LittleEndian.AppendUint32(nil, uapi.BC_TRANSACTION_SG), true)}
			w.vm.WriteRead(w.x, r)
			w.want(r, "FAILED_REPLY")
			w.wantErrno(cli, unix.EINVAL)
			w.untouched(mgr)
		})
	}
}

func TestThreat24NoHostAddressInAnyLog(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	mgr.send(enter, nil, true)
	cli.send(call(0, 1, 0, 24, 1), make([]byte, 24), true, binderObject(0x10))
	p := w.vm.proc(mgr.id)
	for kind := range uint32(16) {
		text, _ := w.vm.Dump(DumpKind(kind), 0, 1<<20)
		for _, secret := range []any{p, p.threads[1], p.threads[1].stack, w.vm, p.buffers[1]} {
			if s := fmt.Sprintf("%p", secret); strings.Contains(string(text), s[2:]) {
				t.Errorf("log %d shows the host's address of a %T", kind, secret)
			}
		}
	}
}

func TestThreat27ClearedBuffersAreClear(t *testing.T) {
	w := newWorld(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	cli.send(call(0, 1, uapi.TF_ONE_WAY|uapi.TF_CLEAR_BUF, 64, 0), bytes.Repeat([]byte{0x5a}, 64), false)
	tr := received(srv)
	off := srv.Resp.Val
	if !bytes.Contains(w.mem[off:off+64], []byte{0x5a}) {
		t.Fatal("nothing arrived")
	}
	mgr.send(bc(uapi.BC_FREE_BUFFER, tr.Buffer), nil, false)
	if bytes.Contains(w.mem[off:off+64], []byte{0x5a}) {
		t.Error("the bytes stay")
	}
}
