// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
)

func TestIgnoredSignalsStayIgnored(t *testing.T) {
	signal.Reset(syscall.SIGHUP)
	was := signal.Ignored(syscall.SIGHUP)
	if slices.Contains(endSignals(), os.Signal(syscall.SIGHUP)) == was {
		t.Errorf("ignored: %t, and it ends the machine: %t", was, !was)
	}
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	if got := endSignals(); slices.Contains(got, os.Signal(syscall.SIGHUP)) || !slices.Contains(got, os.Signal(syscall.SIGTERM)) {
		t.Errorf("with SIGHUP ignored: %v", got)
	}
}
