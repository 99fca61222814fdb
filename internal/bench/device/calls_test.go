// SPDX-License-Identifier: Apache-2.0

package device

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
	"virtbinder/virtio/vbinder/wire"
)

// What the guest's two threads do: three requests a call, as libbinder's threads make them.

// What a transaction's code asks of the server, beside an answer.
const (
	nothing  = iota
	remember // take a reference to the client's object, which becomes its handle 1
	callBack // call that object first
)

type server struct {
	*thread
	oneways atomic.Int64 // that it has received
}

// serve answers calls for ever.
func (s *server) serve(ready chan<- struct{}) {
	wait := s.writeRead(message{txn: noTxn, read: readSize})
	next := s.writeRead(message{stream: freeBuffer, txn: noTxn, read: readSize})
	reply := s.writeRead(message{stream: transaction(uapi.BC_REPLY, uapi.TransactionData{}), read: readSize})
	take := s.writeRead(message{stream: slices.Concat(command(uapi.BC_INCREFS, 1), command(uapi.BC_ACQUIRE, 1)), txn: noTxn})
	back := s.writeRead(message{
		stream: slices.Concat(freeBuffer, transaction(uapi.BC_TRANSACTION, uapi.TransactionData{Target: 1})), txn: len(freeBuffer), read: readSize,
	})
	s.writeRead(message{stream: command(uapi.BC_ENTER_LOOPER), txn: noTxn}).run().check()
	close(ready)
	var answered uint64 // buffer of the last reply to a call back
	for got := wait.run(); ; got = next.run() {
		t := got.transaction()
		next.frees(t.Buffer)
		switch {
		case t.Flags&uapi.TF_ONE_WAY != 0:
			s.oneways.Add(1)
			continue
		case t.Code == remember:
			take.run().check()
		case t.Code == callBack:
			answered = back.frees(answered).run().transaction().Buffer
		}
		reply.run().check()
	}
}

// caller makes calls.
type caller struct {
	*thread
	server *server
	last   uint64 // buffer of the last reply
}

// kinds are what can be measured: n of them, of so many bytes.
var kinds = map[string]func(c *caller, n, size int){
	"ping":   (*caller).pings,
	"call":   (*caller).calls,
	"handle": (*caller).handles,
	"fd":     (*caller).files,
	"oneway": (*caller).oneways,
	"nested": (*caller).nested,
}

func (c *caller) pings(n, _ int) {
	ping := c.request(wire.OpPing, nil, 0, 0)
	for range n {
		ping.run().check()
	}
}

func (c *caller) calls(n, size int) {
	c.repeat(n, c.call(message{size: size}, uapi.TransactionData{}))
}

// handles sends the server a handle to its own node, which the client has a reference to.
func (c *caller) handles(n, _ int) {
	c.writeRead(message{stream: slices.Concat(command(uapi.BC_INCREFS, 0), command(uapi.BC_ACQUIRE, 0)), txn: noTxn}).run().check()
	c.repeat(n, c.call(message{object: object(uapi.BINDER_TYPE_HANDLE, 0)}, uapi.TransactionData{}))
}

func (c *caller) files(n, _ int) {
	c.repeat(n, c.call(message{object: object(uapi.BINDER_TYPE_FD, 5), files: 1}, uapi.TransactionData{}))
}

// call completes m to a call that frees the last reply first.
func (c *caller) call(m message, t uapi.TransactionData) *request {
	if m.object != nil {
		m.size, t.OffsetsSize = len(m.object), 8
	}
	t.DataSize = uint64(m.size)
	m.stream, m.txn, m.read = slices.Concat(freeBuffer, transaction(uapi.BC_TRANSACTION, t)), len(freeBuffer), readSize
	return c.writeRead(m)
}

func (c *caller) repeat(n int, call *request) {
	for range n {
		c.last = call.frees(c.last).run().transaction().Buffer
	}
}

// ahead is how many oneways the client sends that the server has not received: few enough
// for the half of the window that they may take.
const ahead = 64

// oneways sends n and waits until all have been received.
func (c *caller) oneways(n, _ int) {
	send := c.writeRead(message{stream: transaction(uapi.BC_TRANSACTION, uapi.TransactionData{Flags: uapi.TF_ONE_WAY}), read: readSize})
	begun := c.server.oneways.Load()
	await := func(received int64) {
		for c.server.oneways.Load()-begun < received {
			_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		}
	}
	for i := range int64(n) {
		await(i - ahead)
		send.run().check()
	}
	await(int64(n))
}

// nested makes calls that the server answers after a call of its own into the waiting thread.
func (c *caller) nested(n, _ int) {
	wait := c.writeRead(message{txn: noTxn, read: readSize})
	introduce := c.call(message{object: object(uapi.BINDER_TYPE_BINDER, 0x1000)}, uapi.TransactionData{Code: remember})
	c.last = c.until(introduce.frees(c.last), wait).Buffer

	call := c.call(message{}, uapi.TransactionData{Code: callBack})
	answer := c.writeRead(message{
		stream: slices.Concat(freeBuffer, transaction(uapi.BC_REPLY, uapi.TransactionData{})), txn: len(freeBuffer), read: readSize,
	})
	for range n {
		inner := call.frees(c.last).run().transaction().Buffer
		c.last = c.until(answer.frees(inner), wait).Buffer
	}
}

// until runs a request, and wait after it until there is a transaction or reply.
func (c *caller) until(r, wait *request) uapi.TransactionData {
	for r.run(); ; r = wait.run() {
		if t, ok := r.received(); ok {
			return t
		}
	}
}
