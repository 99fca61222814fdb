// SPDX-License-Identifier: Apache-2.0

// Package doctor is the command "virtbinder doctor": it looks at everything the
// main job needs and says, one line each, what is there, what is not, and what
// to do about it. It changes nothing.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// Cmd is the command's flags.
type Cmd struct {
	JSON   bool   `help:"Print one JSON object."`
	Build  string `type:"path" default:"build" placeholder:"DIR" help:"Where make puts what it builds: DIR/images, DIR/guest, DIR/lab (default ${default})."`
	Images string `type:"path" placeholder:"DIR" help:"Where the images are (default images in the build directory)."`
	Kernel string `default:"6.12" placeholder:"SERIES" help:"Guest kernel to be booted (default ${default})."`
	Host   string `default:"6.12" placeholder:"SERIES" help:"Kernel of the nested lab's host (default ${default})."`
}

// Verdict is how a check ended.
type Verdict string

// The verdicts. Only Fail keeps the main job from running.
const (
	OK   Verdict = "ok"
	Note Verdict = "note" // worth knowing
	Warn Verdict = "warn" // something works less well than it could
	Fail Verdict = "fail"
)

// Check is one line of the doctor's.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Text    string  `json:"text"`
	Do      string  `json:"do,omitempty"` // what to do about it
}

// Report is what --json prints.
type Report struct {
	CanRun bool    `json:"can_run"`
	Direct bool    `json:"direct"` // guests run on this machine itself, not in the lab
	Checks []Check `json:"checks"`

	// Reports is how failure reports would leave a machine started here; absent if
	// that could not be told. VMs are the machines that have published theirs.
	Reports *netlink.Status `json:"reports,omitempty"`
	VMs     []VM            `json:"vms"`
}

// VM is a machine's runtime file.
type VM struct {
	Name    string         `json:"name"`
	Running bool           `json:"running"`
	Reports netlink.Status `json:"reports"`
}

// machine is what the doctor looks at; tests give others.
type machine struct {
	cpuinfo, meminfo string
	kvm              string
	build, images    string
	guest, host      string // kernel series
	runBase          string
	runSearch        []string

	netlink     func() (netlink.Status, error)
	hostDevices func() []string
}

func (c *Cmd) machine() machine {
	images := c.Images
	if images == "" {
		images = filepath.Join(c.Build, "images")
	}
	return machine{cpuinfo: "/proc/cpuinfo", meminfo: "/proc/meminfo", kvm: "/dev/kvm", build: c.Build, images: images,
		guest: c.Kernel, host: c.Host, runBase: rundir.Base(), runSearch: rundir.Search(),
		netlink: probeNetlink, hostDevices: netlink.HostBinderDevices}
}

// Run prints the checks. It returns an error, and so the program a non-zero
// status, when the main job cannot run.
func (c *Cmd) Run() error {
	colour := term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
	return c.run(c.machine(), os.Stdout, colour)
}

func (c *Cmd) run(m machine, w io.Writer, colour bool) error {
	r := m.examine()
	if err := print(w, &r, c.JSON, colour); err != nil {
		return fmt.Errorf("doctor: %w", err)
	}
	if r.CanRun {
		return nil
	}
	var failed []string
	for _, k := range r.Checks {
		if k.Verdict == Fail {
			failed = append(failed, k.Name)
		}
	}
	return fmt.Errorf("doctor: virtbinder cannot run here yet: %s", strings.Join(failed, ", "))
}

// examine makes all checks. Where guests run comes first, because it decides
// what else is needed.
func (m machine) examine() Report {
	kvm, direct := m.checkKVM()
	r := Report{Direct: direct, Checks: kvm, VMs: []VM{}}
	r.Checks = append(r.Checks, m.checkLab(direct)...)
	r.Checks = append(r.Checks, m.checkImages()...)
	m.checkNetlink(&r)
	m.checkRuntime(&r)
	r.CanRun = true
	for _, k := range r.Checks {
		r.CanRun = r.CanRun && k.Verdict != Fail
	}
	return r
}

func print(w io.Writer, r *Report, asJSON, colour bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	for _, k := range r.Checks {
		if _, err := io.WriteString(w, line(k, colour)); err != nil {
			return err
		}
	}
	return nil
}

func line(k Check, colour bool) string {
	mark := fmt.Sprintf("%-4s", k.Verdict)
	if code := map[Verdict]string{OK: "32", Warn: "33", Fail: "31", Note: "2"}[k.Verdict]; colour {
		mark = "\x1b[" + code + "m" + mark + "\x1b[0m"
	}
	s := fmt.Sprintf("%s  %-14s %s", mark, k.Name, k.Text)
	if k.Do != "" {
		s += "; " + k.Do
	}
	return s + "\n"
}
