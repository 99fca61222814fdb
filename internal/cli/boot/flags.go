// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"virtbinder/internal/config"
)

// vmFlags are those that describe one machine. What is nil was not given.
type vmFlags struct {
	Kernel        *string          `short:"k" placeholder:"FILE" help:"Kernel to boot: a bzImage (a distribution's vmlinuz) or an uncompressed vmlinux."`
	Initrd        *string          `short:"i" placeholder:"FILE" help:"Initial RAM file system: a cpio archive, bare or compressed."`
	AndroidBoot   *string          `placeholder:"FILE" help:"Android boot image, instead of --kernel."`
	VendorBoot    *string          `placeholder:"FILE" help:"Android vendor_boot image that goes with it."`
	Cmdline       *string          `short:"p" placeholder:"TEXT" help:"Kernel command line; 'console=ttyS0 panic=-1' if not given."`
	Memory        *config.Size     `short:"m" placeholder:"SIZE" help:"Guest memory, as 512M or 2G; 1G if not given."`
	CPUs          *int             `short:"c" name:"cpus" placeholder:"N" help:"Number of vCPUs; 1 if not given."`
	Affinity      []string         `sep:"none" placeholder:"CPUS" help:"Host CPUs of a vCPU, as 0,2-3; the first is vCPU 0's, and so on."`
	Disk          []string         `short:"d" sep:"none" placeholder:"FILE[,readonly][,direct]" help:"A disk: an image or a block device."`
	Tap           []string         `short:"t" sep:"none" placeholder:"NAME" help:"A network device on a tap interface."`
	Net           []string         `sep:"none" placeholder:"WHERE[,mac=..]" help:"A network device: tap=NAME, fd=N (an inherited tap) or user, the last with forward=PROTO:HOST:PORT:GUESTPORT."`
	Console       []string         `sep:"none" placeholder:"[TYPE=]TO" help:"A console. TYPE is serial (if not given) or hvc; TO is stdio, none, pty[:LINK], file:PATH or unix:PATH. The serial one leads to stdio if not given; the console log in the runtime directory gets its output in any case."`
	Entropy       *bool            `negatable:"" help:"A virtio random number device; on if not given."`
	Name          *string          `placeholder:"NAME" help:"Name of the machine, for other commands and its runtime directory; vm if not given."`
	CID           *uint32          `name:"cid" placeholder:"N" help:"The guest's vsock address; 3 if not given."`
	Doorbell      *string          `placeholder:"WHO" help:"Who serves a device's queues: inline, the vCPU that kicks (if not given); worker, a thread per queue."`
	Reports       *string          `placeholder:"WHERE" help:"Where failure reports go besides the unix socket in the runtime directory: auto, the kernel's binder netlink group or the one that stands in for it (if not given); usersock, NETLINK_USERSOCK; off."`
	PlainContexts *bool            `help:"Report contexts as the guest calls them, binder instead of binder@NAME. Refused where the host has binder devices of its own."`
	StopTimeout   *config.Duration `placeholder:"TIME" help:"How long virtbinder stop waits for the guest to power off; 30s if not given."`
}

// processFlags are those of the process.
type processFlags struct {
	Sandbox   *bool   `negatable:"" help:"Close the process in once its machines are made: seccomp and Landlock; on if not given. Capabilities are given up in any case."`
	LogFormat *string `placeholder:"FORMAT" help:"Form of log lines: text (if not given) or json."`
	LogFile   *string `placeholder:"FILE" help:"Append log lines to a file instead of writing them to standard error."`
}

// resolve is what file and flags come to.
func (c *Command) resolve(levels *config.Levels) (config.Config, error) {
	cfg := config.Default()
	var file *config.Source
	if c.Config != "" {
		var err error
		if cfg, file, err = config.Load(c.Config); err != nil {
			return cfg, err
		}
	}
	if err := c.override(&cfg, levels); err != nil {
		return cfg, err
	}
	err := cfg.Resolve()
	if file != nil {
		return cfg, file.Locate(err)
	}
	return cfg, flagError(err)
}

// override puts the flags over what cfg has.
func (c *Command) override(cfg *config.Config, levels *config.Levels) error {
	set(&cfg.Sandbox, c.Sandbox)
	setWord(&cfg.Log.Format, c.LogFormat)
	set(&cfg.Log.File, c.LogFile)
	if levels != nil {
		levels.Apply(&cfg.Log)
	}
	if len(cfg.VMs) == 0 {
		cfg.VMs = []config.VM{config.DefaultVM()}
	}
	vm := cfg.VMs[0]
	given, err := c.vmFlags.override(&vm)
	switch {
	case err != nil:
		return err
	case given && len(cfg.VMs) > 1:
		return fmt.Errorf("%s describes %d machines, and flags describe one: change the file instead", c.Config, len(cfg.VMs))
	}
	cfg.VMs[0] = vm
	return nil
}

