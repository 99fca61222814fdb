// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
)

// Config is a machine's driver and how it is reached.
type Config struct {
	Name    string                      // as System.Name says
	Program string                      // the puppet
	Device  func(context string) string // the device node of a context
	Has     []bindertest.Feature
	Pool    *Pool        // processes of earlier Systems to use again; nil: none
	Turns   *Turns       // nil: it is the scheduler that decides which of several threads runs
	Listen  bool         // to the driver's failure reports
	Left    func() error // says what the driver still holds when no process is left; nil: nothing to look at
}

// System is a bindertest.System: this machine.
type System struct {
	name, program string
	kernel        string
	device        func(string) string
	has           []bindertest.Feature
	left          func() error
	pool          *Pool

	null      *os.File
	load      procFile
	alone     func(loadavg []byte, err error) (bool, error)
	processes map[uint32]*process // by pid
	files     bool                // files besides binder's are in play
	reports   *reports
	turns     *Turns
	buf       []byte
}

var _ bindertest.System = (*System)(nil)

// New makes a System without a process.
func New(c Config) (*System, error) {
	release, err := Kernel()
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &System{
		name: c.Name, program: c.Program, kernel: release, device: c.Device, has: c.Has, left: c.Left, pool: c.Pool,
		null: null, load: procFile{path: "/proc/loadavg", fd: -1}, alone: alone, processes: map[uint32]*process{},
		turns: c.Turns,
	}
	if c.Listen {
		s.reports, err = listenReports()
	}
	return s, err
}

// Kernel is this machine's release, up to its minor.
func Kernel() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	if len(parts) < 3 {
		return "", fmt.Errorf("puppet: what kernel is %q?", u.Release)
	}
	return parts[0] + "." + parts[1], nil
}

func (s *System) Name() string                  { return s.name }
func (s *System) Kernel() string                { return s.kernel }
func (s *System) Has(f bindertest.Feature) bool { return slices.Contains(s.has, f) }

// Reports returns what has come since the last time.
func (s *System) Reports() ([]bindertest.Report, error) { return s.reports.take() }

// Spawn starts a process.
func (s *System) Spawn(a bindertest.Attr) (bindertest.Process, error) {
	p, err := s.pool.take(s, a)
	if p == nil && err == nil {
		p, err = s.spawn(a)
	}
	if err != nil {
		return nil, fmt.Errorf("puppet: spawn: %w", err)
	}
	s.processes[p.PID()] = p
	return p, nil
}

// Close ends the processes, or keeps them for the next System, and looks at what the
// driver still has.
func (s *System) Close() error {
	var errs []error
	for _, p := range s.processes {
		if !s.pool.put(p) {
			errs = append(errs, p.end())
		}
	}
	clear(s.processes)
	errs = append(errs, s.Settle())
	if s.left != nil && errors.Join(errs...) == nil {
		errs = append(errs, s.left())
	}
	s.load.close()
	errs = append(errs, s.reports.close(), s.null.Close())
	return errors.Join(errs...)
}
