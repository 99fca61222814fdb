// SPDX-License-Identifier: Apache-2.0

package agentproto

import (
	"fmt"
	"strings"
)

// Exec asks for a command.
type Exec struct {
	Path   string   `json:"path"`          // program; without a slash it is looked up in PATH
	Args   []string `json:"args"`          // arguments after the program's name
	Env    []string `json:"env,omitempty"` // NAME=VALUE, on top of a clean environment
	Dir    string   `json:"dir,omitempty"` // working directory; / if empty
	UID    uint32   `json:"uid,omitempty"`
	GID    uint32   `json:"gid,omitempty"`
	Groups []uint32 `json:"groups,omitempty"` // supplementary groups
	Detach bool     `json:"detach,omitempty"` // leave it running: no streams, no exit code
	Log    string   `json:"log,omitempty"`    // detached: append output to this file; /dev/null if empty
}

// Check says what is wrong with a request, if anything.
func (e *Exec) Check() error {
	switch {
	case e.Path == "":
		return &FrameError{"Exec without a program"}
	case e.Log != "" && !e.Detach:
		return &FrameError{"Exec with a log but not detached"}
	}
	for _, s := range append(append([]string{e.Path, e.Dir, e.Log}, e.Args...), e.Env...) {
		if strings.ContainsRune(s, 0) {
			return &FrameError{fmt.Sprintf("Exec with a zero byte in %q", s)}
		}
	}
	for _, s := range e.Env {
		if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
			return &FrameError{fmt.Sprintf("Exec with %q where NAME=VALUE belongs", s)}
		}
	}
	return nil
}

// Started says that a command runs.
type Started struct {
	PID int `json:"pid"` // in the guest
}

// Exit says how a command ended.
type Exit struct {
	Code   int `json:"code"`             // exit code, if Signal is 0
	Signal int `json:"signal,omitempty"` // the signal that killed it
}

// Status is the exit status as a shell gives it: the code, or 128 plus the signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + e.Signal
	}
	return e.Code
}

// Kinds of Error.
const (
	ErrNotFound      = "not-found"      // no such program
	ErrNotExecutable = "not-executable" // there, but it cannot be run
	ErrStart         = "start"          // starting failed otherwise
	ErrCopy          = "copy"           // a file could not be copied
	ErrProtocol      = "protocol"       // the request made no sense
)

// Error says why a request failed.
type Error struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Push sends a file or a directory to the guest.
type Push struct {
	Path string `json:"path"` // where to; into it, if it is a directory
	Name string `json:"name"` // what it is called there
}

// Check says what is wrong with a request, if anything.
func (p *Push) Check() error {
	if p.Name == "" || p.Name == "." || p.Name == ".." || strings.ContainsAny(p.Name, "/\x00") {
		return &FrameError{fmt.Sprintf("Push of %.100q, which is no name of a file", p.Name)}
	}
	return checkPath("Push to", p.Path)
}

// Pull asks for a file or a directory of the guest.
type Pull struct {
	Path string `json:"path"`
}

// Check says what is wrong with a request, if anything.
func (p *Pull) Check() error { return checkPath("Pull of", p.Path) }

// checkPath wants an absolute path: a relative one has no meaning to the agent.
func checkPath(what, path string) error {
	if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
		return &FrameError{fmt.Sprintf("%s %.100q: give an absolute path", what, path)}
	}
	return nil
}

// Power asks for the machine to go down.
type Power struct {
	Action string `json:"action"` // PowerOff or PowerReboot
}

// Actions of Power.
const (
	PowerOff    = "poweroff"
	PowerReboot = "reboot"
)

// Info describes the agent and how booting went.
type Info struct {
	Version  int      `json:"version"`            // of this protocol
	Kernel   string   `json:"kernel"`             // release of the guest's kernel
	Hostname string   `json:"hostname"`           // of the guest
	Failures []string `json:"failures,omitempty"` // what went wrong while booting
}

// Version is the version of this protocol.
const Version = 2
