// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"slices"
	"testing"

	"virtbinder/driver/uapi"
)

// TestQuiet: what is foretold comes true, and nothing is foretold that would not.
func TestQuiet(t *testing.T) {
	again := func(w *world, cli *guest) { cli.thread(3).send(call(0, 2, 0, 0, 0), nil, true) }
	for _, c := range []struct {
		name   string
		flags  uint32
		objs   []Object
		early  bool                 // freed before the reply
		poll   bool                 // the server polls
		before func(*world, *guest) // before the reply
		quiet  bool
	}{
		{name: "a plain call", quiet: true},
		{name: "a call with an object", objs: []Object{binderObject(0x10)}},
		{name: "a call whose buffer is to be cleared", flags: uapi.TF_CLEAR_BUF},
		{name: "freed already", early: true, quiet: true},
		{name: "a server that polls", poll: true},
		{name: "another call waits", before: again},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			mgr, cli := w.open(1).manage(), w.open(2)
			srv := mgr.send(enter, nil, true)
			cli.send(call(0, 1, c.flags, 24*len(c.objs), len(c.objs)), make([]byte, 24*len(c.objs)), true, c.objs...)
			w.want(srv, "TRANSACTION")
			free := bc(uapi.BC_FREE_BUFFER, received(srv).Buffer)
			if c.poll {
				if _, errno := w.vm.Poll(w.x, mgr.id, mgr.tid); errno != 0 {
					t.Fatal(errno)
				}
			}
			if c.before != nil {
				c.before(w, cli)
			}
			stream := reply(0, 0)
			if c.early {
				stream = slices.Concat(free, stream)
			}
			r := mgr.send(stream, nil, true)
			w.want(r, "TRANSACTION_COMPLETE")
			if got := r.Resp.Flags&RespQuiet != 0; got != c.quiet {
				t.Fatalf("quiet is foretold: %v, want %v", got, c.quiet)
			}
			if !c.quiet {
				return
			}
			buffer := received(srv).Buffer
			if c.early {
				free, buffer = nil, 0
			}
			if r.Resp.Val != buffer {
				t.Fatalf("foretold of buffer %#x, want %#x", r.Resp.Val, buffer)
			}
			done, events := len(w.done), len(w.events)
			w.want(mgr.send(free, nil, true), "parked")
			if len(w.done) != done || len(w.events) != events {
				t.Error("somebody has heard of it")
			}
		})
	}
}

// TestPlain: a reply is plain if nobody can tell when it is freed.
func TestPlain(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags uint32
		objs  []Object
		plain bool
	}{
		{name: "a plain reply", plain: true},
		{name: "a reply with an object", objs: []Object{binderObject(0x10)}},
		{name: "a reply that is to be cleared", flags: uapi.TF_CLEAR_BUF},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			mgr, cli := w.open(1).manage(), w.open(2)
			mgr.send(enter, nil, true)
			caller := cli.send(call(0, 1, 0, 0, 0), nil, true)
			stream := bc(uapi.BC_REPLY, uapi.TransactionData{Flags: c.flags, DataSize: uint64(24 * len(c.objs)), OffsetsSize: uint64(8 * len(c.objs))})
			mgr.send(stream, make([]byte, 24*len(c.objs)), true, c.objs...)
			w.want(caller, "TRANSACTION_COMPLETE REPLY")
			if got := caller.Resp.Flags&RespPlain != 0; got != c.plain {
				t.Fatalf("plain is foretold: %v, want %v", got, c.plain)
			}
			done, events := len(w.done), len(w.events)
			r := cli.send(bc(uapi.BC_FREE_BUFFER, received(caller).Buffer), nil, false)
			if heard := len(w.done) != done+1 || len(w.events) != events; c.plain && (heard || r.Resp.WriteConsumed != 12 || len(r.Resp.Fix) > 0) {
				t.Errorf("somebody has heard of it: %+v", r.Resp)
			}
		})
	}
}

// thread is another thread of g.
func (g *guest) thread(tid uint32) *guest {
	th := *g
	th.tid = tid
	th.ioctl(uapi.BINDER_VERSION, [24]byte{})
	return &th
}
