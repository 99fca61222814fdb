// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"virtbinder/internal/rundir"
	"virtbinder/netlink"
	"virtbinder/vmm"
)

const (
	maxVMs     = 64
	maxDevices = 24 // disks, networks and consoles of a VM together: there are 31 PCI slots
	maxHostCPU = 8192
	maxCID     = 1<<32 - 2
	maxTimeout = Duration(24 * time.Hour)
	maxPoll    = Duration(10 * time.Millisecond) // longer, it is no wait but a load
)

// checker gathers what is wrong.
type checker struct{ errs []error }

func (k *checker) fail(field, format string, args ...any) {
	k.errs = append(k.errs, &Error{Field: field, Text: fmt.Sprintf(format, args...)})
}

// among checks a word.
func among[T ~string](k *checker, field string, value T, known ...T) {
	if slices.Contains(known, value) {
		return
	}
	words := make([]string, len(known))
	for i, w := range known {
		words[i] = string(w)
	}
	k.fail(field, "%q: want %s", value, strings.Join(words, ", "))
}

// within checks a number.
func within[T int | Size | Duration](k *checker, field string, value, least, most T) {
	if value < least || value > most {
		k.fail(field, "%v: from %v to %v", value, least, most)
	}
}

func (c *Config) check() error {
	k := &checker{}
	if len(c.VMs) == 0 {
		k.fail("vms", "there is none: describe a machine")
	}
	if len(c.VMs) > maxVMs {
		k.fail("vms", "%d of them: at most %d in one process", len(c.VMs), maxVMs)
	}
	names, terminals := map[string]int{}, 0
	for i := range c.VMs {
		vm, at := &c.VMs[i], fmt.Sprintf("vms[%d]", i)
		k.vm(at, vm)
		if other, taken := names[vm.Name]; taken {
			k.fail(at+".name", "%q is the name of vms[%d] too", vm.Name, other)
		}
		names[vm.Name] = i
		for j, con := range vm.Consoles {
			if con.To != Stdio {
				continue
			}
			if terminals++; terminals == 2 {
				k.fail(fmt.Sprintf("%s.consoles[%d].to", at, j), "a second console leads to stdio: there is one terminal")
			}
		}
	}
	k.core(&c.Core)
	k.log(&c.Log)
	return errors.Join(k.errs...)
}

func (k *checker) core(c *Core) {
	if c.Label == "" {
		k.fail("core.label", "is empty")
	}
	l := &c.Limits
	for _, f := range []struct {
		name  string
		value int
	}{
		{"contexts", l.Contexts}, {"processes", l.Processes}, {"threads", l.Threads}, {"nodes", l.Nodes}, {"refs", l.Refs},
		{"buffers", l.Buffers}, {"transactions", l.Transactions}, {"completions", l.Completions}, {"notices", l.Notices},
		{"share", l.Share}, {"depth", l.Depth}, {"label", l.Label},
	} {
		within(k, "core.limits."+f.name, f.value, 1, 1<<24)
	}
	within(k, "core.limits.window", l.Window, 4<<10, 4<<20)
}

func (k *checker) log(l *Log) {
	among(k, "log.format", l.Format, Text, JSON)
	for _, name := range slices.Sorted(maps.Keys(l.Levels)) {
		if !slices.Contains(Components, name) {
			k.fail("log.levels."+name, "there is no such component; there are %s", strings.Join(Components, ", "))
		}
	}
}

func (k *checker) vm(at string, vm *VM) {
	if err := rundir.CheckName(vm.Name); err != nil {
		k.fail(at+".name", "%v", err)
	}
	k.boot(at, vm)
	within(k, at+".memory", vm.Memory, vmm.MinMemory, vmm.MaxMemory)
	if vm.Memory%(2<<20) != 0 {
		k.fail(at+".memory", "%v: give a multiple of 2M", vm.Memory)
	}
	within(k, at+".cpus", vm.CPUs, 1, vmm.MaxCPUs)
	k.affinity(at+".affinity", vm)
	for i := range vm.Disks {
		k.disk(fmt.Sprintf("%s.disks[%d]", at, i), &vm.Disks[i])
	}
	for i := range vm.Net {
		k.net(fmt.Sprintf("%s.net[%d]", at, i), &vm.Net[i])
	}
	k.consoles(at+".consoles", vm.Consoles)
	if n := len(vm.Disks) + len(vm.Net) + len(vm.Consoles); n > maxDevices {
		k.fail(at, "%d disks, networks and consoles: at most %d", n, maxDevices)
	}
	if vm.Vsock.Enabled && (vm.Vsock.CID < FirstGuestCID || vm.Vsock.CID > maxCID) {
		k.fail(at+".vsock.cid", "%d: a guest's vsock address is from %d to %d", vm.Vsock.CID, FirstGuestCID, int64(maxCID))
	}
	k.binder(at+".binder", &vm.Binder)
	if _, err := netlink.ParseWant(vm.Netlink.Reports); err != nil {
		k.fail(at+".netlink.reports", "%v", err)
	}
	within(k, at+".timeouts.stop", vm.Timeouts.Stop, 0, maxTimeout)
	within(k, at+".timeouts.panic", vm.Timeouts.Panic, 0, maxTimeout)
}

