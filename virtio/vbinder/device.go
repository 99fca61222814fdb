// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"virtbinder/driver"
	"virtbinder/internal/guestmem"
	"virtbinder/internal/lockrank"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder/wire"
)

const (
	controlSize  = 64
	eventSize    = 64
	deferredSize = 64
	requestSize  = 1024

	// maxCtl and maxRead keep a request of scattered pages, each part with an end
	// that is not page-aligned, within virtio.MaxChain descriptors.
	maxCtl  = 128 << 10
	maxRead = 64 << 10
	// maxFix bounds the fix-up table of one answer; FETCH_FIX gets the rest.
	maxFix = 4096
	// maxReports bounds the reports in one answer.
	maxReports = 64
	// maxMap is the binder driver's limit of one process's buffer window, bytes.
	maxMap = 4 << 20

	// maxQueues is what the transport can show.
	maxQueues = 64
	// MaxRequestQueues is what is left for Config.RequestQueues.
	MaxRequestQueues = maxQueues - wire.QRequest

	// DefaultPoll is a Poll of about what a doorbell and two wake-ups cost.
	DefaultPoll = 50 * time.Microsecond

	// DefaultWindowSize is the size of the shared-memory region, in bytes.
	DefaultWindowSize = 8 << 30
)

// Config configures a Device. Zero fields take the default.
type Config struct {
	Name          string // of the VM, as reports state it
	Core          *driver.Core
	ID            uint16        // virtio device id, 1 to 63; default wire.IdDefault
	RequestQueues int           // 1 to 61; default 1; one per vCPU is best
	Inline        bool          // offer VBINDER_F_INLINE: the transport runs Notify within the kick
	Poll          time.Duration // how long the worker of a request queue polls it at most
	WindowSize    uint64        // bytes, a multiple of 4096; default DefaultWindowSize
	MaxCommitted  uint64        // bytes of window that processes may have mapped; default WindowSize
	Report        func(driver.Report)
	Notice        func(driver.Notice)
	Log           *slog.Logger
}

