// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"log/slog"
	"slices"

	"virtbinder/internal/config"
	"virtbinder/internal/jail"
)

// closeIn ends set-up: what the machines need of the host is open by now, the netlink
// sockets of their reports and /dev/kvm included. Capabilities go in any case, the
// rest with the jail.
func closeIn(cfg *config.Config, dirs []string, log *slog.Logger) error {
	if !cfg.Sandbox {
		log.Warn("no jail: seccomp and Landlock are switched off (--no-sandbox)")
		return jail.DropCapabilities()
	}
	rules := jail.Rules{Dirs: dirs, Read: hostFacts, Network: usesNetwork(cfg)}
	if rules.Network {
		rules.Read = slices.Concat(hostFacts, resolverFiles)
	}
	s, err := jail.Enter(rules)
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

// resolverFiles are what names are looked up by, for the guest of a user-mode network.
var resolverFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services"}

// usesNetwork says whether a guest's connections are made by this process.
func usesNetwork(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.VMs, func(vm config.VM) bool {
		return slices.ContainsFunc(vm.Net, func(n config.Net) bool { return n.User != nil })
	})
}

// vcpuJail closes the thread of a virtual processor in further.
func vcpuJail(cfg *config.Config) func() error {
	if !cfg.Sandbox {
		return nil
	}
	return jail.EnterVCPU
}
