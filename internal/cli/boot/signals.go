// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// signalExit is added to a signal's number for the exit code of a forced end.
const signalExit = 128

// catchSignals returns a context that the first signal cancels: the machine then
// ends in order. The second signal ends the process at once, with the terminal
// restored. stop undoes it.
func catchSignals() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endSignals()...)
	done := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case <-done:
				return
			case s := <-signals:
				if !first || s == syscall.SIGQUIT {
					die(s)
				}
				fmt.Fprintf(os.Stderr, "\r\n%v: stopping the machine; again to end at once\r\n", s)
				cancel()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// endSignals are those that end a machine. What was set to be ignored stays ignored:
// whoever said nohup means it.
func endSignals() []os.Signal {
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}
	return append(slices.DeleteFunc(wanted, signal.Ignored), syscall.SIGTERM)
}

// die ends the process now. SIGQUIT keeps its use of showing all goroutines.
func die(s os.Signal) {
	if err := restoreTerminal(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	number, _ := s.(syscall.Signal)
	if number == syscall.SIGQUIT {
		signal.Reset(syscall.SIGQUIT)
		_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
		select {}
	}
	os.Exit(signalExit + int(number))
}

// interruptSelf is what the escape key for "stop" does.
func interruptSelf() { _ = syscall.Kill(os.Getpid(), syscall.SIGINT) }
