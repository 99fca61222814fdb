// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/internal/rundir"
)

// guestCmdline keeps the boot short. Grace periods are expedited so that a release
// does not wait for one longer than it takes to look. SELinux denies what the lsm
// scenarios need denied, and gives the stock driver labels to pass on.
const guestCmdline = "console=ttyS0 panic=-1 quiet mitigations=off cryptomgr.notests random.trust_cpu=on rcupdate.rcu_expedited=1 " +
	"security=selinux selinux=1 enforcing=1"

// bootTime bounds a boot. The nested lab on a loaded machine is slow, and its clock may
// run several times too fast: it is calibrated while others have the processor.
const bootTime = 20 * time.Minute

// machine is a running guest: `virtbinder boot`.
type machine struct {
	*agentclient.Client
	cmd   *exec.Cmd
	ended chan struct{}
}

// boot boots a guest of a kernel series, its logs in dir.
func boot(ctx context.Context, top, series, initrd, dir string) (*machine, error) {
	log, err := os.OpenFile(filepath.Join(dir, "boot.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	name := "oracle-" + series
	m := &machine{ended: make(chan struct{})}
	m.cmd = exec.Command(filepath.Join(top, "build", "bin", "virtbinder"), "boot", "--name", name,
		"-k", filepath.Join(top, "build", "guest", series, "vmlinuz"), "-i", initrd, "-p", guestCmdline, "-m", "512M",
		"-c", "1", "--reports", "off", "--console", "file:"+filepath.Join(dir, consoleFile))
	m.cmd.Stdout, m.cmd.Stderr = log, log
	// A group of its own, so that a terminal's ctrl-c reaches only us.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	go func() {
		_ = m.cmd.Wait()
		close(m.ended)
		cancel()
	}()
	m.Client, err = agentclient.Wait(wait, filepath.Join(rundir.VM(name), rundir.VsockSocket))
	if err == nil && len(m.Info().Failures) > 0 {
		err = fmt.Errorf("its boot: %v", m.Info().Failures)
	}
	if err != nil {
		m.stop()
		return nil, fmt.Errorf("guest %s: %w; see %s", series, err, dir)
	}
	return m, nil
}

// stop ends the machine, whatever state it is in.
func (m *machine) stop() {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = m.cmd.Process.Signal(s)
		select {
		case <-m.ended:
			return
		case <-time.After(15 * time.Second):
		}
	}
}
