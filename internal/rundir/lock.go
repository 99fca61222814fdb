// SPDX-License-Identifier: Apache-2.0

package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Lock locks a pid file for as long as it is open. The lock ends with the process,
// however that ends.
func Lock(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}

// State is what a VM's directory says of it.
type State string

// States.
const (
	Running State = "running" // its process lives
	Stale   State = "stale"   // its process was killed, and left its files
	Ended   State = "ended"   // it ended in order; its logs are left
)

// Found is a VM's directory.
type Found struct {
	Name  string
	Dir   string
	State State
	PID   int // of the process that runs it or did; 0 if Ended
}

// Look says what is in a VM's directory.
func Look(dir string) (Found, error) {
	v := Found{Name: filepath.Base(dir), Dir: dir, State: Ended}
	f, err := os.Open(filepath.Join(dir, PIDFile))
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return v, fmt.Errorf("%s: %w", f.Name(), err)
	}
	v.State = Stale
	if lock.Type != unix.F_UNLCK {
		v.State = Running
	}
	var text [32]byte
	n, _ := f.Read(text[:])
	v.PID, _ = strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return v, nil
}

// All looks at the VMs in every directory of Search, those of the first with a name
// only.
func All() ([]Found, error) {
	var found []Found
	seen := map[string]bool{}
	for _, base := range Search() {
		names, err := List(base)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			v, err := Look(filepath.Join(base, name))
			if err != nil {
				return nil, err
			}
			if !seen[name] {
				seen[name], found = true, append(found, v)
			}
		}
	}
	return found, nil
}
