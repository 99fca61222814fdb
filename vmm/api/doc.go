// SPDX-License-Identifier: Apache-2.0

// Package api is the way to a running VM: HTTP on the unix socket api.sock in its
// runtime directory, which only its owner may open. Client is what virtbinder's own
// commands use; OpenAPI describes the same for other languages, and the VM serves it
// at /v1/openapi.json.
//
// An answer is one JSON document but for the events, which are one in each line; the
// console, which is the raw stream after an upgrade of the connection; and /metrics,
// which is Prometheus' text. What is not 200 is a Failure.
package api

import (
	_ "embed"
	"encoding/json"
	"time"

	"virtbinder/driver"
)

// OpenAPI is the description of the API (OpenAPI 3.0, JSON), made from the table of
// routes in internal/control.
//
//go:embed openapi.json
var OpenAPI []byte

// State is what a VM is doing.
type State string

// States.
const (
	Created State = "created" // made, and not started yet
	Running State = "running"
	Paused  State = "paused"
	Ended   State = "ended"
)

// VM is a machine as a whole.
type VM struct {
	Name        string    `json:"name"`
	PID         int       `json:"pid"` // of its VMM
	State       State     `json:"state"`
	Stopping    bool      `json:"stopping"` // it was asked to power off
	Begun       time.Time `json:"begun"`    // when it was started
	CPUs        int       `json:"cpus"`
	Memory      uint64    `json:"memory"`       // bytes
	StopSeconds float64   `json:"stop_seconds"` // how long it may take to power off, by its configuration
	Dir         string    `json:"dir"`          // its runtime directory
	Consoles    []Console `json:"consoles"`
}

// Console is one of a VM's consoles.
type Console struct {
	Type string `json:"type"` // serial or hvc
	To   string `json:"to"`   // where it leads, besides those who attach
	Path string `json:"path,omitempty"`
}

// Stop asks for the end of a VM.
type Stop struct {
	Force bool `json:"force"` // now, whatever the guest does; else its power button is pressed
}

// EventKind is what an event tells.
type EventKind string

// Kinds of events.
const (
	EventStarted  EventKind = "started"
	EventPaused   EventKind = "paused"
	EventResumed  EventKind = "resumed"
	EventStopping EventKind = "stopping" // the power button was pressed
	EventEnded    EventKind = "ended"    // the last of a VM
	EventFailure  EventKind = "failure"  // a transaction failed, or was lost
	EventLost     EventKind = "lost"     // this reader was too slow: Count events are missing
)

// Event is one thing that happened.
type Event struct {
	Time    time.Time       `json:"time"`
	VM      string          `json:"vm"`
	Kind    EventKind       `json:"kind"`
	Exit    string          `json:"exit,omitempty"`    // ended: how
	Code    int             `json:"code,omitempty"`    // ended: exit code of a process with this VM alone
	Error   string          `json:"error,omitempty"`   // ended: why it could not go on
	Count   uint64          `json:"count,omitempty"`   // lost
	Failure json.RawMessage `json:"failure,omitempty"` // as in the VM's journal (virtbinder monitor)
}

// BinderState is what binder processes have and do, the newest process first.
type BinderState struct {
	VM        string                `json:"vm"`
	DeadNodes []driver.NodeState    `json:"dead_nodes,omitempty"`
	Processes []driver.ProcessState `json:"processes"`
}

// BinderStats counts commands and objects, of the VM and of its processes.
type BinderStats struct {
	VM string `json:"vm"`
	driver.Traffic
	Objects   driver.Counts         `json:"objects"`
	Processes []driver.ProcessStats `json:"processes"`
}

// BinderLog is the last transactions, oldest first.
type BinderLog struct {
	VM           string            `json:"vm"`
	Transactions []driver.LogEntry `json:"transactions"`
}

// Metric is one measured quantity, as Prometheus names it.
type Metric struct {
	Name    string   `json:"name"`
	Help    string   `json:"help"`
	Type    string   `json:"type"` // counter or gauge
	Samples []Sample `json:"samples"`
}

// Sample is a metric's value for some labels.
type Sample struct {
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// Metrics is everything that is measured of a VM.
type Metrics struct {
	VM      string   `json:"vm"`
	Metrics []Metric `json:"metrics"`
}

// Failure is the answer to a request that was not done.
type Failure struct {
	Text  string `json:"error"`
	Field string `json:"field,omitempty"` // of the query or the body, that is wrong
}

// Error is the text.
func (f *Failure) Error() string { return f.Text }
