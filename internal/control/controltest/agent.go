// SPDX-License-Identifier: Apache-2.0

package controltest

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"virtbinder/guest/agent/server"
	"virtbinder/internal/rundir"
)

// ServeAgent plays a guest's agent, in this process, behind the vsock socket in a VM's
// runtime directory. power is what it does when the guest is to go down; nil refuses.
func ServeAgent(t *testing.T, dir string, power func(action string) error) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(dir, rundir.VsockSocket))
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.Config{Reaper: server.NewReaper(false), Log: slog.New(slog.DiscardHandler), Power: power})
	served := make(chan error, 1)
	go func() { served <- s.Serve(hybridListener{l}) }()
	t.Cleanup(func() {
		l.Close()
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// hybridListener answers the handshake, as the vsock device does for the guest.
type hybridListener struct{ net.Listener }

// Accept waits for a client that has asked for the agent's port.
func (l hybridListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
	if err == nil && line == "CONNECT 1024\n" {
		fmt.Fprint(c, "OK 1073741824\n")
	}
	return c, nil
}