// override puts the flags over what vm has; given says whether there was any.
func (f *vmFlags) override(vm *config.VM) (given bool, err error) {
	for _, one := range []bool{
		set(&vm.Kernel, f.Kernel), set(&vm.Initrd, f.Initrd), set(&vm.Cmdline, f.Cmdline),
		set(&vm.Memory, f.Memory), set(&vm.CPUs, f.CPUs), set(&vm.Entropy, f.Entropy),
		set(&vm.Name, f.Name), set(&vm.Vsock.CID, f.CID), setWord(&vm.Binder.Doorbell, f.Doorbell),
		set(&vm.Netlink.Reports, f.Reports), set(&vm.Netlink.PlainContexts, f.PlainContexts), set(&vm.Timeouts.Stop, f.StopTimeout),
		f.android(vm),
	} {
		given = given || one
	}
	lists := []error{
		list(&vm.Affinity, "--affinity", f.Affinity, parseCPUs),
		list(&vm.Disks, "--disk", f.Disk, parseDisk),
		list(&vm.Net, "--net", append(taps(f.Tap), f.Net...), parseNet),
		list(&vm.Consoles, "--console", f.Console, parseConsole),
	}
	given = given || len(f.Affinity)+len(f.Disk)+len(f.Tap)+len(f.Net)+len(f.Console) > 0
	return given, errors.Join(lists...)
}

// android is set for the two images.
func (f *vmFlags) android(vm *config.VM) bool {
	if f.AndroidBoot == nil && f.VendorBoot == nil {
		return false
	}
	var a config.Android
	if vm.Android != nil {
		a = *vm.Android
	}
	set(&a.Boot, f.AndroidBoot)
	set(&a.VendorBoot, f.VendorBoot)
	vm.Android = &a
	return true
}

// set puts a flag's value in its place, if it was given.
func set[T any](to *T, value *T) bool {
	if value == nil {
		return false
	}
	*to = *value
	return true
}

// setWord is set for one of several words.
func setWord[T ~string](to *T, value *string) bool {
	if value == nil {
		return false
	}
	*to = T(*value)
	return true
}

// list puts a repeated flag's values in place of what is there.
func list[T any](to *[]T, flag string, texts []string, parse func(string) (T, error)) error {
	if len(texts) == 0 {
		return nil
	}
	*to = nil
	for _, text := range texts {
		v, err := parse(text)
		if err != nil {
			return fmt.Errorf("%s %q: %w", flag, text, err)
		}
		*to = append(*to, v)
	}
	return nil
}

func taps(names []string) []string {
	var nets []string
	for _, name := range names {
		nets = append(nets, "tap="+name)
	}
	return nets
}

// parseCPUs reads a list of processors, as 0,2-3.
func parseCPUs(s string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 13)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 13)
		}
		if err != nil || b < a {
			return nil, fmt.Errorf("%q: want numbers of host CPUs, as 0,2-3", part)
		}
		for ; a <= b; a++ {
			cpus = append(cpus, int(a))
		}
	}
	return cpus, nil
}

// parseDisk reads FILE[,readonly][,direct].
func parseDisk(s string) (config.Disk, error) {
	path, options, _ := strings.Cut(s, ",")
	d := config.Disk{Path: path}
	for option := range each(options) {
		switch option {
		case "readonly", "ro":
			d.ReadOnly = true
		case "direct":
			d.Direct = true
		default:
			return d, fmt.Errorf("%q: there are readonly and direct (a path with a comma can be given in a file, with --config)", option)
		}
	}
	return d, nil
}

// parseNet reads tap=NAME, fd=N or user, with options.
func parseNet(s string) (config.Net, error) {
	var n config.Net
	for option := range each(s) {
		key, value, _ := strings.Cut(option, "=")
		if err := netOption(&n, key, value); err != nil {
			return n, err
		}
	}
	return n, nil
}

func netOption(n *config.Net, key, value string) error {
	switch key {
	case "tap":
		n.Tap = value
	case "fd":
		fd, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("fd=%s: want a number", value)
		}
		n.TapFD = &fd
	case "user":
		n.User = &config.UserNet{}
	case "mac":
		n.MAC = value
	case "forward":
		if n.User == nil {
			return errors.New("forward goes with user, after it")
		}
		f, err := parseForward(value)
		n.User.Forwards = append(n.User.Forwards, f)
		return err
	default:
		return fmt.Errorf("%q: there are tap=, fd=, user, mac= and forward=", key)
	}
	return nil
}

// parseForward reads PROTO:HOST:PORT:GUESTPORT.
func parseForward(s string) (config.Forward, error) {
	proto, rest, _ := strings.Cut(s, ":")
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		return config.Forward{}, fmt.Errorf("forward=%s: want PROTO:HOST:PORT:GUESTPORT, as tcp:127.0.0.1:8080:80", s)
	}
	port, err := strconv.ParseUint(rest[i+1:], 10, 16)
	if err != nil {
		return config.Forward{}, fmt.Errorf("forward=%s: %q is no port of the guest", s, rest[i+1:])
	}
	return config.Forward{Proto: proto, Host: rest[:i], Guest: uint16(port)}, nil
}

// parseConsole reads [TYPE=]TO[:PATH].
func parseConsole(s string) (config.Console, error) {
	c := config.Console{Type: config.Serial}
	if kind, rest, ok := strings.Cut(s, "="); ok && !strings.Contains(kind, ":") {
		c.Type, s = config.ConsoleType(kind), rest
	}
	to, path, _ := strings.Cut(s, ":")
	c.To, c.Path = config.ConsoleTarget(to), path
	return c, nil
}

// each yields the parts of a list with commas; none of an empty one.
func each(s string) func(func(string) bool) {
	if s == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(s, ",")
}
