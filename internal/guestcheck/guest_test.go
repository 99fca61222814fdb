// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guestcheck

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/internal/lab"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/vmm"
)

var (
	guests  = flag.String("guests", "6.12,6.1-worker", "guests to check, directories of build/guest; with -worker behind, a worker handles doorbells")
	cpus    = flag.Int("cpus", 1, "processors of the guest")
	memory  = flag.Uint64("memory", 512, "MiB of the guest's memory")
	window  = flag.Uint64("window", 0, "MiB of buffer window; 0: the device's default")
	length  = flag.Int("length", 3000, "of each storm, in calls of the driver")
	storms  = flag.Int("storms", 1, "storms, each from another seed")
	peers   = flag.Int("peers", 6, "processes in a storm")
	seed    = flag.Uint64("seed", 1, "of the first storm")
	loads   = flag.Int("loads", 3, "times to unload and load the module")
	labCPUs = flag.Int("lab-cpus", 1, "processors of the nested lab's host")

	// The clock of the lab's host, on a loaded machine, is up to twenty times too fast.
	patience = flag.Duration("patience", 2*time.Hour, "how long anything may take that takes as long as the machine is slow")
)

// endless is the length of a storm that something else ends.
const endless = 1 << 40

// top is the project's directory.
var top string

// inLab is set for what runs on the lab's host.
const inLab = "VIRTBINDER_IN_LAB"

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if top, err = lab.FindTop(); err == nil && os.Getenv(inLab) == "" && !lab.Usable().Direct {
		var exit int
		if exit, err = runInLab(); err == nil {
			os.Exit(exit)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guestcheck:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runInLab runs this program, with the same arguments, on the lab's host, which sees
// build/ but not where go puts its programs.
func runInLab() (int, error) {
	dir := filepath.Join(top, "build", "guestcheck")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(dir, "run-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	exe := filepath.Join(dir, "guestcheck.test")
	if err := os.WriteFile(exe, program, 0o755); err != nil {
		return 0, err
	}
	// Its clock is not one to bound it by; the program out here is bounded.
	args := append(append([]string{exe}, os.Args[1:]...), "-test.timeout=0")
	return lab.Run(context.Background(), lab.Config{
		Top: top, CPUs: *labCPUs, Memory: 1536 + int(*memory), Args: args, Env: []string{inLab + "=1"},
		Stdout: os.Stdout, Stderr: os.Stderr,
	})
}

// TestGuest takes each guest through its whole life.
func TestGuest(t *testing.T) {
	for _, name := range strings.Split(*guests, ",") {
		t.Run(name, func(t *testing.T) {
			goroutines := runtime.NumGoroutine()
			c := boot(t, name)
			for _, s := range c.steps() {
				if !t.Run(s.name, func(t *testing.T) { c.step(t, s.run) }) {
					return // what follows a failure says nothing
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			until(t, "goroutines end", func() error {
				if n := runtime.NumGoroutine(); n > goroutines {
					return fmt.Errorf("%d goroutines, %d before the guest", n, goroutines)
				}
				return nil
			})
		})
	}
}

// step is one part of a guest's life.
type step struct {
	name string
	run  func(*testing.T)
}

func (c *check) steps() []step {
	steps := []step{{"storm", c.storms}, {"look", c.look}}
	if *scenarios != "" {
		steps = append(steps, step{"scenarios", c.scenarios})
	}
	if *programs > 0 {
		steps = append(steps, step{"programs", c.programs})
	}
	return append(steps, step{"crowd", c.crowd}, step{"unbind", c.unbind}, step{"version", c.version}, step{"suspend", c.suspend},
		step{"load", c.load}, step{"parameters", c.parameters}, step{"kmemleak", c.kmemleak}, step{"reset", c.reset})
}

// check is a running guest under check.
type check struct {
	*Machine
	ctx    context.Context
	dir    string
	ko     string   // directory of build/ with modules for this kernel
	worker bool     // answers, where otherwise the doorbell does
	out    *os.File // all that was said, kept beside the console's log
}

func boot(t *testing.T, name string) *check {
	t.Helper()
	series, worker := strings.CutSuffix(name, "-worker")
	c := &check{ctx: t.Context(), dir: filepath.Join(top, "build", "guestcheck", name), ko: filepath.Join("guest", series), worker: worker}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.out, err = os.Create(filepath.Join(c.dir, "check.log")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.ctx, *patience)
	defer cancel()
	// Sockets do not work on every file system that build may be on.
	c.Machine, err = Boot(ctx, Config{
		Images: filepath.Join(top, "build", "guest", series), Dir: t.TempDir(), Memory: *memory, CPUs: *cpus, Window: *window << 20, Worker: worker,
		Cmdline: oracleCmdline(),
	})
	if err != nil {
		t.Fatalf("%v; run `make images build initrd`", err)
	}
	t.Cleanup(func() {
		c.keepConsole(t)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		c.out.Close()
	})
	c.say(t, "kernel %s", c.Info().Kernel)
	c.prepare(t)
	return c
}

// prepare brings the storm's program in, and has allocations fail on request without a
// message where this kernel can do that.
func (c *check) prepare(t *testing.T) {
	t.Helper()
	c.bring(t, filepath.Join("guest", "storm"))
	c.shell(t, `for d in /sys/kernel/debug/fail*; do
		[ -e $d/verbose ] || continue
		echo 0 >$d/verbose
		[ ! -e $d/ignore-gfp-wait ] || echo N >$d/ignore-gfp-wait
		[ ! -e $d/min-order ] || echo 0 >$d/min-order
		echo $d
	done`)
}

func (c *check) say(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf(format, args...)
	fmt.Fprintf(c.out, format+"\n", args...)
}

// progress says now and then how far a long step is, of what does n things.
func (c *check) progress(t *testing.T, n int, what string) {
	t.Helper()
	if n%50 == 0 {
		c.say(t, "%s, %d so far: %s", time.Now().Format(time.TimeOnly), n, what)
	}
}

// shell runs a script that must succeed.
func (c *check) shell(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, *patience)
	defer cancel()
	out, err := c.Shell(ctx, script)
	fmt.Fprintf(c.out, "# %s\n%s", script, out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// step runs one step, and says what the guest's kernel complained of in it.
func (c *check) step(t *testing.T, run func(*testing.T)) {
	defer func() {
		for _, s := range c.complaints(t) {
			t.Errorf("the guest's kernel complains:\n%s", s)
		}
	}()
	run(t)
}

// complaints are those of the guest's kernel so far; a guest that may be stuck is not asked.
func (c *check) complaints(t *testing.T) []string {
	t.Helper()
	log, err := os.ReadFile(c.Console)
	if err != nil {
		t.Error(err)
	}
	select {
	case <-c.ended:
	default:
		if !t.Failed() {
			log = append(log, c.shell(t, "dmesg")...)
		}
	}
	return Splats(string(log))
}

func (c *check) keepConsole(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile(c.Console)
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, "console.log"), log, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

func until(t *testing.T, what string, f func() error) {
	t.Helper()
	for end := time.Now().Add(*patience); ; time.Sleep(50 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// idle waits until both sides have given everything back.
func (c *check) idle(t *testing.T) {
	t.Helper()
	until(t, "the guest has no binder file open", func() error {
		return errors.Join(GuestLeaks(c.shell(t, "cat /sys/kernel/debug/virtbinder/stats"), c.shell(t, "cat /proc/vmstat")), HostLeaks(c.Binder))
	})
}

// counts is what a storm printed.
type counts map[string]int

func parseCounts(text string) (counts, error) {
	c := counts{}
	for line := range strings.Lines(text) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("the storm printed %q", line)
		}
		c[name] = n
	}
	return c, nil
}

// storm is a running storm.
type storm struct {
	*agentclient.Process
	seed      uint64
	out, errs strings.Builder // to be read after its end
}

func (c *check) startStorm(t *testing.T, length int, seed uint64) *storm {
	t.Helper()
	s := &storm{seed: seed}
	var err error
	s.Process, err = c.Start(c.ctx, agentclient.Cmd{
		Path: "/storm", Args: []string{"/dev/binder", "run", strconv.Itoa(length), strconv.FormatUint(seed, 10), strconv.Itoa(*peers)},
		Stdout: &s.out, Stderr: &s.errs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// endStorm waits for a storm's end, which must be a good one.
func (c *check) endStorm(t *testing.T, s *storm) counts {
	t.Helper()
	exit, err := s.Wait()
	n, perr := parseCounts(s.out.String())
	if err = errors.Join(err, perr); err != nil || exit.Status() != 0 {
		// What the kernel says of a process that it ended, if it is still there to ask.
		t.Errorf("storm %d: %v, exit code %d: %s%s", s.seed, err, exit.Status(), s.errs.String(), s.out.String())
		t.Fatalf("the kernel says: %s", c.shell(t, "dmesg | grep 'storm\\[' || true"))
	}
	c.say(t, "storm %d: %s", s.seed, strings.ReplaceAll(strings.TrimSpace(s.out.String()), "\n", ", "))
	return n
}

// happens is what must have been seen in storms for them to mean something.
var happens = []string{"calls", "oneways", "replies", "dead", "failed", "interrupted", "fds", "arrays", "handles", "deaths", "forwarded", "kills"}

// moreStorms is how many may be needed until all of that has happened.
const moreStorms = 10

func (c *check) storms(t *testing.T) {
	all := counts{}
	missing := happens
	for i := 0; i < *storms || len(missing) > 0 && i < *storms+moreStorms; i++ {
		for name, n := range c.endStorm(t, c.startStorm(t, *length, *seed+uint64(i))) {
			all[name] += n
		}
		c.idle(t)
		if len(c.complaints(t)) > 0 {
			return
		}
		missing = slices.DeleteFunc(slices.Clone(happens), func(name string) bool { return all[name] > 0 })
	}
	if len(missing) > 0 {
		t.Errorf("not in any storm: %v", missing)
	}
	c.deferred(t)
}

// deferred sees that replies were freed without a doorbell.
func (c *check) deferred(t *testing.T) {
	stats := c.shell(t, "cat /sys/kernel/debug/virtbinder/stats")
	want := fmt.Sprintf("queue %d: requests %%d kicks %%d ", wire.QDeferred)
	for line := range strings.Lines(stats) {
		var requests, kicks int
		if n, _ := fmt.Sscanf(line, want, &requests, &kicks); n == 2 {
			c.say(t, "%d frees were deferred", requests)
			if requests == 0 || kicks != 0 {
				t.Errorf("the deferred queue had %d requests and %d doorbells, want some and none", requests, kicks)
			}
			return
		}
	}
	t.Errorf("no deferred queue in %q", stats)
}

// inTheMiddle returns when a storm is well under way.
func (c *check) inTheMiddle(t *testing.T) {
	t.Helper()
	begun := c.Binder.Stats().Requests
	until(t, "a storm begins", func() error {
		if n := c.Binder.Stats().Requests - begun; n < 2000 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
}

// look has one thread, with nothing beside it, ask and wait: where a worker answers it
// finds answers by looking for them, unless told not to look; where its own doorbell does,
// there is nothing to look for.
func (c *check) look(t *testing.T) {
	const most = 100 // times; few of 200 answers come while a thread looks where all share one processor
	asked := func() string {
		c.shell(t, "echo 200 >/sys/kernel/debug/virtbinder/ping")
		return c.shell(t, `sed -n 's/.* spun \([0-9]*\) .*/\1/p' /sys/kernel/debug/virtbinder/stats`)
	}
	const parameter = "/sys/module/virtbinder/parameters/spin_us"
	usual := strings.TrimSpace(c.shell(t, "cat "+parameter+" && echo 0 >"+parameter))
	asked() // takes what was learnt down to nothing
	before := asked()
	if after := asked(); after != before {
		t.Errorf("with spin_us=0, answers were found by looking: %q, then %q", before, after)
	}
	c.shell(t, "echo "+usual+" >"+parameter)
	after := asked()
	for n := 1; c.worker && after == before && n < most; n++ {
		after = asked()
	}
	if found := after != before; found != c.worker {
		t.Errorf("answers found by looking: %q, then %q; a worker answers: %v", before, after, c.worker)
	}
}

// kmemleak asks the kernel for what nothing refers to, where it keeps account. What is
// young may only not be referred to yet, so it is asked twice, and told to forget what
// was there before the module's last load.
func (c *check) kmemleak(t *testing.T) {
	out := c.shell(t, `k=/sys/kernel/debug/kmemleak
		if ! [ -e $k ]; then echo none; exit; fi
		echo scan >$k; sleep 6; echo scan >$k; cat $k; echo asked`)
	switch {
	case out == "none\n":
		c.say(t, "this kernel has no kmemleak; the driver's own counters and its slab cache are what was looked at")
	case out != "asked\n":
		t.Errorf("kmemleak:\n%s", out)
	default:
		c.say(t, "kmemleak has found nothing")
	}
}

// reset resets the guest amid a storm.
func (c *check) reset(t *testing.T) {
	c.startStorm(t, endless, *seed+2000)
	c.inTheMiddle(t)
	// The command's end is never told.
	_, _ = c.Start(c.ctx, agentclient.Cmd{Path: "sh", Args: []string{"-c", "echo b >/proc/sysrq-trigger"}, Detach: true})
	ctx, cancel := context.WithTimeout(c.ctx, *patience)
	defer cancel()
	if exit, err := c.End(ctx); err != nil || exit != vmm.Reboot {
		t.Fatalf("the machine ended with %v, %v", exit, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := HostLeaks(c.Binder); err != nil {
		t.Error(err)
	}
	opened := slices.Sorted(func(yield func(string) bool) {
		fds, _ := os.ReadDir("/proc/self/fd")
		for _, fd := range fds {
			name, _ := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
			if strings.Contains(name, "kvm") || strings.Contains(name, "memfd:") {
				if !yield(name) {
					return
				}
			}
		}
	})
	if len(opened) > 0 {
		t.Errorf("still open: %v", opened)
	}
}
