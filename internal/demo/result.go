// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"virtbinder/internal/jsonfile"
)

// Result is what result.json holds.
type Result struct {
	Passed  bool    `json:"passed"`
	Error   string  `json:"error,omitempty"` // of the check that failed
	Nested  bool    `json:"nested"`          // in the lab
	Host    string  `json:"host_kernel"`     // release
	Guest   string  `json:"guest_kernel"`    // release, as the guest says
	Mode    string  `json:"report_mode"`     // package netlink's
	ModeWhy string  `json:"report_mode_why"`
	Steps   []*Step `json:"steps"`

	Expected []Seen `json:"expected_reports"`
	Reports  []Seen `json:"reports"` // all that the monitor printed

	BootExit    *int     `json:"boot_exit"`    // absent: it did not get that far
	MonitorExit *int     `json:"monitor_exit"` // likewise
	Figures     []Figure `json:"figures"`
}

// Step is one of the six steps and what was checked in it.
type Step struct {
	Number int     `json:"number"`
	Title  string  `json:"title"`
	Checks []Check `json:"checks"`
}

// Check is one thing that was looked at.
type Check struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Figure is a measurement. Nothing is decided by it.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Names of the files in the output directory.
const (
	ResultFile   = "result.json"
	ConsoleFile  = "guest-console.log"
	BootLog      = "boot.log"
	MonitorFile  = "monitor.jsonl"
	MonitorLog   = "monitor.log"
	CommandsFile = "guest-commands.log"
	ExitFile     = "exit-code"
)

// outputs are all of them; a new run clears them.
var outputs = []string{ResultFile, ConsoleFile, BootLog, MonitorFile, MonitorLog, CommandsFile, ExitFile}

// ReadResult reads a result.json.
func ReadResult(path string) (*Result, error) {
	r := new(Result)
	return r, jsonfile.Read(path, r)
}
