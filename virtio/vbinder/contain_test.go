// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"testing"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/virtiotest"
)

// TestLostVMIsReplaced: after a bug of the core the guest has to reset the device, and
// then finds a new VM with all of the window.
func TestLostVMIsReplaced(t *testing.T) {
	g := newGuest(t, Config{MaxCommitted: 2 << 20}, true)
	g.open(10).manager(10)
	client := g.open(20)
	before := g.dev.VM()
	report := g.dev.cfg.Report
	g.dev.cfg.Report = func(driver.Report) { panic("a bug") }
	w := &writeRead{payload: []byte("12345678")}
	w.transact(uapi.BC_TRANSACTION, uapi.TransactionData{Target: 99, DataSize: 8}, 0)
	client.send(20, w)
	if g.drv.Status()&virtiotest.StatusNeedsReset == 0 {
		t.Fatal("the device goes on")
	}
	g.dev.cfg.Report = report
	if err := g.drv.Up(0); err != nil {
		t.Fatal(err)
	}
	if g.dev.VM() == before {
		t.Fatal("the lost VM is still there")
	}
	g.probe()
	g.open(10).manager(10)
	g.open(20)
}
