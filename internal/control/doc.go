// SPDX-License-Identifier: Apache-2.0

// Package control serves a VM's API (package vmm/api) on its unix socket. routes.go
// has the table of what there is; the mux and the OpenAPI description are both made
// of it.
package control

import (
	"context"

	"virtbinder/driver"
	"virtbinder/internal/console"
	"virtbinder/internal/journal"
	"virtbinder/vmm/api"
)

//go:generate go run ./openapi

// Machine is what is served.
type Machine interface {
	Describe() api.VM
	Configuration() any // as JSON shows it
	Pause(context.Context) error
	Resume() error
	Stop(force bool) error
	Events() *Events
	Failures() (r *journal.Reader, suffix string) // from the oldest remembered on; suffix is of contexts
	Console(index int) *console.Hub               // nil if there is none
	Binder() *driver.VM                           // nil if there is none
	Metrics() []api.Metric
}
