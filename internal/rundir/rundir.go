// SPDX-License-Identifier: Apache-2.0

// Package rundir says where the runtime files of a running VM are.
//
// Every VM has one directory, Base()/NAME, made when the VM starts. When
// it ends only the logs stay there, until the next VM of that name:
//
//	vsock.sock    hybrid vsock: the way to the guest's agent
//	reports.sock  failure reports over a unix socket (mode c)
//	api.sock      the VM's control API (package vmm/api)
//	journal.sock  the same with more: virtbinder's own channel (package journal)
//	netlink.json  where this VM's failure reports go, and how
//	console.log   what the guest's serial console printed
//	hvc0.log      what the first virtio console printed, and so on
//	vmm.log       what the VMM logged
//	pid           the VMM's process id; locked for as long as that lives (lock.go)
//
// The directories may be listed by everyone, so that an ordinary user's monitor
// finds the VMs of a VMM that runs as root; what may be opened is decided by
// each file's own mode.
package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Names of the files in a VM's directory.
const (
	VsockSocket   = "vsock.sock"
	ReportsSocket = "reports.sock"
	APISocket     = "api.sock"
	JournalSocket = "journal.sock"
	NetlinkFile   = "netlink.json"
	ConsoleLog    = "console.log"
	VMMLog        = "vmm.log"
	PIDFile       = "pid"
)

const (
	envVar     = "VIRTBINDER_RUNTIME_DIR"
	systemBase = "/run/virtbinder"
	// maxName keeps Base()/NAME/reports.sock within the 107 bytes of a unix
	// socket's address for every usual Base.
	maxName = 48
)

// HVCLog is the file with what a virtio console printed.
func HVCLog(index int) string { return fmt.Sprintf("hvc%d.log", index) }

// Base is the directory that holds the VMs' directories:
// $VIRTBINDER_RUNTIME_DIR, else /run/virtbinder for root, else
// $XDG_RUNTIME_DIR/virtbinder, else a directory of this user in the temporary
// directory. It need not exist.
func Base() string {
	return baseFor(os.Getenv(envVar), os.Getenv("XDG_RUNTIME_DIR"), os.Getuid())
}

func baseFor(env, xdg string, uid int) string {
	switch {
	case env != "":
		return env
	case uid == 0:
		return systemBase
	case xdg != "":
		return filepath.Join(xdg, "virtbinder")
	default:
		return filepath.Join(os.TempDir(), fmt.Sprintf("virtbinder-%d", uid))
	}
}

// VM is the directory of the VM called name. It does not check the name; see
// CheckName.
func VM(name string) string { return filepath.Join(Base(), name) }

// Search lists the directories in which a tool should look for running VMs:
// Base first, then the system's, so that an ordinary user sees VMs of root.
// $VIRTBINDER_RUNTIME_DIR, when set, is the only one.
func Search() []string {
	base := Base()
	if os.Getenv(envVar) != "" || base == systemBase {
		return []string{base}
	}
	return []string{base, systemBase}
}

// CheckName says whether name may name a VM: 1 to 48 letters, digits, '.', '_'
// and '-', not beginning with '.' or '-'. The name is a directory's name and
// part of report contexts (binder@NAME), hence the small alphabet.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("VM name is empty: give it 1 to 48 letters, digits, '.', '_' or '-'")
	case len(name) > maxName:
		return fmt.Errorf("VM name %q is %d characters long: at most %d", name, len(name), maxName)
	case name[0] == '.' || name[0] == '-':
		return fmt.Errorf("VM name %q begins with %q: begin with a letter or digit", name, name[0])
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !nameRune(r) }); i >= 0 {
		return fmt.Errorf("VM name %q: only letters, digits, '.', '_' and '-' may be used", name)
	}
	return nil
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		r == '.' || r == '_' || r == '-'
}

// Create makes the directory of the VM called name and returns its path. That
// it exists already is not an error; whether another VMM uses it is told by the
// sockets in it.
func Create(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	dir := VM(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("runtime directory of VM %s: %w: set %s to a directory that you may write", name, err, envVar)
	}
	return dir, nil
}

// List names the VMs that have a directory in base, running or not.
func List(base string) ([]string, error) {
	entries, err := os.ReadDir(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
