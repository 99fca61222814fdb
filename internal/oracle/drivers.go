// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
	"virtbinder/driver/bindertest/puppet"
)

// Names of the systems, as bindertest.System has them.
const (
	ours  = "virtbinder"
	stock = "stock"
)

// contexts are what the scenarios use. The stock driver's devices have a k in front.
var contexts = []string{"binder", "hwbinder", "vndbinder"}

const (
	stockModule = "/lib/modules/stock/binder_linux.ko"
	stockStats  = "/sys/kernel/debug/binder/stats"
)

// loadStock inserts the kernel's own driver under its other names. What it logs about
// its users' errors is not kept: it is many lines, and what they see is the transcript.
func loadStock() error {
	f, err := os.Open(stockModule)
	if err != nil {
		return err
	}
	defer f.Close()
	params := "debug_mask=0 devices=k" + strings.Join(contexts, ",k")
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s %s: %w", stockModule, params, err)
	}
	for _, c := range contexts {
		if err := os.Chmod("/dev/k"+c, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// loadPolicy has SELinux deny what the lsm scenarios need denied. Until then it gives
// no process a label of its own.
func loadPolicy() error {
	const at = "/sys/fs/selinux"
	policy, err := os.ReadFile("/policy")
	if err != nil {
		return err
	}
	if err := unix.Mount("selinuxfs", at, "selinuxfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	return os.WriteFile(at+"/load", policy, 0)
}

// features are those that this machine has with a driver.
func features(name string) []bindertest.Feature {
	if name == stock {
		return stockFeatures()
	}
	return ourFeatures
}

// newSystem makes the machine with one of its two drivers, for what is asked of it.
func (g *guest) newSystem(name string, has []bindertest.Feature) (*puppet.System, error) {
	c := puppet.Config{
		Name: name, Program: g.program, Pool: g.pool, Turns: g.turns, Has: has, Listen: slices.Contains(has, bindertest.Reports),
		Device: func(context string) string { return "/dev/" + context },
	}
	if name == stock {
		c.Device = func(context string) string { return "/dev/k" + context }
		c.Left = stockLeft
	}
	return puppet.New(c)
}

var ourFeatures = []bindertest.Feature{
	bindertest.FreezeNotice, bindertest.PendingFrozen, bindertest.Namespaces, bindertest.Signals, bindertest.Files,
	bindertest.SecurityContext, bindertest.LSM, bindertest.Fork, bindertest.Freezers, bindertest.Compat, bindertest.Exec,
	bindertest.Held, bindertest.DyingTarget, bindertest.Reports,
}

// stockFeatures are those of this kernel's driver.
func stockFeatures() []bindertest.Feature {
	all := []bindertest.Feature{bindertest.Namespaces, bindertest.Signals, bindertest.Files, bindertest.SecurityContext, bindertest.LSM, bindertest.Fork,
		bindertest.Freezers, bindertest.Compat, bindertest.Exec, bindertest.Held}
	if kernelAtLeast("6.2") {
		all = append(all, bindertest.PendingFrozen)
	}
	if kernelAtLeast("6.12") {
		all = append(all, bindertest.FreezeNotice)
	}
	return all
}

// kernelAtLeast compares this machine's kernel with a release.
func kernelAtLeast(release string) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	return !older(unix.ByteSliceToString(u.Release[:]), release)
}

// older compares releases by major and minor.
func older(a, b string) bool {
	var aMajor, aMinor, bMajor, bMinor int
	_, _ = fmt.Sscanf(a, "%d.%d", &aMajor, &aMinor)
	_, _ = fmt.Sscanf(b, "%d.%d", &bMajor, &bMinor)
	return aMajor < bMajor || aMajor == bMajor && aMinor < bMinor
}

// stockLeft says what the stock driver counts when nobody uses it any more.
func stockLeft() error {
	text, err := os.ReadFile(stockStats)
	if err != nil {
		return err
	}
	return leftIn(string(text))
}

// leftIn looks for "KIND: active N total M" with N not 0.
func leftIn(stats string) error {
	var left []string
	for line := range strings.Lines(stats) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), ": active ")
		var active, total int
		if n, _ := fmt.Sscanf(rest, "%d total %d", &active, &total); n == 2 && active != 0 {
			left = append(left, fmt.Sprintf("%s %d", kind, active))
		}
	}
	if left != nil {
		return fmt.Errorf("the stock driver still has: %s", strings.Join(left, ", "))
	}
	return nil
}
