// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sys/unix"

	"virtbinder/internal/lockrank"
)

// Config configures a Core.
type Config struct {
	Limits Limits
	Log    *slog.Logger // nil: discard; of several VMs it does not say which
	Label  string       // security label of a process whose guest states none; "" takes DefaultLabel
}

// DefaultLabel is the security context given to callers in a guest that has no
// LSM to name one, so that servicemanager always has a context to read.
const DefaultLabel = "u:r:virtbinder_guest:s0"

// Core is one lock domain of binder objects. All methods are safe for concurrent
// use, each caller with its own Exec.
type Core struct {
	cfg Config
	log *slog.Logger

	mu     lockrank.Mutex
	lastID uint64 // ids of transactions, nodes, refs: one counter, as the kernel's
	txns   txnPool
}

// New makes an empty core.
func New(cfg Config) *Core {
	cfg.Limits.setDefaults()
	if cfg.Label == "" {
		cfg.Label = DefaultLabel
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	c := &Core{cfg: cfg, log: cfg.Log}
	c.mu.Init(lockrank.Core, "driver.Core.mu")
	return c
}

func (c *Core) nextID() uint64 { c.lastID++; return c.lastID }

// Window is where the receive buffers of a VM's processes live. Reserve and
// Release are called with no lock held; Bytes may be called from several
// goroutines at once and must stay valid until Release.
type Window interface {
	// Reserve takes size bytes (page multiple), zeroed. The error says what ran out.
	Reserve(size uint64) (off uint64, err error)
	// Release gives a range back; its memory is dropped before it is reused.
	Release(off, size uint64)
	// Bytes is the host's view of a range.
	Bytes(off, size uint64) []byte
	// Copy runs f, which writes into the window or reads guest memory, and turns a
	// fault on either into an error.
	Copy(f func() error) error
}

// Env is the world around one VM. Its methods are called with no lock held, by
// the goroutine that runs the core.
type Env interface {
	Window
	// Complete publishes r.Resp. r is the environment's again.
	Complete(x *Exec, r *Request)
	// Event tells the guest driver something that no request waits for.
	Event(x *Exec, e Event)
	// Report takes one failure report; it must not block.
	Report(r Report)
}

// VM is one guest's share of a core: its contexts and processes.
type VM struct {
	core *Core
	name string
	env  Env
	// noticer is env, if it is one.
	noticer Noticer

	contexts    map[ContextID]*Context
	lastContext ContextID
	procs       []procSlot // by low half of ProcID
	spare       []uint32   // free slots
	opened      map[*Process]struct{}
	opens       uint64             // ever
	deadNodes   map[*Node]struct{} // their process died, handles are left
	counts      counts
	charged     [statKinds]int // for all processes: see limits.go
	traffic     traffic
	log         logRing
	failedLog   logRing
	dead        bool
	lost        bool // see contain.go
}

type procSlot struct {
	gen  uint32
	proc *Process
}

// ErrGone is returned for a process that was released or never was.
var ErrGone = errors.New("process is gone")

// NewVM adds a VM. Its contexts are its own.
func (c *Core) NewVM(name string, env Env) *VM {
	noticer, _ := env.(Noticer)
	return &VM{core: c, name: name, env: env, noticer: noticer, contexts: map[ContextID]*Context{},
		opened: map[*Process]struct{}{}, deadNodes: map[*Node]struct{}{}}
}

// Name is the VM's name, as reports state it.
func (vm *VM) Name() string { return vm.name }

// ProcID names a Process within its VM: slot in the low half, generation above.
type ProcID uint64

// OpenArgs is what the guest states about an opener.
type OpenArgs struct {
	Context ContextID
	PID     uint32 // thread group leader, guest's initial pid namespace
	Nice    int32
	Label   string // the guest LSM's label; "" for none
	Comm    string // what its thread group leader is called; for people to read
}

// Open makes a process: one for each open of the device.
func (vm *VM) Open(x *Exec, o OpenArgs) (ProcID, error) {
	label, err := vm.label(o.Label)
	if err != nil {
		return 0, fmt.Errorf("open: %w", err)
	}
	o.Label = label
	x.lock(vm)
	defer x.unlock()
	if vm.dead {
		return 0, ErrGone
	}
	ctx := vm.contexts[o.Context]
	if ctx == nil || ctx.ended {
		return 0, fmt.Errorf("open: no context %d: %w", o.Context, unix.EINVAL)
	}
	if len(vm.opened) >= vm.core.cfg.Limits.Processes {
		return 0, fmt.Errorf("open: %d processes are open, the limit: %w", len(vm.opened), unix.ENOMEM)
	}
	slot := uint32(len(vm.procs))
	if n := len(vm.spare); n > 0 {
		slot, vm.spare = vm.spare[n-1], vm.spare[:n-1]
	} else {
		vm.procs = append(vm.procs, procSlot{})
	}
	s := &vm.procs[slot]
	s.gen++
	s.proc = newProcess(vm, ProcID(uint64(s.gen)<<32|uint64(slot)), ctx, o)
	ctx.users++
	vm.opens++
	s.proc.serial = vm.opens
	vm.opened[s.proc] = struct{}{}
	vm.counts.made(statProc)
	return s.proc.id, nil
}

// proc finds a live process. Caller holds Core.mu.
func (vm *VM) proc(id ProcID) *Process {
	slot := uint32(id)
	if vm.lost || int(slot) >= len(vm.procs) || vm.procs[slot].gen != uint32(id>>32) {
		return nil
	}
	if p := vm.procs[slot].proc; p != nil && !p.closing {
		return p
	}
	return nil
}

// forget gives a released process's slot back. Caller holds Core.mu.
func (vm *VM) forget(p *Process) {
	slot := uint32(p.id)
	vm.procs[slot].proc = nil
	vm.spare = append(vm.spare, slot)
	delete(vm.opened, p)
	p.discharge()
	p.ctx.users--
	vm.dropContext(p.ctx)
	vm.counts.gone(statProc)
}

// Reset releases every process as if each had closed its file: death notices
// fire, parked reads complete as gone, nothing stays. The contexts go too.
func (vm *VM) Reset(x *Exec) {
	x.lock(vm)
	defer x.unlock()
	if vm.lost {
		return
	}
	for _, s := range vm.procs {
		if s.proc != nil {
			s.proc.close(x)
		}
	}
	clear(vm.contexts)
}

// Close is Reset for good: later opens fail.
func (vm *VM) Close(x *Exec) {
	vm.core.mu.Lock()
	vm.dead = true
	vm.core.mu.Unlock()
	vm.Reset(x)
}
