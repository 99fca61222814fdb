// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/internal/lab/job"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// execute runs the job's command and returns its exit code.
func execute(j *job.Job, p ports, ctl *os.File) (int, error) {
	os.Setenv("PATH", defaultPath) // where exec.Command looks
	cmd := exec.Command(j.Args[0], j.Args[1:]...)
	cmd.Dir = j.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = environment(j)
	cmd.WaitDelay = time.Second // for what the command left running with our pipes
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if j.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(j.UID), Gid: uint32(j.UID)}
	}
	attach, err := streams(cmd, j, p)
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if err := json.NewEncoder(ctl).Encode(job.Event{Started: true}); err != nil {
		return 0, fmt.Errorf("control port: %w", err)
	}
	finish := attach()
	go deliver(ctl, cmd.Process.Pid)
	err = cmd.Wait()
	finish()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, err
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

func environment(j *job.Job) []string {
	home, user := "/root", "root"
	if j.UID != 0 {
		home, user = "/home/user", "user"
	}
	env := []string{"PATH=" + defaultPath, "HOME=" + home, "USER=" + user, "LOGNAME=" + user, "SHELL=/bin/sh",
		"VIRTBINDER_IN_LAB=1", "TERM=xterm"}
	if j.UID != 0 {
		env = append(env, "XDG_RUNTIME_DIR="+runtimeDir(j.UID))
	}
	return append(env, j.Env...)
}

// deliver passes the signals that are asked for to the command's process group.
func deliver(ctl io.Reader, pid int) {
	for d := json.NewDecoder(ctl); ; {
		var r job.Request
		if err := d.Decode(&r); err != nil {
			return
		}
		if r.Signal > 0 {
			unix.Kill(-pid, unix.Signal(r.Signal))
		}
	}
}

// streams joins the command's streams to the ports. The returned function is called once the command runs, the one
// that it returns once the command has ended; after that all output has left.
func streams(cmd *exec.Cmd, j *job.Job, p ports) (attach func() (finish func()), err error) {
	out, err := p.open(job.PortStdout)
	if err != nil {
		return nil, err
	}
	if j.TTY {
		return terminal(cmd, j, p, out)
	}
	// Wrapped, so that the command gets pipes: a port can be opened once only, and /dev/stderr must work.
	cmd.Stdout = struct{ io.Writer }{out}
	errs, err := p.open(job.PortStderr)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = struct{ io.Writer }{errs}
	if !j.Stdin {
		return func() func() { return func() {} }, nil
	}
	in, err := p.open(job.PortStdin)
	if err != nil {
		return nil, err
	}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return func() func() {
		go func() {
			io.Copy(pipe, in)
			pipe.Close()
		}()
		return func() {}
	}, nil
}

// terminal gives the command a pseudo-terminal as its controlling one.
func terminal(cmd *exec.Cmd, j *job.Job, p ports, out *os.File) (func() func(), error) {
	in, err := p.open(job.PortStdin)
	if err != nil {
		return nil, err
	}
	master, err := os.OpenFile("/dev/pts/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	slave, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(name, j.UID, j.UID); err != nil {
		return nil, err
	}
	if j.Rows != 0 {
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: j.Rows, Col: j.Cols})
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setctty = true
	return func() func() {
		slave.Close()
		drained := make(chan struct{})
		go io.Copy(master, in)
		go func() {
			io.Copy(out, master) // ends with EIO once nothing holds the terminal
			close(drained)
		}()
		return func() {
			select {
			case <-drained:
			case <-time.After(cmd.WaitDelay):
			}
		}
	}, nil
}