func (k *checker) boot(at string, vm *VM) {
	switch a := vm.Android; {
	case a == nil && vm.Kernel == "":
		k.fail(at+".kernel", "no kernel is given: name a bzImage or vmlinux, or Android images")
	case a != nil && vm.Kernel != "":
		k.fail(at+".kernel", "given together with android.boot: the kernel is in that image; give one of them")
	case a != nil && a.Boot == "":
		k.fail(at+".android.boot", "no image is given")
	}
	if strings.ContainsAny(vm.Cmdline, "\x00\n") {
		k.fail(at+".cmdline", "a zero byte or a line break is in it")
	}
}

func (k *checker) affinity(at string, vm *VM) {
	if len(vm.Affinity) > vm.CPUs {
		k.fail(at, "%d lists for %d vCPUs", len(vm.Affinity), vm.CPUs)
	}
	for i, set := range vm.Affinity {
		for _, cpu := range set {
			if cpu < 0 || cpu >= maxHostCPU {
				k.fail(fmt.Sprintf("%s[%d]", at, i), "%d is no number of a host CPU", cpu)
			}
		}
	}
}

func (k *checker) disk(at string, d *Disk) {
	if d.Path == "" {
		k.fail(at+".path", "is missing")
	}
}

func (k *checker) net(at string, n *Net) {
	ways := 0
	for _, given := range []bool{n.Tap != "", n.TapFD != nil, n.User != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		k.fail(at, "%d of tap, tap_fd and user are given: give one", ways)
	}
	if len(n.Tap) >= 16 || strings.ContainsAny(n.Tap, "/ \x00") {
		k.fail(at+".tap", "%q is no name of a network interface", n.Tap)
	}
	if n.TapFD != nil && *n.TapFD < 3 {
		k.fail(at+".tap_fd", "%d: give a file descriptor from 3", *n.TapFD)
	}
	if n.User != nil {
		for i := range n.User.Forwards {
			k.forward(fmt.Sprintf("%s.user.forwards[%d]", at, i), &n.User.Forwards[i])
		}
	}
	if hw, err := net.ParseMAC(n.MAC); n.MAC != "" && (err != nil || len(hw) != 6 || hw[0]&1 != 0) {
		k.fail(at+".mac", "%q: want six bytes that are no group address, as 52:54:00:12:34:56", n.MAC)
	}
}

func (k *checker) forward(at string, f *Forward) {
	among(k, at+".proto", f.Proto, "tcp", "udp")
	if addr, err := netip.ParseAddrPort(f.Host); err != nil || addr.Port() == 0 {
		k.fail(at+".host", "%q: want ADDRESS:PORT, as 127.0.0.1:8080", f.Host)
	}
	if f.Guest == 0 {
		k.fail(at+".guest", "give a port from 1 to 65535")
	}
}

func (k *checker) consoles(at string, all []Console) {
	serials := 0
	for i, c := range all {
		at := fmt.Sprintf("%s[%d]", at, i)
		among(k, at+".type", c.Type, Serial, HVC)
		among(k, at+".to", c.To, Stdio, None, PTY, File, Unix)
		switch c.To {
		case File, Unix:
			if c.Path == "" {
				k.fail(at+".path", "is missing: %s leads to one", c.To)
			}
		case Stdio, None:
			if c.Path != "" {
				k.fail(at+".path", "%s leads to no path", c.To)
			}
		}
		if c.Type == Serial {
			if serials++; serials == 2 {
				k.fail(at+".type", "a second serial console: there is one serial port, use hvc")
			}
		}
	}
}

func (k *checker) binder(at string, b *Binder) {
	among(k, at+".doorbell", b.Doorbell, Inline, Worker)
	within(k, at+".poll", b.Poll, 0, maxPoll)
	within(k, at+".window", b.Window, 4<<20, 1<<40)
	if b.Window%4096 != 0 || b.Committed%4096 != 0 {
		k.fail(at+".window", "%v, committed %v: give multiples of 4K", b.Window, b.Committed)
	}
	within(k, at+".committed", b.Committed, 4<<20, 1<<40)
}
