// SPDX-License-Identifier: Apache-2.0

// Command agent is the guest's end of virtbinder: PID 1 of our initramfs. It mounts,
// loads the modules of /etc/virtbinder/modules, and serves package agentproto on a
// vsock port: commands with their streams, and power off.
//
// The console shows "virtbinder-agent: ready" when it serves and all went well, or
// "virtbinder-agent: FAILED: ..." with each reason; it serves in that case too, so
// that the guest can be looked at.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"virtbinder/guest/agent/boot"
	"virtbinder/guest/agent/server"
	"virtbinder/guest/agentproto"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "agent: this is the guest's init; it runs as PID 1 only")
		os.Exit(2)
	}
	failures := boot.Mount()
	console := boot.OpenConsole()
	log := slog.New(slog.NewTextHandler(console, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: noTime}))
	if err := boot.SetHostname("virtbinder"); err != nil {
		failures = append(failures, err)
	}
	if err := boot.LoopbackUp(); err != nil {
		failures = append(failures, err)
	}
	failures = append(failures, boot.LoadModules(boot.ModuleList)...)
	if err := boot.MountBinder(); err != nil {
		failures = append(failures, err)
	}
	ignoreSignals()

	err := serve(console, log, failures)
	console.Say("virtbinder-agent: FAILED: %v", err)
	select {} // PID 1 must not end
}

// serve runs the server; it returns only if it cannot.
func serve(console *boot.Console, log *slog.Logger, failures []error) error {
	texts := make([]string, len(failures))
	for i, f := range failures {
		texts[i] = f.Error()
		console.Say("virtbinder-agent: FAILED: %s", oneLine(texts[i]))
	}
	reaper := server.NewReaper(true)
	l, err := vsock.ListenContextID(unix.VMADDR_CID_ANY, agentproto.Port, nil)
	if err != nil {
		return fmt.Errorf("listen on vsock port %d: %w (are the vsock modules in %s?)", agentproto.Port, err, boot.ModuleList)
	}
	s := server.New(server.Config{Reaper: reaper, Log: log, Failures: texts, Power: func(action string) error {
		log.Info("going down", "action", action)
		return boot.Down(action == agentproto.PowerReboot)
	}})
	if len(failures) == 0 {
		console.Say("virtbinder-agent: ready")
	}
	return s.Serve(l)
}

// ignoreSignals keeps ctrl-alt-del and friends from PID 1. They are caught, not set
// to be ignored: that would pass on to every command.
func ignoreSignals() {
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE)
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }

// noTime leaves the time out of log lines: the kernel's log has its own.
func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
