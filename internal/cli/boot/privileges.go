// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"log/slog"

	"virtbinder/internal/jail"
)

// closeIn ends set-up: what the machines need of the host is open by now, the netlink
// sockets of their reports and /dev/kvm included. Capabilities go in any case, the
// rest with the jail.
func (c *Cmd) closeIn(dirs []string, log *slog.Logger) error {
	if !c.Sandbox {
		log.Warn("no jail: seccomp and Landlock are switched off (--no-sandbox)")
		return jail.DropCapabilities()
	}
	s, err := jail.Enter(jail.Rules{Dirs: dirs, Read: hostFacts})
	if err != nil {
		return err
	}
	if s.Landlock == 0 {
		log.Warn("this kernel has no Landlock: the jail does not keep files out of reach, only system calls")
	}
	log.Info("jailed: no capability is left", "landlock", s.Landlock, "syscalls", s.Calls)
	return nil
}

// hostFacts are what package netlink looks at while the machine runs: whether the host
// has binder devices of its own, and where this process is.
var hostFacts = []string{
	"/proc/self/mountinfo", "/proc/1/mountinfo", "/proc/self/ns", "/proc/sys/net/core",
	"/sys/module/binder", "/sys/module/binder_linux", "/sys/module/rust_binder",
}

// vcpuJail closes the thread of a virtual processor in further.
func (c *Cmd) vcpuJail() func() error {
	if !c.Sandbox {
		return nil
	}
	return jail.EnterVCPU
}
