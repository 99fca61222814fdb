// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guestcheck

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is the output of a program that is talked with.
type lines struct {
	more chan struct{} // has room for one

	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until the output is exactly want.
func (l *lines) await(t *testing.T, want string) {
	t.Helper()
	for end := time.After(*patience); l.String() != want; {
		select {
		case <-l.more:
		case <-end:
			t.Fatalf("output is %q, not %q", l, want)
		}
	}
}
