// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"

	"virtbinder/driver/bindertest"
)

// GuestCmd is the part that runs in the guest.
type GuestCmd struct {
	Program string   `arg:"" help:"The puppet."`
	Only    string   `help:"Regular expression of scenarios to run."`
	Skip    []string `help:"Scenarios not to run." sep:","`
}

// Run runs the scenarios and says so on standard output.
func (c *GuestCmd) Run() error {
	// One processor: what else there is of us should not compete with the puppets.
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(400)
	if err := loadStock(); err != nil {
		return err
	}
	list, err := c.list()
	if err != nil {
		return err
	}
	out := newLineWriter(os.Stdout)
	for _, s := range list {
		if err := c.compare(out, s); err != nil {
			return err
		}
	}
	return out.write(Line{End: true})
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

// compare runs one scenario on both. The error says that there is no going on.
func (c *GuestCmd) compare(out *lineWriter, s bindertest.Scenario) error {
	var systems []bindertest.System
	for _, name := range []string{ours, stock} {
		sys, err := newSystem(name, c.Program)
		if err != nil {
			return err
		}
		systems = append(systems, sys)
	}
	if why := notComparable(s, systems); why != "" {
		for _, sys := range systems {
			_ = sys.Close()
		}
		return out.write(Line{Scenario: s.Name, NA: why})
	}
	for _, sys := range systems {
		if err := out.write(Line{Scenario: s.Name, System: sys.Name(), Begin: true}); err != nil {
			return err
		}
		transcript, err := bindertest.Run(sys, s)
		broken := sys.Close()
		l := Line{Scenario: s.Name, System: sys.Name(), Transcript: transcript}
		if err := errors.Join(err, broken); err != nil {
			l.Error = err.Error()
		}
		if err := out.write(l); err != nil {
			return err
		}
	}
	return nil
}

// notComparable says why a scenario has no meaning on one of the systems.
func notComparable(s bindertest.Scenario, systems []bindertest.System) string {
	for _, sys := range systems {
		if f, missing := s.Missing(sys); missing {
			return fmt.Sprintf("%s on %s has no %s", sys.Name(), sys.Kernel(), f)
		}
	}
	return ""
}
