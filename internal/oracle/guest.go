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
	g := &guest{program: c.Program, out: json.NewEncoder(os.Stdout), pool: &puppet.Pool{}, drivers: []string{ours}}
	if err := errors.Join(neverWrapPIDs(), loadPolicy(), yieldToPuppets()); err != nil {
		return err
	}
	if !c.Alone {
		g.drivers = []string{ours, stock}
		if err := loadStock(); err != nil {
			return err
		}
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
	out     *json.Encoder
	pool    *puppet.Pool
}

// compare runs one scenario on each driver. The error says that there is no going on.
func (g *guest) compare(s bindertest.Scenario) error {
	why, err := g.notComparable(s)
	if err != nil {
		return err
	}
	if why != "" {
		return g.out.Encode(Line{Scenario: s.Name, NA: why})
	}
	for _, name := range g.drivers {
		if err := g.out.Encode(Line{Scenario: s.Name, System: name, Begin: true}); err != nil {
			return err
		}
		transcript, err := g.run(name, s)
		l := Line{Scenario: s.Name, System: name, Transcript: transcript}
		if err != nil {
			l.Error = err.Error()
		}
		if err := g.out.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// run runs a scenario on one of the drivers. The error is that of a machine which
// broke, or of a driver that does not let go of something.
func (g *guest) run(name string, s bindertest.Scenario) (transcript string, err error) {
	sys, err := g.newSystem(name)
	if err != nil {
		return "", err
	}
	return runOn(sys, s)
}

func runOn(sys *puppet.System, s bindertest.Scenario) (transcript string, err error) {
	transcript, err = bindertest.Run(sys, s)
	return transcript, errors.Join(err, sys.Close())
}

// notComparable says why a scenario has no meaning on one of the systems.
func (g *guest) notComparable(s bindertest.Scenario) (string, error) {
	for _, name := range g.drivers {
		sys, err := g.newSystem(name)
		if err != nil {
			return "", err
		}
		f, missing := s.Missing(sys)
		if err := sys.Close(); err != nil {
			return "", err
		}
		if missing {
			return fmt.Sprintf("%s on %s has no %s", sys.Name(), sys.Kernel(), f), nil
		}
	}
	return "", nil
}
