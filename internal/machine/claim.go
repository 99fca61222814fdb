// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"virtbinder/internal/rundir"
)

// claimed is a machine's runtime directory, held against others of that name by
// a lock on its pid file. The lock ends with the process, however it ends, so a
// killed VMM's directory is free again at once.
type claimed struct {
	path       string
	pid        *os.File
	consoleLog io.Writer // the serial port's
	vmmLog     io.Writer
	files      []*os.File // under all logs
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
	for _, stale := range []string{rundir.VsockSocket, rundir.ReportsSocket, rundir.JournalSocket, rundir.APISocket, rundir.NetlinkFile} {
		if err := os.Remove(filepath.Join(dir, stale)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.release()
			return nil, fmt.Errorf("clear what an earlier VM %s left: %w", name, err)
		}
	}
	if err := c.openLogs(); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

func (c *claimed) openLogs() (err error) {
	if c.consoleLog, err = c.openLog(rundir.ConsoleLog, 0o644); err != nil {
		return err
	}
	c.vmmLog, err = c.openLog(rundir.VMMLog, 0o600)
	return err
}

// lockPID makes and locks the pid file and writes our pid into it.
func lockPID(path, name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, fmt.Errorf("pid file of VM %s: %w", name, err)
		}
		if err := lockFile(f, name); err != nil {
			f.Close()
			return nil, err
		}
		if !isAt(f, path) {
			f.Close() // its owner removed it just now
			continue
		}
		if err := writePID(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
		return f, nil
	}
}

func lockFile(f *os.File, name string) error {
	err := rundir.Lock(f)
	if errors.Is(err, rundir.ErrLocked) {
		owner, _ := os.ReadFile(f.Name())
		return fmt.Errorf("a VM called %s is running already (pid %s): stop it, or choose another --name", name, strings.TrimSpace(string(owner)))
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// isAt reports whether f is still the file at path.
func isAt(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f, "%d\n", os.Getpid())
	return err
}

// release gives the name back. The logs stay, until the next machine of this name.
func (c *claimed) release() {
	for _, f := range c.files {
		f.Close()
	}
	_ = os.Remove(c.pid.Name()) // while it is locked; see isAt
	c.pid.Close()
}
