// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"

	"virtbinder/driver/bindertest"
	"virtbinder/driver/bindertest/puppet"
)

// GuestCmd is the part that runs in the guest.
type GuestCmd struct {
	Program string   `arg:"" help:"The puppet."`
	Only    string   `help:"Regular expression of scenarios to run."`
	Skip    []string `help:"Scenarios not to run." sep:","`
	Seed    uint64   `help:"First seed of random programs."`
	Seeds   uint64   `help:"How many random programs to run, instead of the scenarios."`
	Alone   bool     `help:"Run them on virtbinder alone."`
}

// Run runs what it is told to and says so on standard output.
func (c *GuestCmd) Run() error {
	// There is one processor, and what else there is of us keeps the machine from being at rest.
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(128 << 20)
	g := &guest{program: c.Program, out: json.NewEncoder(os.Stdout), pool: &puppet.Pool{}, turns: puppet.NewTurns(), drivers: []string{ours}}
	if err := errors.Join(steady(), loadPolicy(), yieldToPuppets()); err != nil {
		return err
	}
	if !c.Alone {
		g.drivers = []string{ours, stock}
		if err := loadStock(); err != nil {
			return err
		}
	}
	var err error
	if g.kernel, err = puppet.Kernel(); err != nil {
		return err
	}
	if c.Seeds > 0 {
		return g.random(c.Seed, c.Seeds)
	}
	list, err := c.list()
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := g.compare(s); err != nil {
			return err
		}
	}
	return g.out.Encode(Line{End: true})
}

func (c *GuestCmd) list() ([]bindertest.Scenario, error) {
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return nil, fmt.Errorf("--only: %w", err)
	}
	skip := map[string]bool{}
	for _, name := range c.Skip {
		skip[name] = true
	}
	var list []bindertest.Scenario
	for _, s := range bindertest.Scenarios() {
		if only.MatchString(s.Name) && !skip[s.Name] {
			list = append(list, s)
		}
	}
	return list, nil
}

// guest runs scenarios on both drivers, or on ours alone.
type guest struct {
	program string
	drivers []string
	kernel  string
	out     *json.Encoder
	pool    *puppet.Pool
	turns   *puppet.Turns
}

// compare runs one scenario on each driver, or on ours alone where the stock driver
// lacks what it needs. The error says that there is no going on.
func (g *guest) compare(s bindertest.Scenario) error {
	if why := g.lacks(ours, s); why != "" {
		return g.out.Encode(Line{Scenario: s.Name, NA: why})
	}
	if len(g.drivers) == 1 {
		return g.do(ours, s, "")
	}
	if why := g.lacks(stock, s); why != "" {
		return g.do(ours, s, why)
	}
	return errors.Join(g.do(ours, s, ""), g.do(stock, s, ""))
}

// do runs a scenario on one of the drivers and says so; na is why on it alone.
func (g *guest) do(name string, s bindertest.Scenario, na string) error {
	if err := g.out.Encode(Line{Scenario: s.Name, System: name, Begin: true}); err != nil {
		return err
	}
	l := Line{Scenario: s.Name, System: name, NA: na}
	var err error
	if l.Transcript, err = g.run(name, s.Needs, s); err != nil {
		l.Error = err.Error()
	}
	return g.out.Encode(l)
}

// run runs a scenario on one of the drivers, on a machine that has no more than it is to
// have. The error is that of a machine which broke, or of a driver that does not let go
// of something.
func (g *guest) run(name string, has []bindertest.Feature, s bindertest.Scenario) (transcript string, err error) {
	sys, err := g.newSystem(name, has)
	if err != nil {
		return "", err
	}
	transcript, err = bindertest.Run(sys, s)
	return transcript, errors.Join(err, sys.Close())
}

// lacks says what a scenario needs that is not there with one of the drivers; "": nothing.
func (g *guest) lacks(name string, s bindertest.Scenario) string {
	f, missing := s.Missing(func(f bindertest.Feature) bool { return slices.Contains(features(name), f) })
	if !missing {
		return ""
	}
	return fmt.Sprintf("%s on %s has no %s", name, g.kernel, f)
}
