// SPDX-License-Identifier: Apache-2.0

// Command init is the first process of the lab's host ("L1"): a Debian kernel under QEMU with kvm_amd, in which
// virtbinder runs where the machine itself has no usable hardware virtualization. It prepares the system, runs the
// one command of the job (package job), reports its exit code and ends QEMU.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"virtbinder/internal/lab/job"
)

func main() {
	event := job.Event{Done: true}
	ctl, err := run(&event)
	if err != nil {
		event.Error = err.Error()
		fmt.Fprintln(os.Stderr, "lab:", err) // the console
	}
	if ctl != nil {
		if err := json.NewEncoder(ctl).Encode(event); err != nil {
			fmt.Fprintln(os.Stderr, "lab: control port:", err)
		}
	}
	end()
}

// run does everything up to the command's end and fills in its exit code. The control port is returned as soon as
// there is one, with or without an error.
func run(event *job.Event) (ctl *os.File, err error) {
	j, err := readJob()
	if err != nil {
		return nil, err
	}
	if err := mountBase(); err != nil {
		return nil, err
	}
	if err := insertModules(j.Binder); err != nil {
		return nil, err
	}
	p, err := findPorts()
	if err != nil {
		return nil, err
	}
	if ctl, err = p.open(job.PortControl); err != nil {
		return nil, err
	}
	if err := prepare(j); err != nil {
		return ctl, err
	}
	event.Exit, err = execute(j, p, ctl)
	return ctl, err
}

func readJob() (*job.Job, error) {
	b, err := os.ReadFile(job.File)
	if err != nil {
		return nil, err
	}
	j := new(job.Job)
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("%s: %w", job.File, err)
	}
	if len(j.Args) == 0 {
		return nil, fmt.Errorf("%s: no command", job.File)
	}
	return j, nil
}

// end leaves QEMU through its debug-exit device; should that be missing, the machine powers off, which internal/lab
// takes for a failure.
func end() {
	unix.Sync()
	if fd, err := unix.Open("/dev/port", unix.O_WRONLY, 0); err == nil {
		unix.Pwrite(fd, []byte{job.ExitCode}, job.ExitPort)
	}
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
