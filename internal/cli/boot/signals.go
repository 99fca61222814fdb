// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"virtbinder/internal/signals"
)

// signalExit is added to a signal's number for the exit code of a forced end.
const signalExit = 128

// catchSignals returns a context that the first signal cancels: the machine then
// ends in order. The second signal ends the process at once, with the terminal
// restored. stop undoes it.
func catchSignals() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	caught := make(chan os.Signal, 2)
	signal.Notify(caught, signals.Ending(syscall.SIGQUIT)...)
	done := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case <-done:
				return
			case s := <-caught:
				if !first || s == syscall.SIGQUIT {
					die(s)
				}
				fmt.Fprintf(os.Stderr, "\r\n%v: stopping the machine; again to end at once\r\n", s)
				cancel()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		close(done)
		cancel()
	}
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
