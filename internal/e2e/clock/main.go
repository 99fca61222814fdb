// SPDX-License-Identifier: Apache-2.0

// Command clock runs in a guest. It reads the monotonic clock on every processor in
// turn, under a lock, and fails if one of them is behind what another has shown:
// kvm-clock computes it from each processor's own TSC.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reads is how often each processor reads it.
const reads = 20000

// latest is what the clock has shown last, and where.
type latest struct {
	mu  sync.Mutex
	at  time.Time
	cpu int
}

func main() {
	var seen latest
	errs := make([]error, runtime.NumCPU())
	var all sync.WaitGroup
	for cpu := range errs {
		all.Go(func() { errs[cpu] = seen.follow(cpu) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Printf("%d processors, one clock\n", len(errs))
}

func (l *latest) follow(cpu int) error {
	runtime.LockOSThread()
	var only unix.CPUSet
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("processor %d: %w", cpu, err)
	}
	for range reads {
		if err := l.read(cpu); err != nil {
			return err
		}
	}
	return nil
}

func (l *latest) read(cpu int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if behind := l.at.Sub(now); !l.at.IsZero() && behind > 0 {
		return fmt.Errorf("processor %d's clock is %v behind what processor %d showed before", cpu, behind, l.cpu)
	}
	l.at, l.cpu = now, cpu
	return nil
}
