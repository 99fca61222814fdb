// SPDX-License-Identifier: Apache-2.0

// Package config describes the machines of one virtbinder process: what the flags
// of `virtbinder boot` and a YAML file come to. A file names fields as the JSON of
// these types does; what it leaves out takes the value that Default and DefaultVM
// give. Each error names the field, and the line of a file (Error).
//
// The types say what is wanted. Whether a path exists or a host CPU is there is
// found out by whoever opens it.
package config

import (
	"log/slog"
	"slices"
	"time"

	"virtbinder/driver"
	"virtbinder/virtio/vbinder"
)

// Config is one process: its machines, and what is the process's own.
type Config struct {
	VMs     []VM `json:"vms"`
	Core    Core `json:"core"`
	Log     Log  `json:"log"`
	Sandbox bool `json:"sandbox"` // seccomp and Landlock once everything is open
}

// VM is one machine.
type VM struct {
	Name     string    `json:"name"` // of its runtime directory, and in reports' contexts
	Kernel   string    `json:"kernel,omitempty"`
	Initrd   string    `json:"initrd,omitempty"`
	Android  *Android  `json:"android,omitempty"` // instead of kernel
	Cmdline  string    `json:"cmdline"`           // the kernel's
	Memory   Size      `json:"memory"`
	CPUs     int       `json:"cpus"`
	Affinity [][]int   `json:"affinity,omitempty"` // host CPUs of vCPU 0, 1, ...; a vCPU without may run anywhere
	Disks    []Disk    `json:"disks,omitempty"`    // vda, vdb, ...
	Net      []Net     `json:"net,omitempty"`
	Consoles []Console `json:"consoles"`
	Entropy  bool      `json:"entropy"` // a virtio random number device
	Vsock    Vsock     `json:"vsock"`
	Binder   Binder    `json:"binder"`
	Netlink  Netlink   `json:"netlink"`
	Timeouts Timeouts  `json:"timeouts"`
}

// Android is a pair of Android boot images.
type Android struct {
	Boot       string `json:"boot"`
	VendorBoot string `json:"vendor_boot,omitempty"`
}

// Disk is a block device: a raw image or a device of the host.
type Disk struct {
	Path     string `json:"path"`
	ReadOnly bool   `json:"readonly"`
	Direct   bool   `json:"direct"` // past the host's page cache
}

// Net is a network device. Exactly one of Tap, TapFD and User says where it leads.
type Net struct {
	Tap   string   `json:"tap,omitempty"`    // name of an interface
	TapFD *int     `json:"tap_fd,omitempty"` // one that this process inherited
	User  *UserNet `json:"user,omitempty"`   // a network in this process, which needs no privilege
	MAC   string   `json:"mac,omitempty"`    // made from the VM's name if empty
}

// UserNet is a user-mode network: the guest reaches out through this process.
type UserNet struct {
	Forwards []Forward `json:"forwards,omitempty"`
}

// Forward leads connections to an address of the host into the guest.
type Forward struct {
	Proto string `json:"proto"` // tcp or udp
	Host  string `json:"host"`  // ADDRESS:PORT to listen on
	Guest uint16 `json:"guest"` // port in the guest
}

// Console is one of the guest's consoles.
type Console struct {
	Type ConsoleType   `json:"type"`
	To   ConsoleTarget `json:"to"`
	Path string        `json:"path,omitempty"` // of file and unix; of pty: a symbolic link to make
}

// ConsoleType is what the guest sees.
type ConsoleType string

// Types of consoles.
const (
	Serial ConsoleType = "serial" // ttyS0; one per VM
	HVC    ConsoleType = "hvc"    // virtio console: hvc0, hvc1, ...
)

// ConsoleTarget is where a console leads. The runtime directory's console log has
// all that the serial one prints, wherever that leads.
type ConsoleTarget string

// Targets of consoles.
const (
	Stdio ConsoleTarget = "stdio" // this process's terminal; one per process
	None  ConsoleTarget = "none"
	PTY   ConsoleTarget = "pty"
	File  ConsoleTarget = "file"
	Unix  ConsoleTarget = "unix" // a socket to connect to
)

// Vsock is the guest's socket device, by which the agent in it is reached.
type Vsock struct {
	Enabled bool   `json:"enabled"`
	CID     uint32 `json:"cid"`
}

// Binder is the binder device.
type Binder struct {
	Enabled   bool     `json:"enabled"`
	Doorbell  Doorbell `json:"doorbell"`
	Poll      Duration `json:"poll"`      // how long a worker looks for more before it sleeps, at most
	Window    Size     `json:"window"`    // address space for the buffers of all processes
	Committed Size     `json:"committed"` // how much of it they may have mapped at once
}

// Doorbell says who serves a device's queues.
type Doorbell string