func (c *Config) setDefaults() error {
	if c.ID == 0 {
		c.ID = wire.IdDefault
	}
	if c.RequestQueues == 0 {
		c.RequestQueues = 1
	}
	if c.WindowSize == 0 {
		c.WindowSize = DefaultWindowSize
	}
	if c.MaxCommitted == 0 || c.MaxCommitted > c.WindowSize {
		c.MaxCommitted = c.WindowSize
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	switch {
	case c.Core == nil:
		return fmt.Errorf("vbinder: Config.Core is nil")
	case c.ID > 63:
		return fmt.Errorf("vbinder: device id %d; give one from 1 to 63", c.ID)
	case c.RequestQueues < 1 || c.RequestQueues > MaxRequestQueues:
		return fmt.Errorf("vbinder: %d request queues; give 1 to %d", c.RequestQueues, MaxRequestQueues)
	case c.WindowSize%pageSize != 0:
		return fmt.Errorf("vbinder: a window of %d bytes; give a multiple of %d", c.WindowSize, pageSize)
	}
	return nil
}

// Device is a virtio.Device over one VM of a core, and that VM's driver.Env. Its
// methods may be called from any goroutine, within the rules of virtio.Device.
type Device struct {
	// Invariant after New.
	*window // methods of driver.Window
	cfg     Config
	log     *slog.Logger
	config  [wire.SizeofConfig]byte

	vm    atomic.Pointer[driver.VM]
	lost  atomic.Bool                // vm is, and what was reserved for it
	act   atomic.Pointer[activation] // nil unless active
	stats counters

	moreCount atomic.Int32 // entries of more
	snapshots snapshots
	mu        lockrank.Mutex
	more      map[thread]rest // rests of fix-up tables, for FETCH_FIX; guarded by mu
	moreFixes int             // in all of more
}

// thread names a guest thread.
type thread struct {
	proc driver.ProcID
	tid  uint32
}

// activation is what the device has while it is active. Requests keep the one
// that they came by, so that a late answer goes nowhere after a reset.
type activation struct {
	mem      *guestmem.Memory
	fail     func(error)
	inline   bool // the driver harvests after each kick
	events   *events
	queues   []*queue     // by index; the event queue's is nil
	settling atomic.Int32 // who executes deferred requests now; see settle
	warned   atomic.Bool
}

var (
	_ virtio.Device  = (*Device)(nil)
	_ virtio.Poller  = (*Device)(nil)
	_ driver.Env     = (*Device)(nil)
	_ driver.Noticer = (*Device)(nil)
	_ driver.Loser   = (*Device)(nil)
)

// New makes a device and its VM on cfg.Core. Close releases both.
func New(cfg Config) (*Device, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	w, err := newWindow(cfg.Name, cfg.WindowSize, cfg.MaxCommitted)
	if err != nil {
		return nil, fmt.Errorf("vbinder: buffer window: %w", err)
	}
	d := &Device{
		window: w, cfg: cfg, log: cfg.Log,
		more: map[thread]rest{},
		config: wire.Config{
			RequestQueues: uint32(cfg.RequestQueues),
			MaxCtl:        maxCtl, MaxRead: maxRead, MaxMap: maxMap,
			WindowSize: cfg.WindowSize,
		}.Bytes(),
	}
	d.mu.Init(lockrank.Device, "vbinder.Device.mu")
	d.snapshots.init()
	d.vm.Store(cfg.Core.NewVM(cfg.Name, d))
	return d, nil
}

// VM returns the device's VM. It is another after one was lost.
func (d *Device) VM() *driver.VM { return d.vm.Load() }

// Close releases every process and the window. The transport must be closed, or
// at least reset, and the guest must not run any more.
func (d *Device) Close() error {
	d.Reset()
	var x driver.Exec
	d.VM().Close(&x)
	return d.window.close()
}

// String names the device, for the transport's logs.
func (d *Device) String() string { return "vbinder" }

// Type returns the configured virtio id.
func (d *Device) Type() uint16 { return d.cfg.ID }

// Features returns VBINDER_F_INLINE if configured.
func (d *Device) Features() uint64 {
	if d.cfg.Inline {
		return 1 << wire.FInline
	}
	return 0
}

// QueueSizes returns those of the control queue, the event queue, the deferred queue
// and the request queues.
func (d *Device) QueueSizes() []uint16 {
	sizes := []uint16{wire.QControl: controlSize, wire.QEvent: eventSize, wire.QDeferred: deferredSize}
	for range d.cfg.RequestQueues {
		sizes = append(sizes, requestSize)
	}
	return sizes
}

// Poll is virtio.Poller's: request queues are worth it, which answer calls.
func (d *Device) Poll(queue int) time.Duration {
	if queue < wire.QRequest {
		return 0
	}
	return d.cfg.Poll
}

// ReadConfig reads struct vbinder_config.
func (d *Device) ReadConfig(off uint32, p []byte) {
	clear(p)
	if off < uint32(len(d.config)) {
		copy(p, d.config[off:])
	}
}

// WriteConfig ignores the write: nothing in the configuration space is writable.
func (d *Device) WriteConfig(uint32, []byte) {}

// SharedMemory is the buffer window.
func (d *Device) SharedMemory() []virtio.SharedMemory {
	return []virtio.SharedMemory{{ID: wire.ShmWindow, Size: d.cfg.WindowSize, File: d.window.file}}
}

// Activate takes the queues.
func (d *Device) Activate(a virtio.Activation) error {
	if want := wire.QRequest + d.cfg.RequestQueues; len(a.Queues) != want {
		return fmt.Errorf("vbinder: activated with %d queues, want %d", len(a.Queues), want)
	}
	act := &activation{
		mem: a.Memory, fail: a.Fail,
		inline: a.Inline && a.Features&(1<<wire.FInline) != 0,
		queues: make([]*queue, len(a.Queues)),
	}
	indirect := a.Features&virtio.FeatureIndirectDesc != 0
	for i, vq := range a.Queues {
		if i != wire.QEvent {
			act.queues[i] = newQueue(d, act, vq, i, indirect)
		}
	}
	act.events = newEvents(d, act, a.Queues[wire.QEvent])
	if !d.act.CompareAndSwap(nil, act) {
		return fmt.Errorf("vbinder: activated twice without reset")
	}
	return nil
}

// Reset releases every process as if each had closed its file, and forgets all
// requests and events. The transport has stopped the queues, so what the core
// still answers goes nowhere.
func (d *Device) Reset() {
	d.act.Store(nil)
	if d.lost.Swap(false) {
		d.vm.Store(d.cfg.Core.NewVM(d.cfg.Name, d))
		d.window.renew()
	}
	var x driver.Exec
	d.VM().Reset(&x)
	d.snapshots.reset()
	d.mu.Lock()
	clear(d.more)
	d.moreFixes = 0
	d.moreCount.Store(0)
	d.mu.Unlock()
}

// Notify serves one queue until it is empty.
func (d *Device) Notify(i int) {
	a := d.act.Load()
	if a == nil || i < 0 || i >= len(a.queues) {
		return
	}
	d.stats.kicks.Add(1)
	if i == wire.QEvent {
		a.events.drain()
		return
	}
	if i == wire.QDeferred {
		a.settle()
		return
	}
	a.queues[i].serve()
}

// Lost is driver.Loser's: the guest has to reset the device, and then gets a new VM.
func (d *Device) Lost(err error) {
	d.lost.Store(true)
	if bug := (*driver.PanicError)(nil); errors.As(err, &bug) {
		d.log.Error("bug: the binder core panicked; this VM's binder state is lost", "panic", bug.Value, "stack", string(bug.Stack))
	}
	if a := d.act.Load(); a != nil {
		a.fail(fmt.Errorf("vbinder: %w", err))
	}
}

// Event is driver.Env's: it queues one event for the guest driver.
func (d *Device) Event(_ *driver.Exec, e driver.Event) {
	if a := d.act.Load(); a != nil {
		a.events.post(e)
	}
}

// Notice is driver.Noticer's: it hands on what no report tells.
func (d *Device) Notice(n driver.Notice) {
	if d.cfg.Notice != nil {
		d.cfg.Notice(n)
	}
}

// Report is driver.Env's: it hands a failure report on.
func (d *Device) Report(r driver.Report) {
	if d.cfg.Report != nil {
		d.cfg.Report(r)
	}
}
