// SPDX-License-Identifier: Apache-2.0

package signals

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
	if slices.Contains(Ending(), os.Signal(syscall.SIGHUP)) == was {
		t.Errorf("ignored: %t, and it ends the program: %t", was, !was)
	}
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	got := Ending(syscall.SIGQUIT)
	if slices.Contains(got, os.Signal(syscall.SIGHUP)) || !slices.Contains(got, os.Signal(syscall.SIGTERM)) || slices.Contains(got, os.Signal(syscall.SIGQUIT)) == signal.Ignored(syscall.SIGQUIT) {
		t.Errorf("with SIGHUP ignored: %v", got)
	}
}