// Doorbells.
const (
	Inline Doorbell = "inline" // the vCPU that kicks
	Worker Doorbell = "worker" // a thread per queue
)

// Netlink says where the VM's failure reports go besides its runtime directory.
type Netlink struct {
	Reports       string `json:"reports"` // auto, usersock or off (package netlink's Want)
	PlainContexts bool   `json:"plain_contexts"`
}

// Timeouts bound waiting for the guest.
type Timeouts struct {
	Stop  Duration `json:"stop"`  // for a guest that was asked to power off, until it is ended by force
	Panic Duration `json:"panic"` // for a guest that has printed a panic to reset
}

// Core is the binder core, of which each machine has one.
type Core struct {
	Label  string `json:"label"` // security label of a process whose guest states none
	Limits Limits `json:"limits"`
}

// Limits are driver.Limits, which says what each is.
type Limits struct {
	Contexts     int  `json:"contexts"`
	Processes    int  `json:"processes"`
	Threads      int  `json:"threads"`
	Nodes        int  `json:"nodes"`
	Refs         int  `json:"refs"`
	Buffers      int  `json:"buffers"`
	Transactions int  `json:"transactions"`
	Completions  int  `json:"completions"`
	Notices      int  `json:"notices"`
	Share        int  `json:"share"`
	Depth        int  `json:"depth"`
	Label        int  `json:"label"`
	Window       Size `json:"window"`
}

// Log is the process's log.
type Log struct {
	Level  Level            `json:"level"`
	Levels map[string]Level `json:"levels,omitempty"` // by component, one of Components
	Format LogFormat        `json:"format"`
	File   string           `json:"file,omitempty"` // appended to; standard error if empty
}

// LogFormat is how a line of the log looks.
type LogFormat string

// Formats of the log.
const (
	Text LogFormat = "text"
	JSON LogFormat = "json"
)

// Components are the parts of a process whose log has a level of its own.
var Components = []string{"api", "binder", "block", "console", "entropy", "jail", "net", "netlink", "vmm", "vsock"}

// FirstGuestCID is the least vsock address of a guest; 0 to 2 are taken.
const FirstGuestCID = 3

// Default is a process without a machine.
func Default() Config {
	return Config{
		Core:    Core{Label: driver.DefaultLabel, Limits: defaultLimits()},
		Log:     Log{Level: Level(slog.LevelInfo), Format: Text},
		Sandbox: true,
	}
}

func defaultLimits() Limits {
	d := driver.DefaultLimits()
	return Limits{
		Contexts: d.Contexts, Processes: d.Processes, Threads: d.Threads, Nodes: d.Nodes, Refs: d.Refs, Buffers: d.Buffers,
		Transactions: d.Transactions, Completions: d.Completions, Notices: d.Notices, Share: d.Share, Depth: d.Depth,
		Label: d.Label, Window: Size(d.Window),
	}
}

// Driver is the limits in the core's terms.
func (l *Limits) Driver() driver.Limits {
	return driver.Limits{
		Contexts: l.Contexts, Processes: l.Processes, Threads: l.Threads, Nodes: l.Nodes, Refs: l.Refs, Buffers: l.Buffers,
		Transactions: l.Transactions, Completions: l.Completions, Notices: l.Notices, Share: l.Share, Depth: l.Depth,
		Label: l.Label, Window: uint64(l.Window),
	}
}

// DefaultVM is what a machine is unless something else is said. Consoles is empty:
// Resolve chooses.
func DefaultVM() VM {
	return VM{
		Name: "vm", Cmdline: "console=ttyS0 panic=-1", Memory: 1 << 30, CPUs: 1,
		Entropy:  true,
		Vsock:    Vsock{Enabled: true, CID: FirstGuestCID},
		Binder:   Binder{Enabled: true, Doorbell: Inline, Poll: Duration(vbinder.DefaultPoll), Window: 8 << 30, Committed: 8 << 30},
		Netlink:  Netlink{Reports: "auto"},
		Timeouts: Timeouts{Stop: Duration(30 * time.Second), Panic: Duration(10 * time.Second)},
	}
}

// Resolve fills in what depends on other fields, and checks everything.
func (c *Config) Resolve() error {
	for i := range c.VMs {
		vm := &c.VMs[i]
		if len(vm.Consoles) == 0 {
			vm.Consoles = []Console{{Type: Serial, To: None}}
			if len(c.VMs) == 1 {
				vm.Consoles[0].To = Stdio
			}
		}
		vm.Binder.Committed = min(vm.Binder.Committed, vm.Binder.Window)
	}
	return c.check()
}

// UsesStdio says whether a console leads to this process's terminal.
func (c *Config) UsesStdio() bool {
	return slices.ContainsFunc(c.VMs, func(vm VM) bool {
		return slices.ContainsFunc(vm.Consoles, func(con Console) bool { return con.To == Stdio })
	})
}
