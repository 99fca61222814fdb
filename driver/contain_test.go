// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"errors"
	"testing"

	"virtbinder/driver/uapi"
)

// doomed is a world in which a copy panics when it is told to.
type doomed struct {
	*world
	explode bool
	lost    []error
}

func (d *doomed) Copy(f func() error) error {
	if d.explode {
		panic("a bug")
	}
	return f()
}

func (d *doomed) Lost(err error) { d.lost = append(d.lost, err) }

// TestPanicLosesOneVM: a panic in the core, with its lock held or dropped, loses the VM
// whose guest caused it, once, and nothing of another on the same core.
func TestPanicLosesOneVM(t *testing.T) {
	for _, tc := range []struct {
		name  string
		flags uint32
		boom  func(w *world, mgr, cli *guest, tr uapi.TransactionData)
	}{
		{"lock dropped", 0, func(_ *world, _, cli *guest, _ uapi.TransactionData) {
			cli.send(call(0, 1, 0, 8, 0), make([]byte, 8), true)
		}},
		{"lock held", uapi.TF_CLEAR_BUF, func(_ *world, mgr, _ *guest, tr uapi.TransactionData) {
			mgr.send(bc(uapi.BC_FREE_BUFFER, tr.Buffer), nil, true)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			other := newWorld(t)
			w := &world{t: t, x: &Exec{}, mem: make([]byte, 16<<20), done: map[*Request]bool{}}
			d := &doomed{world: w}
			w.vm = other.vm.core.NewVM("doomed", d)
			w.binder = w.context("binder")
			mgr, cli := w.open(1).manage(), w.open(2)
			srv := mgr.send(enter, nil, true)
			cli.send(call(0, 1, tc.flags|uapi.TF_ONE_WAY, 8, 0), make([]byte, 8), true)
			tr := received(srv)

			d.explode = true
			tc.boom(w, mgr, cli, tr)
			tc.boom(w, mgr, cli, tr) // finds nothing
			var bug *PanicError
			if len(d.lost) != 1 || !errors.As(d.lost[0], &bug) || bug.Value != "a bug" || len(bug.Stack) == 0 {
				t.Fatalf("lost: %v", d.lost)
			}
			if _, err := w.vm.Open(w.x, OpenArgs{Context: w.binder}); err == nil {
				t.Error("a lost VM opens a process")
			}
			w.vm.Reset(w.x)
			w.vm.Close(w.x)

			omgr, ocli := other.open(1).manage(), other.open(2)
			osrv := omgr.send(enter, nil, true)
			ocli.send(call(0, 1, 0, 0, 0), nil, true)
			other.want(osrv, "TRANSACTION")
		})
	}
}
