// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// yard is a VM's environment for many callers at once: it checks nothing itself, but
// that each request comes back once.
type yard struct {
	vm   *VM
	mem  []byte
	mu   sync.Mutex // guards the rest
	next uint64
	free []uint64
	lost int
}

func (y *yard) Reserve(n uint64) (uint64, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if k := len(y.free); k > 0 {
		off := y.free[k-1]
		y.free = y.free[:k-1]
		return off, nil
	}
	if y.next+n > uint64(len(y.mem)) {
		return 0, unix.ENOMEM
	}
	y.next += n
	return y.next - n, nil
}

func (y *yard) Release(off, n uint64) {
	clear(y.mem[off : off+n])
	y.mu.Lock()
	y.free = append(y.free, off)
	y.mu.Unlock()
}

func (y *yard) Bytes(off, n uint64) []byte { return y.mem[off : off+n] }
func (y *yard) Copy(f func() error) error  { return f() }
func (y *yard) Event(*Exec, Event)         {}
func (y *yard) Report(Report)              {}

func (y *yard) Complete(_ *Exec, r *Request) {
	select {
	case r.Data.(chan struct{}) <- struct{}{}:
	default:
		y.mu.Lock()
		y.lost++ // answered twice
		y.mu.Unlock()
	}
}

const yardWindow = 64 << 10

// TestHammer: several processes serve, call, watch each other die, freeze each other
// and are killed, each from goroutines of its own, with a guest that is reset amid
// it. Every request comes back once and nothing is left.
func TestHammer(t *testing.T) {
	core := New(Config{})
	var vms []*yard
	var wg sync.WaitGroup
	for range 2 {
		y := &yard{mem: make([]byte, 64*yardWindow)}
		y.vm = core.NewVM("yard", y)
		vms = append(vms, y)
		for worker := range 4 {
			wg.Go(func() { y.work(t, uint32(worker+1)) })
		}
		wg.Go(func() {
			for range 20 {
				y.vm.Dump(DumpState, 0, 1<<16)
				y.vm.Reset(&Exec{})
			}
		})
	}
	wg.Wait()
	for _, y := range vms {
		y.vm.Close(&Exec{})
		a := auditCore(core, []*VM{y.vm}, known{})
		for _, p := range a.problems {
			t.Error(p)
		}
		for kind, c := range y.vm.Counts() {
			if c.Active != 0 {
				t.Errorf("%d %s left", c.Active, kind)
			}
		}
		if y.lost != 0 {
			t.Errorf("%d requests were answered twice", y.lost)
		}
	}
}

// work lives through a number of processes: the first to come is context manager.
func (y *yard) work(t *testing.T, pid uint32) {
	for life := range 25 {
		id, err := y.vm.NewContext("binder")
		if pid > 1 && life > 0 {
			y.vm.EndContext(id)
			id = 1
		}
		if err != nil {
			t.Error(err)
			return
		}
		var x Exec
		p, err := y.vm.Open(&x, OpenArgs{Context: id, PID: pid})
		if err != nil {
			continue // its context went with a reset
		}
		y.vm.Mmap(&x, p, uint64(pid)<<32, yardWindow)
		y.ioctl(&x, p, 1, uapi.BINDER_SET_CONTEXT_MGR, [24]byte{})
		var threads sync.WaitGroup
		for tid := range uint32(3) {
			threads.Go(func() { y.thread(p, pid, tid+1) })
		}
		y.ioctl(&x, p, 9, uapi.BINDER_FREEZE, *freezeArg(pid%4+1, uint32(life%2)))
		y.vm.Flush(&x, p)
		y.vm.Release(&x, p) // killed
		threads.Wait()
	}
}

func (y *yard) ioctl(x *Exec, p ProcID, tid, cmd uint32, arg [24]byte) {
	r := &Request{Proc: p, TID: tid, Data: make(chan struct{}, 1)}
	y.vm.Ioctl(x, r, cmd, &arg)
	<-r.Data.(chan struct{})
}

// thread serves and calls in turn, until its process is gone.
func (y *yard) thread(p ProcID, pid, tid uint32) {
	var x Exec
	stream := enter
	for seq := uint32(1); ; seq++ {
		r := &Request{Proc: p, TID: tid, Seq: seq, Stream: stream, ReadSize: 256, Payload: bytesPayload(make([]byte, 64)), Data: make(chan struct{}, 1)}
		for pos := 0; pos+4 <= len(stream); {
			code := le.Uint32(stream[pos:])
			if code == uapi.BC_TRANSACTION || code == uapi.BC_REPLY {
				g := Gather{CmdPos: uint32(pos), DataLen: 24}
				if code == uapi.BC_TRANSACTION {
					g.ObjCount, r.Objects = 1, []Object{binderObject(uint64(tid) * 0x10)}
				}
				r.Gather = append(r.Gather, g)
			}
			pos += 4 + uapi.PayloadSize(code)
		}
		go y.vm.Cancel(&Exec{}, p, tid, seq) // a signal, sooner or later
		y.vm.WriteRead(&x, r)
		<-r.Data.(chan struct{})
		if r.Resp.Flags&RespGone != 0 {
			return
		}
		stream = call(uint32(seq%3), 1, (seq%2)*uapi.TF_ONE_WAY, 24, 1)
		if pos := r.Resp.TxnPos; pos != NoPos {
			tr := received(r)
			stream = bc(uapi.BC_FREE_BUFFER, tr.Buffer)
			if le.Uint32(r.Resp.BR[pos:]) == uapi.BR_TRANSACTION && tr.Flags&uapi.TF_ONE_WAY == 0 {
				stream = append(stream, reply(24, 0)...)
			}
		}
		stream = append(stream, bc(uapi.BC_REQUEST_DEATH_NOTIFICATION, seq%4, uint64(seq))...)
	}
}
