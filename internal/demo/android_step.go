// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// stepAndroid runs AOSP's and libgbinder's programs.
func (d *demo) stepAndroid(ctx context.Context) error {
	d.step(4, "Android's own programs, unmodified")
	if err := d.serviceManager(ctx); err != nil {
		return err
	}
	out, err := d.guest.shown(ctx, "service", "list")
	if err == nil && (!strings.HasPrefix(out, "Found ") || !strings.Contains(out, "manager: [")) {
		err = errors.New("servicemanager does not list itself")
	}
	if err := d.check(err, "AOSP `service list`", firstLine(out)); err != nil {
		return err
	}
	if err := d.serviceCheck(ctx, "manager", true); err != nil {
		return err
	}
	if err := d.serviceCheck(ctx, "nobody.has.this", false); err != nil {
		return err
	}
	out, err = d.guest.shown(ctx, "dumpsys", "-l")
	if err == nil && !hasLine(out, "manager") {
		err = errors.New("it does not list manager")
	}
	if err := d.check(err, "AOSP `dumpsys -l`", ""); err != nil {
		return err
	}
	if err := d.gbinder(ctx); err != nil {
		return err
	}
	return d.figures(ctx)
}

// ping is libbinder's PING_TRANSACTION, '_PNG'.
const ping = "1599098439"

// figures measures the ring, and calls between AOSP's own programs.
func (d *demo) figures(ctx context.Context) error {
	client, err := d.client(ctx, "binder-client", "manager")
	if err != nil {
		return err
	}
	if err := d.countDoorbells(ctx, client, ping, "a libbinder client's call to AOSP's servicemanager"); err != nil {
		return err
	}
	const file = "/sys/kernel/debug/virtbinder/ping"
	out, err := d.guest.run(ctx, "sh", "-c", "echo 1000 >"+file+" && cat "+file)
	var n, mean, least, p50 float64
	if err == nil {
		_, err = fmt.Sscanf(out, "pings %g ns mean %g min %g p50 %g", &n, &mean, &least, &p50)
	}
	if err := d.check(err, "an empty request goes round the ring", fmt.Sprintf("%.0f times", n)); err != nil {
		return err
	}
	d.figure("one such round trip, p50", p50/1000, "us")
	return nil
}

// serviceManager starts AOSP's servicemanager and waits until it serves. It is
// looked at from outside: a call to it that came too early would fail, and be
// reported, rightly.
func (d *demo) serviceManager(ctx context.Context) error {
	const what = "AOSP servicemanager is the context manager"
	sm, err := d.guest.start(ctx, "servicemanager")
	if err != nil {
		return d.check(err, what, "")
	}
	file := fmt.Sprintf("/proc/%d/syscall", sm.PID)
	err = until(ctx, "waiting for servicemanager to wait for calls", func() (bool, error) {
		if err := sm.alive(); err != nil {
			return false, err
		}
		out, err := d.guest.run(ctx, "cat", file)
		return waits(out), err
	})
	return d.check(err, what, fmt.Sprintf("pid %d", sm.PID))
}

// waits says whether a /proc/PID/syscall is that of a process in epoll_wait or
// epoll_pwait, on x86-64.
func waits(syscall string) bool {
	nr, _, _ := strings.Cut(syscall, " ")
	return nr == "232" || nr == "281"
}

// serviceCheck runs AOSP's `service check`.
func (d *demo) serviceCheck(ctx context.Context, name string, there bool) error {
	out, err := d.guest.shown(ctx, "service", "check", name)
	want := "Service " + name + ": not found"
	if there {
		want = "Service " + name + ": found"
	}
	if err == nil && firstLine(out) != want {
		err = fmt.Errorf("it says %q, not %q", firstLine(out), want)
	}
	return d.check(err, "AOSP `service check "+name+"`", firstLine(out))
}

// gbinder runs a service and clients on libgbinder, an implementation of its own.
func (d *demo) gbinder(ctx context.Context) error {
	const device = "/dev/binder"
	svc, err := d.service(ctx, "demo.first")
	if err != nil {
		return err
	}
	d.first = svc
	out, err := d.guest.shown(ctx, "binder-list", "-d", device)
	if err == nil && !strings.Contains(out, "demo.first") {
		err = errors.New("it does not list demo.first")
	}
	if err := d.check(err, "libgbinder `binder-list`", ""); err != nil {
		return err
	}
	_, err = d.guest.shown(ctx, "binder-ping", "-d", device, "demo.first")
	if err := d.check(err, "libgbinder `binder-ping` reaches the service", ""); err != nil {
		return err
	}
	// Code 1: no exception and a greeting. What counts is the reply that it prints:
	// this tool's exit code is 2 after a good call too, also on the stock driver.
	out, err = d.guest.shown(ctx, "binder-call", "-d", device, "demo.first", "1", "reply", "i32", "s16")
	if strings.HasPrefix(out, "0 \"hello from demo.first\"") {
		err = nil
	} else if err == nil {
		err = fmt.Errorf("the reply is not the service's greeting: %q", out)
	}
	if err := d.check(err, "libgbinder `binder-call` gets the service's reply", ""); err != nil {
		return err
	}
	client, err := d.client(ctx, "gbinder-client", "demo.first")
	if err != nil {
		return err
	}
	answer, err := client.ask(ctx, "call 1", "1: ")
	if err == nil && !strings.HasPrefix(answer, "1: ok ") {
		err = fmt.Errorf("it says %q", answer)
	}
	if err := d.check(err, "a libgbinder client calls it", answer); err != nil {
		return err
	}
	if err := client.send(ctx, "quit"); err != nil {
		return err
	}
	exit, err := client.end(ctx)
	if err == nil && exit.Status() != 0 {
		err = fmt.Errorf("its exit code is %d", exit.Status())
	}
	return d.check(err, "and ends", "exit code 0")
}

// service starts a libgbinder service and waits until servicemanager has it.
func (d *demo) service(ctx context.Context, name string) (*program, error) {
	p, err := d.guest.start(ctx, "gbinder-service", name)
	if err != nil {
		return nil, d.check(err, "service "+name, "")
	}
	line, err := p.await(ctx, "registered "+name+" pid ")
	if err == nil {
		err = samePID(line, p.PID)
	}
	if err := d.check(err, "a libgbinder service registers as "+name, fmt.Sprintf("pid %d", p.PID)); err != nil {
		return nil, err
	}
	return p, d.serviceCheck(ctx, name, true)
}

// client starts a client program on a service and waits until it has a handle.
func (d *demo) client(ctx context.Context, args ...string) (*program, error) {
	what := "a client holds the service: " + strings.Join(args, " ")
	p, err := d.guest.start(ctx, args[0], args[1:]...)
	if err != nil {
		return nil, d.check(err, what, "")
	}
	line, err := p.await(ctx, "holding ")
	if err == nil && strings.Contains(line, " pid ") {
		err = samePID(line, p.PID)
	}
	return p, d.check(err, what, fmt.Sprintf("pid %d", p.PID))
}

// samePID compares the pid at the end of a program's line with the one that the
// agent started.
func samePID(line string, pid int) error {
	f := strings.Fields(line)
	if got, err := strconv.Atoi(f[len(f)-1]); err != nil || got != pid {
		return fmt.Errorf("it says %q, but was started as pid %d", line, pid)
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

func hasLine(s, want string) bool {
	for line := range strings.Lines(s) {
		if strings.TrimSpace(line) == want {
			return true
		}
	}
	return false
}
