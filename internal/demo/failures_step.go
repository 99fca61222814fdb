// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"strings"
	"syscall"
)

// tooLarge is more than any receive buffer, in bytes.
const tooLarge = 2_000_000

// stepFailures makes two calls fail, and has them seen.
func (d *demo) stepFailures(ctx context.Context) error {
	d.step(5, "Failures: an obituary, BR_DEAD_REPLY, BR_FAILED_REPLY, and both on netlink")
	if err := d.dead(ctx); err != nil {
		return err
	}
	if err := d.failed(ctx); err != nil {
		return err
	}
	err := until(ctx, fmt.Sprintf("waiting for %d reports in %s", len(d.result.Expected), d.path(MonitorFile)), func() (bool, error) {
		if err := d.monitor.running(); err != nil {
			return false, err
		}
		seen, err := readSeen(d.path(MonitorFile))
		return len(seen) >= len(d.result.Expected), err
	})
	if err == nil {
		err = d.compareReports()
	}
	return d.check(err, "the monitor printed exactly these reports, each field as the guest knows it", "")
}

// dead kills a service that two clients hold.
func (d *demo) dead(ctx context.Context) error {
	holder, err := d.client(ctx, "binder-client", "-l", "demo.first")
	if err != nil {
		return err
	}
	caller, err := d.client(ctx, "binder-client", "demo.first")
	if err != nil {
		return err
	}
	if err := d.answers(ctx, caller, "call 1", "1: ok ", "it calls the living service"); err != nil {
		return err
	}
	if err := d.countDoorbells(ctx, caller, "1", "a libbinder client's call to a libgbinder service"); err != nil {
		return err
	}
	if err := d.first.Signal(syscall.SIGKILL); err != nil {
		return d.check(err, "kill the service", "")
	}
	exit, err := d.first.end(ctx)
	if err == nil && exit.Signal != int(syscall.SIGKILL) {
		err = fmt.Errorf("it ended with %+v", exit)
	}
	if err := d.check(err, "the service is killed", "signal 9"); err != nil {
		return err
	}
	line, err := holder.await(ctx, "obituary demo.first")
	if err := d.check(err, "the client with a death link gets its obituary", line); err != nil {
		return err
	}
	if err := d.answers(ctx, caller, "call 1", "1: dead", "the client without one calls, and reads BR_DEAD_REPLY"); err != nil {
		return err
	}
	d.result.Expected = append(d.result.Expected, deadReport(d.Name, uint32(caller.PID), 1))
	return d.serviceCheck(ctx, "demo.first", false)
}

// failed sends a live service more than it has room for.
func (d *demo) failed(ctx context.Context) error {
	svc, err := d.service(ctx, "demo.second")
	if err != nil {
		return err
	}
	caller, err := d.client(ctx, "binder-client", "demo.second")
	if err != nil {
		return err
	}
	call := fmt.Sprintf("call 2 %d", tooLarge)
	if err := d.answers(ctx, caller, call, "2: failed", "a call too large for its live target reads BR_FAILED_REPLY"); err != nil {
		return err
	}
	d.result.Expected = append(d.result.Expected, tooLargeReport(d.Name, uint32(caller.PID), uint32(svc.PID), 2, tooLarge))
	return d.answers(ctx, caller, "call 1", "1: ok ", "and the service still serves")
}

// answers has a client call, and checks what it says of it.
func (d *demo) answers(ctx context.Context, p *program, call, want, what string) error {
	answer, err := p.ask(ctx, call, call[len("call "):][:1]+": ")
	if err == nil && !strings.HasPrefix(answer, want) {
		err = fmt.Errorf("it says %q", answer)
	}
	return d.check(err, what, answer)
}

// compareReports compares what the monitor printed with what the guest knows.
func (d *demo) compareReports() error {
	seen, err := readSeen(d.path(MonitorFile))
	if err != nil {
		return err
	}
	d.mu.Lock()
	for _, s := range seen {
		d.print("      %s", d.paint("35", s.String()))
	}
	d.mu.Unlock()
	return compare(d.result.Expected, seen)
}

// counted is how many calls the doorbells are counted over.
const counted = 50

// countDoorbells counts the guest driver's doorbells over synchronous calls, all
// ioctls of both sides taken together.
func (d *demo) countDoorbells(ctx context.Context, caller *program, code, whose string) error {
	what := "count the doorbells of " + whose
	before, err := d.ringStats(ctx)
	for i := 0; i < counted && err == nil; i++ {
		err = caller.callQuietly(ctx, code)
	}
	var after ringStats
	if err == nil {
		after, err = d.ringStats(ctx)
	}
	if err != nil {
		return d.check(err, what, "")
	}
	d.figure("doorbells for "+whose, float64(after.kicks-before.kicks)/counted, "")
	d.figure("interrupts for it", float64(after.interrupts-before.interrupts)/counted, "")
	return nil
}

// callQuietly has a client make a call that succeeds.
func (p *program) callQuietly(ctx context.Context, code string) error {
	if err := p.send(ctx, "call "+code); err != nil {
		return err
	}
	for {
		line, found, more := p.next(code + ": ")
		switch {
		case found && strings.HasPrefix(line, code+": ok "):
			return nil
		case found:
			return fmt.Errorf("%s says %q", p.name, line)
		}
		select {
		case <-more:
		case <-p.ended:
			return fmt.Errorf("%s has ended", p.name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ringStats are the guest driver's counters, all its queues together.
type ringStats struct{ requests, kicks, interrupts uint64 }

func (d *demo) ringStats(ctx context.Context) (sum ringStats, err error) {
	out, err := d.guest.run(ctx, "cat", "/sys/kernel/debug/virtbinder/stats")
	if err != nil {
		return sum, err
	}
	queues := 0
	for line := range strings.Lines(out) {
		var q int
		var s ringStats
		if n, _ := fmt.Sscanf(line, "queue %d: requests %d kicks %d interrupts %d", &q, &s.requests, &s.kicks, &s.interrupts); n == 4 {
			sum = ringStats{sum.requests + s.requests, sum.kicks + s.kicks, sum.interrupts + s.interrupts}
			queues++
		}
	}
	if queues == 0 {
		return sum, fmt.Errorf("no counters in %q", out)
	}
	return sum, nil
}
