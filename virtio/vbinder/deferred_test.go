// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/virtiotest"
)

// plainReply has client make a call that is answered with a plain reply, and returns what
// frees its buffer. The manager has looper parked before and what is returned after.
func plainReply(t *testing.T, mgr, client *process, looper *pending) (*writeRead, *pending) {
	t.Helper()
	w := &writeRead{read: 256}
	w.transact(uapi.BC_TRANSACTION, uapi.TransactionData{}, 0)
	caller := client.send(20, w)
	_, td := returns(t, looper.take().br)
	reply := &writeRead{read: 256}
	reply.command(uapi.BC_FREE_BUFFER, le.AppendUint64(nil, td.Buffer)...)
	reply.transact(uapi.BC_REPLY, uapi.TransactionData{}, 0)
	done := mgr.send(10, reply)
	free := &writeRead{}
	for range 2 {
		u, ok := done.queue.Used()
		if !ok {
			t.Fatal("not answered")
		}
		if u.Head != caller.head {
			continue
		}
		a := caller.parse(u.Written)
		if a.flags&wire.RespPlain == 0 {
			t.Fatalf("the reply is not said to be plain: %+v", a)
		}
		_, td := returns(t, a.br)
		free.command(uapi.BC_FREE_BUFFER, le.AppendUint64(nil, td.Buffer)...)
	}
	return free, mgr.send(10, &writeRead{read: 256, fixCap: 4})
}

// buffers is how many there are in all of the VM.
func (g *guest) buffers() int {
	n := 0
	g.dev.VM().States(0, func(p *driver.ProcessState) bool {
		n += len(p.Buffers)
		return true
	})
	return n
}

// deferred puts w on the deferred queue and rings nothing.
func (p *process) deferred(tid uint32, w *writeRead) {
	p.g.t.Helper()
	q := p.g.drv.Queue(wire.QDeferred)
	if _, err := q.Submit([]virtiotest.Span{q.Put(w.request(p, tid))}, []virtiotest.Span{q.Room(wire.SizeofResp)}); err != nil {
		p.g.t.Fatal(err)
	}
}

// TestDeferred: what is deferred is executed before whatever comes next, on any queue,
// and interrupts nobody.
func TestDeferred(t *testing.T) {
	for name, next := range map[string]int{"control queue": wire.QControl, "request queue": wire.QRequest, "another request queue": wire.QRequest + 1} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, Config{RequestQueues: 2}, true)
			mgr, client := g.open(10), g.open(20)
			free, _ := plainReply(t, mgr, client, mgr.manager(10))
			g.drv.Queue(wire.QDeferred).WantInterrupt()
			client.deferred(20, free)
			if n := g.buffers(); n != 1 {
				t.Fatalf("%d buffers before anything else is sent, want the reply's", n)
			}
			if a := g.call(next, wire.OpPing, 0, 0, nil, 0); a.status != 0 {
				t.Fatalf("ping: %+v", a)
			}
			if n := g.buffers(); n != 0 {
				t.Errorf("%d buffers after the next request, want none", n)
			}
			q := g.drv.Queue(wire.QDeferred)
			if _, ok := q.Used(); !ok || q.Interrupts() != 0 {
				t.Errorf("given back: %v, with %d interrupts", ok, q.Interrupts())
			}
		})
	}
}

// TestDeferredByDoorbell: its own doorbell serves the deferred queue, too.
func TestDeferredByDoorbell(t *testing.T) {
	g := newGuest(t, Config{}, true)
	mgr, client := g.open(10), g.open(20)
	free, _ := plainReply(t, mgr, client, mgr.manager(10))
	if a := g.send(wire.QDeferred, free.request(client, 20), 0, 0).take(); a.status != 0 || a.consumed != 12 {
		t.Errorf("%+v", a)
	}
	if n := g.buffers(); n != 0 {
		t.Errorf("%d buffers", n)
	}
}

// TestDeferredRefused: nothing that somebody waits for is executed there.
func TestDeferredRefused(t *testing.T) {
	g := newGuest(t, Config{}, true)
	p := g.open(20)
	call := &writeRead{}
	call.transact(uapi.BC_TRANSACTION, uapi.TransactionData{Flags: uapi.TF_ONE_WAY}, 0)
	for name, request := range map[string][]byte{
		"a read":        (&writeRead{read: 256}).request(p, 20),
		"a transaction": call.request(p, 20),
		"a ping":        g.header(wire.OpPing, 0, 0, nil),
		"a release":     g.header(wire.OpRelease, p.id, 0, nil),
	} {
		if a := g.send(wire.QDeferred, request, 0, 256).take(); a.status != status(unix.EPROTO) {
			t.Errorf("%s: status %d, want EPROTO", name, a.status)
		}
	}
}

// TestDeferredByAnother: a request waits until what another vCPU has taken off the deferred
// queue is done.
func TestDeferredByAnother(t *testing.T) {
	g := newGuest(t, Config{}, true)
	act := g.dev.act.Load()
	act.settling.Add(1)
	var done atomic.Bool
	go func() {
		time.Sleep(20 * time.Millisecond) // the request should be there by now
		done.Store(true)
		act.settling.Add(-1)
	}()
	if a := g.call(wire.QRequest, wire.OpPing, 0, 0, nil, 0); a.status != 0 || !done.Load() {
		t.Errorf("overtaken: %v; %+v", !done.Load(), a)
	}
}
