// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/internal/rundir"
)

// claimed is a machine's runtime directory, held against others of that name by
// a lock on its pid file. The lock ends with the process, however it ends, so a
// killed VMM's directory is free again at once.
type claimed struct {
	path string
	pid  *os.File
	log  *os.File
}

// claim takes the directory of the machine called name and clears what a killed
// predecessor left in it.
func claim(name string) (*claimed, error) {
	dir, err := rundir.Create(name)
	if err != nil {
		return nil, err
	}
	c := &claimed{path: dir}
	if c.pid, err = lockPID(filepath.Join(dir, rundir.PIDFile), name); err != nil {
		return nil, err
	}
	for _, stale := range []string{rundir.VsockSocket, rundir.ReportsSocket, rundir.NetlinkFile} {
		if err := os.Remove(filepath.Join(dir, stale)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.release()
			return nil, fmt.Errorf("clear what an earlier VM %s left: %w", name, err)
		}
	}
	if c.log, err = os.OpenFile(filepath.Join(dir, rundir.ConsoleLog), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644); err != nil {
		c.release()
		return nil, fmt.Errorf("console log: %w", err)
	}
	return c, nil
}

// lockPID locks the pid file and writes our pid into it.
func lockPID(path, name string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("pid file of VM %s: %w", name, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		owner, _ := os.ReadFile(path)
		return nil, fmt.Errorf("a VM called %s is running already (pid %s): stop it, or choose another --name", name, strings.TrimSpace(string(owner)))
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return f, nil
}

// release gives the name back. The console log stays. The pid file is emptied
// and not removed: removing it would let two others lock two different files.
func (c *claimed) release() {
	if c.log != nil {
		c.log.Close()
	}
	_ = c.pid.Truncate(0)
	c.pid.Close()
}
