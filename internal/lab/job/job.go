// SPDX-License-Identifier: Apache-2.0

// Package job is what the two ends of the lab say to each other: internal/lab on the machine, which boots the lab's
// host under QEMU, and internal/lab/init, which is that host's first process.
//
// The job travels in the initramfs, as File. Everything afterwards travels on virtio-serial ports, each a plain byte
// stream: PortStdin, PortStdout and PortStderr carry the command's own streams, PortControl carries one JSON object a
// line, Request towards the lab's host and Event from it. The command's exit code is an Event; the debug-exit port
// only tells an orderly end (ExitOrderly) from a panic or a reset.
package job

// File is where the job lies in the initramfs.
const File = "/job.json"

// Names of the virtio-serial ports.
const (
	PortControl = "virtbinder.control"
	PortStdin   = "virtbinder.stdin"
	PortStdout  = "virtbinder.stdout"
	PortStderr  = "virtbinder.stderr"
)

// The debug-exit device: init writes ExitCode to I/O port ExitPort, and QEMU exits with ExitOrderly.
const (
	ExitPort    = 0x501
	ExitCode    = 0x20
	ExitOrderly = ExitCode<<1 | 1
)

// Job is a command to run on the lab's host, and the host that it wants.
type Job struct {
	Args   []string // program and arguments; found along PATH
	Env    []string // NAME=VALUE, added to a small default environment
	Dir    string   // working directory; "/" when empty
	UID    int      // 0, or User for the ordinary user
	TTY    bool     // a pseudo-terminal instead of three pipes; stderr then comes with stdout
	Rows   uint16   // size of that terminal
	Cols   uint16
	Stdin  bool    // false: the command reads end of file at once
	Shares []Share // in the order in which they are mounted
	Binder string  // not empty: insert binder_linux.ko with devices= this
}

// User is the uid and gid of the ordinary user on the lab's host.
const User = 1000

// Share is a directory of the machine, at the same path on the lab's host.
type Share struct {
	Tag      string
	Path     string
	ReadOnly bool
}

// Request is a control message towards the lab's host.
type Request struct {
	Signal int `json:",omitempty"` // deliver this signal to the command's process group
}

// Event is a control message from the lab's host.
type Event struct {
	Started bool   `json:",omitempty"` // the command runs now
	Done    bool   `json:",omitempty"` // it ended, its output has been written
	Exit    int    `json:",omitempty"` // its exit code; 128+n when signal n ended it
	Error   string `json:",omitempty"` // the host could not do what the job asks; Done is set too
}
