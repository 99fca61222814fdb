// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"virtbinder/internal/rundir"
)

// consoleTarget says where the console leads.
type consoleTarget int

const (
	consoleStdio consoleTarget = iota
	consoleFile
	consoleNone
)

// firstGuestCID is the least vsock address of a guest; 0 to 2 are taken.
const firstGuestCID = 3

// resolve checks the command line. Errors name the flag.
func (c *Cmd) resolve() (VM, error) {
	vm := VM{
		Name: c.Name, CID: c.CID, CPUs: c.CPUs, Inline: c.Doorbell != "worker", Log: slog.Default(),
		kernel: c.Kernel, initrd: c.Initrd, cmdline: c.Cmdline,
	}
	if err := rundir.CheckName(c.Name); err != nil {
		return VM{}, fmt.Errorf("--name: %w", err)
	}
	if c.CID < firstGuestCID || c.CID == 1<<32-1 {
		return VM{}, fmt.Errorf("--cid %d: a guest's vsock address is 3 or more", c.CID)
	}
	var err error
	if vm.Memory, err = parseSize(c.Memory); err != nil {
		return VM{}, fmt.Errorf("--memory %q: %w", c.Memory, err)
	}
	if vm.where, vm.consPath, err = parseConsole(c.Console); err != nil {
		return VM{}, fmt.Errorf("--console %q: %w", c.Console, err)
	}
	return vm, nil
}

// parseSize reads a size: a number with K, M, G or T (binary; "iB" or "B" may
// follow), or a bare number of MiB.
func parseSize(s string) (uint64, error) {
	units := map[byte]uint{'K': 10, 'M': 20, 'G': 30, 'T': 40}
	digits := strings.TrimRight(s, "kKmMgGtTiB")
	unit := strings.ToUpper(s[len(digits):])
	shift := uint(20)
	switch {
	case unit == "":
	case unit == unit[:1], unit[1:] == "B", unit[1:] == "IB":
		var known bool
		if shift, known = units[unit[0]]; !known {
			return 0, fmt.Errorf("unknown unit %q: use K, M, G or T", s[len(digits):])
		}
	default:
		return 0, fmt.Errorf("unknown unit %q: use K, M, G or T", s[len(digits):])
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("want a number and a unit, as 512M or 2G")
	}
	if n > (1<<63)>>shift {
		return 0, fmt.Errorf("too large")
	}
	return n << shift, nil
}

func parseConsole(s string) (where consoleTarget, path string, err error) {
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		if path == "" {
			return 0, "", fmt.Errorf("the path is missing: file:PATH")
		}
		return consoleFile, path, nil
	}
	switch s {
	case "stdio":
		return consoleStdio, "", nil
	case "none":
		return consoleNone, "", nil
	}
	return 0, "", fmt.Errorf("want stdio, file:PATH or none")
}
