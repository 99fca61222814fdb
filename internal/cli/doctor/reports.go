// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// probeNetlink makes an emitter as a VMM would, looks at what it chose, and
// sends nothing.
func probeNetlink() (netlink.Status, error) {
	e, err := netlink.NewEmitter(netlink.Options{VM: "doctor"})
	if err != nil {
		return netlink.Status{}, err
	}
	defer e.Close()
	st := e.Status()
	if st.Mode == netlink.ModeNone { // a machine has its unix socket besides
		st.Mode, st.Warning = netlink.ModeUnix, ""
	}
	return st, nil
}

// checkNetlink says how failure reports would leave a VMM started here.
func (m machine) checkNetlink(r *Report) {
	st, err := m.netlink()
	if err != nil {
		r.add(Check{"netlink", Warn, err.Error(), "reports will be on each VM's unix socket only"})
		return
	}
	r.Reports = &st
	mode := modeCheck(&st)
	if !r.Direct && mode.Verdict == Warn {
		// In the lab the VMM is root on a host of its own.
		mode.Verdict = Note
		mode.Text += " (inside the lab it is free to choose)"
	}
	r.add(mode)
	r.add(namespaceCheck(st.Namespace))
	if d := m.hostDevices(); len(d) > 0 {
		r.add(Check{"host binder", Note, "the host's own kernel serves " + strings.Join(d, ", ") + ": reports of VMs keep qualified contexts (binder@NAME)", ""})
	}
}

func modeCheck(st *netlink.Status) Check {
	switch st.Mode {
	case netlink.ModeGenuine:
		return Check{"netlink", OK, fmt.Sprintf("mode a: reports go to the kernel's binder family (id %d), group %d", st.Family, st.Group), ""}
	case netlink.ModeFallback:
		return Check{"netlink", OK, fmt.Sprintf("mode a': reports go to generic netlink group %d: %s", st.Group, st.Why), ""}
	}
	return Check{"netlink", Warn, "mode c: reports go to each VM's unix socket only: " + st.Why, ""}
}

func namespaceCheck(ns netlink.Namespace) Check {
	text := fmt.Sprintf("%s, %s", ns.Net, ns.User)
	switch {
	case ns.InitialNet == netlink.No:
		return Check{"namespaces", Warn, text + ": the network namespace is not the host's, so netlink reports do not reach it", "start virtbinder outside the container"}
	case ns.InitialUser == netlink.No:
		return Check{"namespaces", Warn, text + ": the user namespace is not the host's, so its privileges do not count for netlink", "start virtbinder outside of it"}
	case ns.InitialNet == netlink.Unknown:
		return Check{"namespaces", Note, "whether this is the host's network namespace cannot be told (" + text + ")", ""}
	}
	return Check{"namespaces", OK, "the host's own", ""}
}

// checkRuntime looks at the runtime directory and at the VMs in it.
func (m machine) checkRuntime(r *Report) {
	c := Check{"runtime dir", OK, m.runBase, ""}
	if err := writable(m.runBase); err != nil {
		c = Check{"runtime dir", Fail, fmt.Sprintf("%s cannot be used: %v", m.runBase, err), "set VIRTBINDER_RUNTIME_DIR to a directory that you may write"}
		if !r.Direct {
			c.Verdict = Warn
		}
	}
	r.add(c)
	for _, base := range m.runSearch {
		checkVMs(r, base)
	}
}

// writable reports whether dir, or the nearest directory above that exists, may
// be written.
func writable(dir string) error {
	for {
		st, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return err
		}
		if !st.IsDir() {
			return fmt.Errorf("%s is no directory", dir)
		}
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		return nil
	}
}

// checkVMs has a line for each VM that has published its mode.
func checkVMs(r *Report, base string) {
	names, err := rundir.List(base)
	if err != nil {
		r.add(Check{"running VMs", Warn, err.Error(), ""})
	}
	for _, name := range names {
		st, err := netlink.ReadStatus(filepath.Join(base, name, rundir.NetlinkFile))
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			r.add(Check{"VM " + name, Warn, err.Error(), ""})
		default:
			r.add(vmCheck(name, &st))
			r.VMs = append(r.VMs, VM{name, alive(st.PID), st})
		}
	}
}

func vmCheck(name string, st *netlink.Status) Check {
	if !alive(st.PID) {
		return Check{"VM " + name, Note, fmt.Sprintf("not running; its process %d left its files behind", st.PID), ""}
	}
	c := Check{"VM " + name, OK, fmt.Sprintf("process %d, reports in mode %s: %s", st.PID, st.Mode, st.Mode.Describe()), ""}
	if st.Warning != "" {
		c.Verdict, c.Text = Warn, c.Text+"; "+st.Warning
	}
	if n := st.Dropped + st.SendErrors; n > 0 {
		c.Verdict, c.Text = Warn, c.Text+fmt.Sprintf("; %d reports were lost", n)
	}
	return c
}

func (r *Report) add(c Check) { r.Checks = append(r.Checks, c) }

// alive reports whether a process has this id; one that may not be signalled has.
func alive(pid int) bool {
	return pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
