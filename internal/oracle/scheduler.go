// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// steady has the kernel do always the same: thread ids keep the order of their threads'
// starts (what looks at all threads of a process does so in the order of their ids), and
// a puppet whose turn it is keeps the processor, however slow the machine. One that is
// held back would not count among those that can run.
func steady() error {
	return errors.Join(os.WriteFile("/proc/sys/kernel/pid_max", []byte("4194304"), 0),
		os.WriteFile("/proc/sys/kernel/sched_rt_runtime_us", []byte("-1"), 0))
}

// yieldToPuppets makes the calling goroutine's thread run only when nothing else
// wants to: a puppet that is told something runs until it sleeps, and then everything
// is at rest at the first look. What the thread starts is scheduled as usual.
func yieldToPuppets() error {
	runtime.LockOSThread()
	const idle, resetOnFork = 5, 0x40000000 // SCHED_IDLE, SCHED_RESET_ON_FORK
	var priority int32
	if _, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, idle|resetOnFork, uintptr(unsafe.Pointer(&priority))); errno != 0 {
		return fmt.Errorf("SCHED_IDLE: %w", errno)
	}
	// Newer kernels keep a task that sleeps on the run queue for a while, and count it.
	// One without the switch (CONFIG_SCHED_DEBUG) only takes longer to come to rest.
	const features = "/sys/kernel/debug/sched/features"
	err := os.WriteFile(features, []byte("NO_DELAY_DEQUEUE"), 0)
	if errors.Is(err, os.ErrNotExist) || !kernelAtLeast("6.12") {
		return nil
	}
	return err
}
