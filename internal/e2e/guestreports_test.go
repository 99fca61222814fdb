// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"virtbinder/guest/agentclient"
)

// TestReportsInGuest: the cases of the kernel's capture are played in guests whose
// kernels have no binder family, on our device. What a client there receives from the
// family that our guest driver registers are the kernel's bytes.
func TestReportsInGuest(t *testing.T) {
	failures, listen := program(t, "failures", "./guest/failures"), program(t, "listen", "./guest/listen")
	onLabHost(t, "6.12", func(t *testing.T) {
		for _, series := range []string{"6.12", "6.1"} {
			t.Run(series, func(t *testing.T) {
				vm := bootGuest(t, series)
				l := vm.listenInGuest(listen)
				p := play(t, l, "guest "+series, "", vm.runner(failures))
				for _, c := range p.captured {
					if c.port != 0 || c.group != 1<<(l.group-1) || c.typ() != l.family {
						t.Errorf("a report of type %d came from port %d through %#x", c.typ(), c.port, c.group)
					}
				}
				againstGolden(t, p)
			})
		}
	})
}

// guestListener collects what guest/listen prints.
type guestListener struct {
	family uint16
	group  uint32

	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
	fail error        // guarded by mu: what ended it
}

func (l *guestListener) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *guestListener) lines() ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := l.text.String()
	return strings.Split(whole[:strings.LastIndexByte(whole, '\n')+1], "\n"), l.fail
}

// all is what has come so far.
func (l *guestListener) all() (got []capture, err error) {
	lines, err := l.lines()
	for _, line := range lines[1 : len(lines)-1] {
		var c capture
		if _, err := fmt.Sscanf(line, "%d %d %x", &c.port, &c.group, &c.bytes); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		got = append(got, c)
	}
	return got, err
}

// listenInGuest returns when the listener can miss nothing any more.
func (m *machine) listenInGuest(program string) *guestListener {
	m.t.Helper()
	f, err := os.Open(program)
	if err != nil {
		m.t.Fatal(err)
	}
	l := &guestListener{}
	go func() {
		defer f.Close()
		exit, err := m.agent.Exec(m.t.Context(), agentclient.Cmd{Path: "/bin/sh",
			Args:  []string{"-c", "cat >/tmp/listen && chmod 755 /tmp/listen && exec /tmp/listen"},
			Stdin: f, Stdout: l, Stderr: l})
		l.mu.Lock()
		defer l.mu.Unlock()
		l.fail = fmt.Errorf("the listener in the guest ended: exit code %d, %v, %s", exit, err, &l.text)
	}()
	until(m.t, "a client joins the guest's group", func() bool {
		lines, err := l.lines()
		if err != nil {
			m.t.Fatal(err)
		}
		version := 0
		n, _ := fmt.Sscanf(lines[0], "family %d version %d group %d", &l.family, &version, &l.group)
		if n == 3 && version != 1 {
			m.t.Fatalf("the family's version is %d", version)
		}
		return n == 3
	})
	return l
}
