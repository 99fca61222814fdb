// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"fmt"
	"sync"
	"testing"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder/wire"
)

// TestConcurrentProcesses: vCPUs on queues of their own open, map, send to a
// manager that is not there, and release, all at once.
func TestConcurrentProcesses(t *testing.T) {
	const vcpus, rounds = 3, 60
	for name, inline := range map[string]bool{"inline": true, "worker": false} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			reports := 0
			g := newGuest(t, Config{RequestQueues: vcpus}, inline)
			g.dev.cfg.Report = func(driver.Report) { mu.Lock(); reports++; mu.Unlock() }
			var wg sync.WaitGroup
			var control sync.Mutex
			for cpu := range vcpus {
				wg.Go(func() {
					for range rounds {
						if err := oneLife(t, g, wire.QRequest+cpu, uint32(cpu+1), &control); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if reports != vcpus*rounds {
				t.Errorf("%d reports, want one for each failed call: %d", reports, vcpus*rounds)
			}
		})
	}
}

// oneLife is one process from open to release, on one queue.
func oneLife(t *testing.T, g *guest, queue int, pid uint32, control *sync.Mutex) error {
	head := func(op uint32, proc uint64, body []byte) []byte {
		b := make([]byte, wire.SizeofReq, wire.SizeofReq+len(body))
		le.PutUint32(b[wire.OffReqOp:], op)
		le.PutUint32(b[wire.OffReqCtlLen:], uint32(wire.SizeofReq+len(body)))
		le.PutUint64(b[wire.OffReqProc:], proc)
		le.PutUint32(b[wire.OffReqTid:], pid)
		return append(b, body...)
	}
	call := func(q int, request []byte, room int) ([]byte, error) {
		b, err := g.drv.Queue(q).Call(t.Context(), request, room)
		if err == nil && (len(b) < wire.SizeofResp || le.Uint32(b) != 0) {
			err = fmt.Errorf("queue %d: answer %x to %x", q, b, request[:8])
		}
		return b, err
	}
	b, err := call(queue, head(wire.OpOpen, 0, openBody(g.binder, "", pid)), wire.SizeofResp)
	if err != nil {
		return err
	}
	id := le.Uint64(b[wire.OffRespVal:])
	if _, err = call(queue, head(wire.OpMmap, id, le.AppendUint64(le.AppendUint64(nil, 0x10000), 8192)), wire.SizeofResp); err != nil {
		return err
	}
	w := &writeRead{payload: []byte("12345678"), read: 256}
	w.transact(uapi.BC_TRANSACTION, uapi.TransactionData{DataSize: 8}, 0)
	if _, err = call(queue, append(head(wire.OpWriteRead, id, w.body()), w.payload...), wire.SizeofResp+256); err != nil {
		return err
	}
	control.Lock()
	defer control.Unlock()
	_, err = call(wire.QControl, head(wire.OpRelease, id, nil), wire.SizeofResp)
	return err
}
