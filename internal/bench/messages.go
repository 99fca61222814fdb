// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
)

// way is by which functions of a driver a message's way is seen.
type way struct {
	ioctl   string // calls all others
	message string // called for an ioctl with a call or a reply in it
	ring    string // tells the other side
	wait    string // has returned when something was found
}

var ways = map[string]way{
	ours:  {fnIoctl, "vb_report_cap", fnKick, "vb_req_wait"},
	stock: {fnStock, "binder_transaction", "__wake_up_sync", "schedule"},
}

// tracing traces them; what is asleep is on its way, too.
func (w way) tracing() tracing {
	return tracing{functions: []string{w.ioctl, w.message, w.ring, w.wait}, within: w.ioctl, asleep: true}
}

// message is a call or a reply, and when its sender did what; nanoseconds, 0 for never.
type message struct {
	thread      int
	heard       float64 // found what it had last waited for before
	asked       float64 // rang last before it found that
	begun       float64 // went into the ioctl
	rings, rung float64 // told the other side, and was done with it
	answered    float64 // last found something in this ioctl
}

// messages finds them, in the order in which their ioctls come to them.
func (w way) messages(passages []passage) (all []*message) {
	type sender struct {
		rings, asked, heard, begun float64
		sending                    *message
	}
	senders := map[int]*sender{}
	for _, p := range passages {
		s := senders[p.thread]
		if s == nil {
			s = &sender{}
			senders[p.thread] = s
		}
		switch {
		case p.function == w.ioctl:
			s.begun, s.sending = p.at, nil
		case p.function == w.message && !p.out:
			s.sending = &message{thread: p.thread, asked: s.asked, heard: s.heard, begun: s.begun}
			all = append(all, s.sending)
		case p.function == w.ring:
			if !p.out {
				s.rings = p.at
			}
			if s.sending != nil {
				s.sending.told(p)
			}
		case p.function == w.wait && p.out:
			s.asked, s.heard = s.rings, p.at
			if s.sending != nil {
				s.sending.answered = p.at
			}
		}
	}
	return all
}

// told notes the first time that the other side is told.
func (m *message) told(p passage) {
	switch {
	case !p.out && m.rings == 0:
		m.rings = p.at
	case p.out && m.rung == 0:
		m.rung = p.at
	}
}

// cut is calls cut into pieces: the medians.
type cut struct {
	whole                  float64
	pieces                 [len(pieceNames)]float64
	clientRing, serverRing float64 // how long each tells the other
	ioctls                 float64 // in a call, mean
	early                  float64 // calls that were sent before the server rang to ask for one, of all
}

// cut cuts the calls that one thread makes after each other. The last of all messages is
// the reply to the one before it; from there back, calls and replies are in pairs.
func (w way) cut(passages []passage) (*cut, error) {
	calls, replies, err := pairs(w.messages(passages))
	if err != nil {
		return nil, err
	}
	var pieces [len(pieceNames)][]float64
	var wholes, clientRing, serverRing []float64
	early := 0.0
	for i, reply := range replies[:len(replies)-1] {
		call := calls[i]
		at := []float64{call.begun, call.rings, reply.heard, reply.rings, call.answered, calls[i+1].begun}
		if !slices.IsSorted(at) { // a side was told of it in some other way, or not at all
			continue
		}
		for n := range pieces {
			pieces[n] = append(pieces[n], at[n+1]-at[n])
		}
		if reply.asked > call.rings {
			early++
		}
		wholes = append(wholes, calls[i+1].begun-call.begun)
		clientRing, serverRing = append(clientRing, call.rung-call.rings), append(serverRing, reply.rung-reply.rings)
	}
	if n := len(wholes); n == 0 || n < len(calls)/2 {
		return nil, fmt.Errorf("ftrace: of %d calls only %d were seen to go from client to server and back by %v", len(calls), n, w)
	}
	c := &cut{whole: median(wholes), clientRing: median(clientRing), serverRing: median(serverRing),
		ioctls: w.ioctls(passages, calls), early: early / float64(len(wholes))}
	for n := range pieces {
		c.pieces[n] = median(pieces[n])
	}
	return c, nil
}

// pairs finds calls and replies; they are of one length.
func pairs(all []*message) (calls, replies []*message, err error) {
	if len(all) > 1 {
		client := all[len(all)-2].thread
		for _, m := range all {
			if m.thread == client {
				calls = append(calls, m)
			} else {
				replies = append(replies, m)
			}
		}
	}
	n := min(len(calls), len(replies))
	if n < 2 {
		return nil, nil, fmt.Errorf("ftrace: %d calls and %d replies were seen, too few to take apart", len(calls), len(replies))
	}
	return calls[len(calls)-n:], replies[len(replies)-n:], nil
}

// ioctls is how many there are to a call.
func (w way) ioctls(passages []passage, calls []*message) float64 {
	first, last := calls[0].begun, calls[len(calls)-1].begun
	n := 0
	for _, p := range passages {
		if p.function == w.ioctl && !p.out && p.at >= first && p.at < last {
			n++
		}
	}
	return float64(n) / float64(len(calls)-1)
}
