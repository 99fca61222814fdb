// SPDX-License-Identifier: Apache-2.0

// Package api is what a running VM tells of itself: HTTP on the unix socket api.sock
// in its runtime directory, which only its owner may open. It reads and changes
// nothing.
//
//	GET /v1/binder/state[?pid=N][&transactions=1]   State
//	GET /v1/binder/stats                            Stats
//	GET /v1/binder/log[?failed=1]                   Log
//	GET /metrics                                    counters, as Prometheus reads them
//
// Every other answer is one JSON document; one that is not 200 is {"error": "..."}.
package api

import "virtbinder/driver"

// State is what binder processes have and do, the newest process first.
type State struct {
	VM        string                `json:"vm"`
	DeadNodes []driver.NodeState    `json:"dead_nodes,omitempty"`
	Processes []driver.ProcessState `json:"processes"`
}

// Stats counts commands and objects, of the VM and of its processes.
type Stats struct {
	VM string `json:"vm"`
	driver.Traffic
	Objects   driver.Counts         `json:"objects"`
	Processes []driver.ProcessStats `json:"processes"`
}

// Log is the last transactions, oldest first.
type Log struct {
	VM           string            `json:"vm"`
	Transactions []driver.LogEntry `json:"transactions"`
}
