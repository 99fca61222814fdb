// SPDX-License-Identifier: Apache-2.0

package netlink

import "time"

// sendState belongs to the sender goroutine alone.
type sendState struct {
	batch [batchSize]Report
	buf   []byte

	dropped uint64    // by the ring, as far as clients were told
	told    Stats     // as far as the log was told
	last    time.Time // when
	err     error     // the last that netlink gave
}

// sender empties the ring until it is closed and empty.
func (e *Emitter) sender() {
	defer e.wg.Done()
	st := sendState{buf: make([]byte, 0, maxMessage)}
	timer := time.NewTimer(settleEvery)
	defer timer.Stop()
	for {
		n, closed := e.ring.pop(st.batch[:])
		for i := range n {
			e.sendOne(&st, &st.batch[i])
		}
		again := e.tellLosses(&st, closed)
		if n > 0 {
			continue
		}
		if closed {
			return
		}
		if again {
			timer.Reset(settleEvery)
		} else {
			timer.Stop()
		}
		select {
		case <-e.ring.wake:
		case <-timer.C:
		}
	}
}

// sendOne encodes a report once and sends it every way that is open.
func (e *Emitter) sendOne(st *sendState, r *Report) {
	route := e.route.Load()
	typ := route.typ
	if typ == 0 {
		typ = FallbackType
	}
	st.buf = r.appendMessage(st.buf[:0], typ, e.suffix)
	if s, ok := e.socketFor(route); ok {
		if err := s.send(st.buf); err != nil {
			e.sendErrors.Add(1)
			st.err = err
		} else {
			e.sent.Add(1)
		}
	}
	if e.server != nil {
		e.server.send(st.buf)
	}
}

// tellLosses tells clients, and from time to time the log and the runtime file,
// of reports that were lost. It returns whether it has to be called again
// although nothing new may come.
func (e *Emitter) tellLosses(st *sendState, now bool) (again bool) {
	_, dropped := e.ring.counts()
	if e.server != nil {
		if n := dropped - st.dropped; n > 0 {
			e.server.miss(n)
		}
		again = e.server.settle()
	}
	st.dropped = dropped

	s := e.Stats()
	if s.Dropped == st.told.Dropped && s.SendErrors == st.told.SendErrors && s.ClientLost == st.told.ClientLost {
		return again
	}
	if !now && time.Since(st.last) < tellEvery {
		return true
	}
	e.log.Warn("failure reports were lost", "vm", e.opts.VM,
		"ring_full", s.Dropped-st.told.Dropped, "netlink_refused", s.SendErrors-st.told.SendErrors,
		"slow_clients", s.ClientLost-st.told.ClientLost, "last_error", st.err)
	st.told, st.last = s, time.Now()
	e.publish()
	return again
}
