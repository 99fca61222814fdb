// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/internal/aosptest"
	"virtbinder/internal/jsonfile"
	"virtbinder/internal/lab"
)

// guestCPUs are the guests that are measured, by their processors.
var guestCPUs = []int{1, 2}

// guests measures in guests, or takes calls apart there: on this machine if it has KVM,
// else each in a nested lab with as many processors as the guest.
func guests(ctx context.Context, top, dir string, breakdown bool) (all []Figure, err error) {
	for _, cpus := range guestCPUs {
		out := dir + "-" + strconv.Itoa(cpus)
		figures, failed := beside(ctx, top, GuestCmd{CPUs: cpus, Out: out, Breakdown: breakdown})
		all, err = append(all, figures...), errors.Join(err, failed)
	}
	return all, err
}

// beside runs c beside a guest of its own and returns its figures.
func beside(ctx context.Context, top string, c GuestCmd) (figures []Figure, err error) {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return nil, err
	}
	if err := c.tryAgain(ctx, top); err != nil {
		return nil, fmt.Errorf("%d processors: %w; logs are in %s", c.CPUs, err, c.Out)
	}
	return figures, jsonfile.Read(c.result(), &figures)
}

// GuestCmd is the part beside one guest.
type GuestCmd struct {
	CPUs      int    `name:"cpus" default:"1" help:"Processors of the guest."`
	Out       string `type:"path" help:"Where its figures and logs go."`
	Breakdown bool   `help:"What a call is made of, instead of how long things take."`
}

// guestTries is how often a guest is measured until it lives to the end: in the lab, one
// with two processors was seen to end in a triple fault, see docs/decisions.md.
const guestTries = 3

func (c *GuestCmd) tryAgain(ctx context.Context, top string) (err error) {
	for n := range guestTries {
		if lab.Usable().Direct {
			err = c.measure(ctx, top)
		} else {
			err = c.inLab(ctx)
		}
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		c.say("try %d of %d failed: %v", n+1, guestTries, err)
	}
	return err
}

func (c *GuestCmd) result() string { return filepath.Join(c.Out, "figures.json") }

func (c *GuestCmd) inLab(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{exe, "guest", "--cpus", strconv.Itoa(c.CPUs), "--out", c.Out}
	if c.Breakdown {
		args = append(args, "--breakdown")
	}
	return runInLab(ctx, lab.Config{Args: args, CPUs: c.CPUs, Memory: 3072})
}

// Run runs the part beside the guest.
func (c *GuestCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	return c.measure(ctx, top)
}

// series is the kernel of the guests.
const series = "6.12"

func (c *GuestCmd) measure(ctx context.Context, top string) error {
	log, err := os.Create(filepath.Join(c.Out, "said.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c.say("booting a guest with %d processors", c.CPUs)
	guest, err := aosptest.BootGuest(ctx, top, c.Out, series, c.CPUs)
	if err != nil {
		return err
	}
	defer guest.Close()
	m := &measuring{GuestCmd: c, guest: guest, log: log}
	if err := m.bring(ctx, top); err != nil {
		return err
	}
	for _, s := range m.steps() {
		c.say("%s", s.what)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return jsonfile.Write(c.result(), m.figures)
}

// step is something to measure.
type step struct {
	what string
	do   func(context.Context) error
}

func (m *measuring) steps() []step {
	if m.Breakdown {
		return m.breakdown()
	}
	return []step{
		{"calls between two processes", m.pingpongs},
		{"binderThroughputTest", m.throughput},
		{"binderRpcBenchmark", m.rpc},
	}
}

func (c *GuestCmd) say(format string, args ...any) {
	fmt.Printf("[%s] %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// measuring is a guest and what was measured in it.
type measuring struct {
	*GuestCmd
	guest   *aosptest.Guest
	log     io.Writer
	figures []Figure
}

// Our programs in the guest.
const (
	pingpongPath = "/run/pingpong"
	pinPath      = "/run/pin.so"
)

// bring brings them there.
func (m *measuring) bring(ctx context.Context, top string) error {
	for _, path := range []string{pingpongPath, pinPath} {
		program, err := os.Open(filepath.Join(top, logDir, filepath.Base(path)))
		if err != nil {
			return fmt.Errorf("%w; run `make bench`", err)
		}
		_, err = m.run(ctx, program, "sh", "-c", "cat >"+path+" && chmod +x "+path)
		program.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// name says on what a figure was measured.
func (m *measuring) name(what string) string {
	if m.CPUs == 1 {
		return what + ", 1 vCPU"
	}
	return fmt.Sprintf("%s, %d vCPUs", what, m.CPUs)
}

// on adds the figure of virtbinder against something else; both are in nanoseconds.
func (m *measuring) on(what, command string, ours, theirs float64, against string, target *float64) *Figure {
	m.figures = append(m.figures, Figure{Section: "guest", VCPUs: m.CPUs, Name: m.name(what), Unit: "ns", Value: ours,
		Ratio: ours / theirs, Against: against, Target: target, Command: command})
	return &m.figures[len(m.figures)-1]
}

// run runs a command in the guest and returns its output.
func (m *measuring) run(ctx context.Context, in io.Reader, path string, args ...string) (string, error) {
	var out bytes.Buffer
	fmt.Fprintf(m.log, "# %s %v\n", path, args)
	exit, err := m.guest.Exec(ctx, agentclient.Cmd{Path: path, Args: args, Stdin: in, Stdout: io.MultiWriter(&out, m.log), Stderr: m.log})
	if err == nil && exit != 0 {
		err = fmt.Errorf("%s %v: exit code %d", path, args, exit)
	}
	return out.String(), err
}
