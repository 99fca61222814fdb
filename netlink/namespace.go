// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Answer is yes, no, or unknown.
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// Namespace says in which network and user namespace this process is. Reports
// multicast outside the host's initial network namespace reach nobody on the
// host, and the send succeeds nevertheless.
type Namespace struct {
	Net         string `json:"net"`          // as /proc/self/ns/net has it
	User        string `json:"user"`         // as /proc/self/ns/user has it
	InitialNet  Answer `json:"initial_net"`  // is it the host's own?
	InitialUser Answer `json:"initial_user"` // is it the host's own?
}

// Numbers that the kernel reserves for its initial namespaces: that of the user
// namespace always, that of the network namespace since 6.18.
const (
	initialUserNS = "user:[4026531837]"
	initialNetNS  = "net:[4026531833]"
)

// CurrentNamespace looks at this process.
func CurrentNamespace() Namespace { return namespaceIn("/proc") }

func namespaceIn(proc string) Namespace {
	ns := Namespace{InitialNet: Unknown, InitialUser: Unknown}
	ns.Net, _ = os.Readlink(filepath.Join(proc, "self/ns/net"))
	ns.User, _ = os.Readlink(filepath.Join(proc, "self/ns/user"))
	if ns.User != "" {
		ns.InitialUser = answer(ns.User == initialUserNS)
	}
	switch {
	case ns.Net == initialNetNS:
		ns.InitialNet = Yes
	case exists(filepath.Join(proc, "sys/net/core")):
		// This setting is registered for the initial namespace alone, on every
		// kernel; in others the directory is there without it.
		ns.InitialNet = answer(exists(filepath.Join(proc, "sys/net/core/netdev_max_backlog")))
	}
	return ns
}

func answer(b bool) Answer {
	if b {
		return Yes
	}
	return No
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Warning says in words what is wrong with multicasting from here, or "".
func (n Namespace) Warning() string {
	if n.InitialNet != No {
		return ""
	}
	return fmt.Sprintf("this process is in its own network namespace (%s), not the host's: netlink reports reach only listeners inside it; "+
		"start virtbinder in the host's network namespace, or listen on its unix socket", n.Net)
}

// refusal says why generic netlink cannot be had, and what to do.
func (n Namespace) refusal(err error) string {
	if !errors.Is(err, unix.EPERM) {
		return fmt.Sprintf("generic netlink cannot be used: %v", err)
	}
	if n.InitialUser == No && n.InitialNet != No {
		return fmt.Sprintf("no right to multicast (%v): this process is in a user namespace of its own (%s), whose CAP_NET_ADMIN does not count "+
			"for the host's network: start virtbinder outside of it", err, n.User)
	}
	return fmt.Sprintf("no right to multicast (%v): start virtbinder with CAP_NET_ADMIN, for example as root", err)
}

// HostBinderDevices lists what shows that the host's own kernel serves binder
// devices: device names, or mounted binder file systems. Empty means that none
// was found.
func HostBinderDevices() []string { return hostBinderDevices("/proc", "/sys") }

func hostBinderDevices(proc, sys string) []string {
	var found []string
	for _, module := range []string{"binder", "binder_linux", "rust_binder"} {
		b, err := os.ReadFile(filepath.Join(sys, "module", module, "parameters/devices"))
		if err != nil {
			continue
		}
		for _, name := range strings.Split(strings.TrimSpace(string(b)), ",") {
			if name = strings.Trim(name, "\x00 "); name != "" && name != "(null)" {
				found = append(found, "/dev/"+name)
			}
		}
	}
	for _, who := range []string{"self", "1"} {
		b, _ := os.ReadFile(filepath.Join(proc, who, "mountinfo"))
		for _, point := range binderMounts(string(b)) {
			found = append(found, "binderfs on "+point)
		}
	}
	return dedupe(found)
}

// binderMounts lists the mount points of type binder in a mountinfo file.
func binderMounts(mountinfo string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		mount, source, ok := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if ok && len(fields) > 4 && strings.HasPrefix(source, "binder ") {
			points = append(points, fields[4])
		}
	}
	return points
}

func dedupe(in []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range in {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
