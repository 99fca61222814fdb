// SPDX-License-Identifier: Apache-2.0

// Package signals says which signals end a program of ours in order.
package signals

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// Ending are those that end a program: SIGTERM, and of SIGINT, SIGHUP and more those
// that were not set to be ignored. Whoever said nohup means it.
func Ending(more ...os.Signal) []os.Signal {
	wanted := append([]os.Signal{syscall.SIGINT, syscall.SIGHUP}, more...)
	return append(slices.DeleteFunc(wanted, signal.Ignored), syscall.SIGTERM)
}
