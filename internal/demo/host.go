// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ordinaryUser is who runs the monitor: no root, no capabilities.
const ordinaryUser = 1000

// host is one of our own programs, running on the host.
type host struct {
	name  string
	cmd   *exec.Cmd
	files []*os.File
	ended chan struct{}
	exit  int // valid once ended is closed; 128+n when signal n ended it
}

// startHost starts `virtbinder ARGS`, its output in files.
func (d *demo) startHost(uid uint32, stdout, stderr string, args ...string) (*host, error) {
	h := &host{name: "virtbinder " + args[0], ended: make(chan struct{})}
	for _, name := range []string{stdout, stderr} {
		f, err := os.OpenFile(d.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return nil, err
		}
		h.files = append(h.files, f)
	}
	// By this name another user can run it wherever it lies.
	h.cmd = exec.Command("/proc/self/exe", args...)
	h.cmd.Args[0] = "virtbinder"
	h.cmd.Stdout, h.cmd.Stderr = h.files[0], h.files[1]
	// A group of its own, so that a terminal's ctrl-c reaches only us, and we end
	// it in order.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if uid != 0 {
		h.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
		h.cmd.Dir = "/"
	}
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", h.name, err)
	}
	d.mu.Lock()
	d.print("      %s", d.paint("1", "$ virtbinder "+strings.Join(d.short(args), " ")+" &"))
	d.mu.Unlock()
	go h.wait()
	return h, nil
}

// short makes paths in the project relative, to be read.
func (d *demo) short(args []string) []string {
	var out []string
	for _, a := range args {
		if strings.ContainsRune(a, ' ') {
			a = "'" + a + "'"
		}
		out = append(out, strings.ReplaceAll(a, d.top+string(filepath.Separator), ""))
	}
	return out
}

func (h *host) wait() {
	_ = h.cmd.Wait()
	for _, f := range h.files {
		_ = f.Close()
	}
	status := h.cmd.ProcessState.Sys().(syscall.WaitStatus)
	h.exit = status.ExitStatus()
	if status.Signaled() {
		h.exit = 128 + int(status.Signal())
	}
	close(h.ended)
}

// signal asks the program to end, and waits for its exit code.
func (h *host) signal(s syscall.Signal) (exit int, err error) {
	select {
	case <-h.ended: // the pid may be another's by now
	default:
		if err := h.cmd.Process.Signal(s); err != nil {
			return 0, fmt.Errorf("%s: %w", h.name, err)
		}
	}
	return h.await()
}

// await waits for the program's end.
func (h *host) await() (exit int, err error) {
	select {
	case <-h.ended:
		return h.exit, nil
	case <-time.After(patience):
		return 0, fmt.Errorf("%s did not end within %v", h.name, patience)
	}
}

// stop ends the program one way or another.
func (h *host) stop() {
	select {
	case <-h.ended:
		return
	default:
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.ended:
	case <-time.After(10 * time.Second):
		_ = h.cmd.Process.Kill()
		<-h.ended
	}
}

// running says whether the program still runs.
func (h *host) running() error {
	select {
	case <-h.ended:
		return fmt.Errorf("%s has ended with exit code %d", h.name, h.exit)
	default:
		return nil
	}
}
