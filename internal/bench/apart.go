// SPDX-License-Identifier: Apache-2.0

package bench

import "context"

// What one call is made of whose sides have a processor each. There things overlap: a
// doorbell goes on while the other side has found what it is about. So a call is cut
// where it changes sides (messages.go), and of each piece the median of all calls counts.

// pieceNames are those of pieces.
var pieceNames = [...]string{
	"client, until it tells the server",
	"then, until the server has found the call",
	"server, until it tells the client",
	"then, until the client has found the reply",
	"client, until its next call",
}

func (m *measuring) callApart(ctx context.Context) error {
	_, err := m.apart(ctx, m.pingpongCaller(pinnedApart, 0, manyCalls))
	return err
}

// rowCalls are pings that follow each other as pingpong's calls do, with nothing in between
// for which a side would go to sleep.
const rowCalls = 20

// pingApart takes libbinder's ping apart; RPC binder's is beside it as a whole.
func (m *measuring) pingApart(ctx context.Context) error {
	pings := func(ping string) caller { return m.pingCaller(pinnedApart, ping, rowCalls, manyCalls) }
	b, err := m.apart(ctx, pings(kernelPing))
	if err != nil {
		return err
	}
	rpc, err := m.medians(ctx, pings(socketPing), ours)
	if err != nil {
		return err
	}
	b.add("RPC binder over a unix socket's whole", rpc[ours])
	return nil
}

// apart takes a caller's calls apart.
func (m *measuring) apart(ctx context.Context, c caller) (*parts, error) {
	wholes, err := m.medians(ctx, c, ours, stock)
	if err != nil {
		return nil, err
	}
	b := m.parts(c, wholes[ours])
	b.add("the whole", wholes[ours])
	own, err := b.pieces(ctx, ours, "", "doorbell", wholes[ours])
	if err != nil {
		return nil, err
	}
	if err := b.counts(ctx, own.ioctls); err != nil {
		return nil, err
	}
	b.often("calls that are there before the server asks for one", own.early)
	b.add("the stock driver's whole", wholes[stock])
	_, err = b.pieces(ctx, stock, "the stock driver: ", "wake-up", wholes[stock])
	return b, err
}

// medians has a caller make calls on drivers in turn: what one takes, in each driver's best
// round. What else is on the machine makes others longer.
func (m *measuring) medians(ctx context.Context, c caller, drivers ...string) (map[string]float64, error) {
	least := map[string]float64{}
	for round := range aospRounds {
		for _, driver := range drivers {
			said, _, err := c.run(ctx, driver, manyCalls, nil)
			if err != nil {
				return nil, err
			}
			if round == 0 || said.P50 < least[driver] {
				least[driver] = said.P50
			}
		}
	}
	return least, nil
}

// cut traces a caller's calls on a driver and cuts them: those of the best round.
func (m *measuring) cut(ctx context.Context, c caller, driver string) (*cut, error) {
	way := ways[driver]
	var best *cut
	for range aospRounds {
		_, seen, err := m.trace(ctx, c, driver, manyCalls, way.tracing())
		if err != nil {
			return nil, err
		}
		calls, err := way.cut(seen.passages)
		if err != nil {
			return nil, err
		}
		if best == nil || calls.whole < best.whole {
			best = calls
		}
	}
	return best, nil
}

// pieces adds those of calls on a driver, and how long it takes to tell the other side.
func (b *parts) pieces(ctx context.Context, driver, name, ring string, whole float64) (*cut, error) {
	calls, err := b.m.cut(ctx, b.c, driver)
	if err != nil {
		return nil, err
	}
	rest := whole
	for i, what := range pieceNames {
		b.add(name+what, calls.pieces[i])
		rest -= calls.pieces[i]
	}
	b.add(name+"to be taken off: what tracing cost, and what medians do not add up to", rest)
	b.add(name+"beside these, the client's "+ring, calls.clientRing)
	b.add(name+"beside these, the server's "+ring+" with the reply", calls.serverRing)
	return calls, nil
}
