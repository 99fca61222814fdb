// SPDX-License-Identifier: Apache-2.0

package virtio_test

import (
	"testing"
	"time"

	"virtbinder/virtio"
	"virtbinder/virtio/virtiotest"
)

// bomb is a device that panics where it is told to.
type bomb struct {
	*virtiotest.Echo
	notify, activate, reset bool
}

func (b *bomb) Notify(i int) {
	if b.notify {
		panic("notify")
	}
	b.Echo.Notify(i)
}

func (b *bomb) Activate(a virtio.Activation) error {
	if b.activate {
		panic("activate")
	}
	return b.Echo.Activate(a)
}

func (b *bomb) Reset() {
	if b.reset {
		panic("reset")
	}
	b.Echo.Reset()
}

// TestPanicCostsTheDevice: a device that panics needs a reset; the process, which
// other VMs may share, goes on, and so does the device after the reset.
func TestPanicCostsTheDevice(t *testing.T) {
	for name, inline := range map[string]bool{"inline": true, "worker": false} {
		t.Run(name, func(t *testing.T) {
			b := &bomb{Echo: virtiotest.NewEcho(8), notify: true}
			drv := start(t, b, virtiotest.Config{Inline: inline})
			drv.Queue(0).ForceKick()
			for drv.Status()&virtiotest.StatusNeedsReset == 0 {
				if t.Context().Err() != nil {
					t.Fatal("the device goes on")
				}
				time.Sleep(time.Millisecond) // until the worker has run
			}
			drv.Queue(0).ForceKick() // does nothing any more
			b.notify = false
			if err := drv.Up(0); err != nil {
				t.Fatal("not usable after a reset:", err)
			}
		})
	}
}

// TestPanicInStateChanges: activation that panics fails; a reset that panics is the
// end of the device.
func TestPanicInStateChanges(t *testing.T) {
	b := &bomb{Echo: virtiotest.NewEcho(8)}
	drv := start(t, b, virtiotest.Config{Inline: true})
	b.activate = true
	if err := drv.Up(0); err == nil {
		t.Error("a panicking activation went well")
	}
	b.activate = false
	if err := drv.Up(0); err != nil {
		t.Error("not usable after a reset:", err)
	}
	b.reset = true
	drv.SetStatus(0)
	b.reset = false
	if err := drv.Up(0); err == nil {
		t.Error("a device whose reset panicked is used again")
	}
}
