// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/internal/rundir"
)

//go:embed guest
var scripts embed.FS

// guestCmdline keeps the guest's boot short.
const guestCmdline = "console=ttyS0 panic=-1 quiet mitigations=off cryptomgr.notests random.trust_cpu=on"

// lsmCmdline makes a security module the guest's; Debian's default needs nothing.
var lsmCmdline = map[string]string{"selinux": " security=selinux selinux=1", "apparmor": ""}

// bootTime bounds how long the guest may take until its agent answers, and how long
// commands that do little may take.
const bootTime = 20 * time.Minute

// machine is a guest that is ready for sessions.
type machine struct {
	*agentclient.Client
	name  string // of the VM
	boot  *exec.Cmd
	ended chan struct{} // closed when the guest has ended
}

// start boots the guest of a run, with AOSP's tests beside its userspace.
func start(ctx context.Context, r run, top, out string) (*machine, error) {
	images := filepath.Join(top, "build", "guest", r.Guest)
	initrd := filepath.Join(out, "initrd.cpio")
	if err := join(initrd, filepath.Join(images, "initrd.cpio"), filepath.Join(top, "build", "images", "android", "tests.cpio")); err != nil {
		return nil, fmt.Errorf("%w; run `make images build initrd` in %s", err, top)
	}
	defer os.Remove(initrd)
	log, err := os.Create(filepath.Join(out, "boot.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	name := "aosp-" + r.LSM
	m := &machine{name: name, ended: make(chan struct{})}
	m.boot = exec.Command(filepath.Join(top, "build", "bin", "virtbinder"), "boot", "--name", name,
		"-k", filepath.Join(images, "vmlinuz"), "-i", initrd, "-p", guestCmdline+lsmCmdline[r.LSM],
		"-m", "1G", "-c", strconv.Itoa(max(r.CPUs, 1)), "--console", "file:"+filepath.Join(out, "console.log"))
	m.boot.Stdout, m.boot.Stderr = log, log
	m.boot.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := m.boot.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = m.boot.Wait()
		close(m.ended)
	}()
	err = m.reach(ctx, name)
	if err == nil {
		err = m.prepare(ctx, top)
	}
	if err != nil {
		m.stop()
		return nil, fmt.Errorf("the guest did not come up: %w; see %s", err, out)
	}
	return m, nil
}

// reach waits for the agent.
func (m *machine) reach(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	go func() { // no use waiting for the agent of a machine that has ended
		select {
		case <-m.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	var err error
	m.Client, err = agentclient.Wait(ctx, filepath.Join(rundir.VM(name), rundir.VsockSocket))
	return err
}

// prepare brings in what sessions need.
func (m *machine) prepare(ctx context.Context, top string) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	files, err := scripts.ReadDir("guest")
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := scripts.ReadFile("guest/" + f.Name())
		if err != nil {
			return err
		}
		if err := m.bring(ctx, scriptDir+f.Name(), text); err != nil {
			return err
		}
	}
	room, err := os.ReadFile(filepath.Join(top, "build", "bin", "aosp-vsock.so"))
	if err != nil {
		return fmt.Errorf("%w; run `make build`", err)
	}
	if err := m.bring(ctx, vsockRoom, room); err != nil {
		return err
	}
	return m.do(ctx, nil, "sh", scriptDir+"setup.sh")
}

// bring makes a file in the guest.
func (m *machine) bring(ctx context.Context, path string, content []byte) error {
	return m.do(ctx, bytes.NewReader(content), "sh", "-c", "mkdir -p "+scriptDir+" && cat >"+path)
}

// do runs a command that has to succeed.
func (m *machine) do(ctx context.Context, in io.Reader, path string, args ...string) error {
	var said bytes.Buffer
	exit, err := m.Exec(ctx, agentclient.Cmd{Path: path, Args: args, Stdin: in, Stdout: &said, Stderr: &said})
	if err == nil && exit != 0 {
		err = fmt.Errorf("exit code %d: %s", exit, strings.TrimSpace(said.String()))
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", path, strings.Join(args, " "), err)
	}
	return nil
}

// stop ends the guest one way or another.
func (m *machine) stop() {
	_ = m.boot.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.ended:
	case <-time.After(10 * time.Second):
		_ = m.boot.Process.Kill()
		<-m.ended
	}
}

// join makes a file of others.
func join(to string, from ...string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	for _, name := range from {
		in, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		in.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
