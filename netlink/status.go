// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Status is what an emitter publishes in its runtime file: how its reports
// leave, so that listeners find them. The file is replaced as a whole by a
// rename, so a reader never sees half of it.
type Status struct {
	Version int    `json:"version"` // of this file's form: 1
	VM      string `json:"vm"`
	PID     int    `json:"pid"` // of the emitting process

	Mode   Mode   `json:"mode"`
	Why    string `json:"why"`
	Family uint16 `json:"family,omitempty"` // nlmsg_type of the messages
	Group  uint32 `json:"group,omitempty"`  // multicast group
	PortID uint32 `json:"portid,omitempty"` // netlink port they come from
	Socket string `json:"socket,omitempty"` // unix socket, mode c, when offered

	PlainContexts bool      `json:"plain_contexts"`
	Namespace     Namespace `json:"namespace"`
	Warning       string    `json:"warning,omitempty"`

	// Dropped counts the reports that found the emitter's ring full, SendErrors
	// those that netlink refused.
	Dropped    uint64 `json:"dropped"`
	SendErrors uint64 `json:"send_errors"`
}

const (
	statusVersion = 1
	maxStatusFile = 64 << 10 // bytes
)

// write replaces the file at path.
func (s *Status) write(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails after the rename, as it should
	_, err = tmp.Write(append(b, '\n'))
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// ReadStatus reads an emitter's runtime file.
func ReadStatus(path string) (Status, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe there must not hold us up
	if err != nil {
		return Status{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxStatusFile+1))
	if err != nil {
		return Status{}, err
	}
	if len(b) > maxStatusFile {
		return Status{}, fmt.Errorf("%s: larger than %d bytes: no status file of virtbinder", path, maxStatusFile)
	}
	var s Status
	if err := json.Unmarshal(b, &s); err != nil {
		return Status{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.Version != statusVersion {
		return Status{}, fmt.Errorf("%s: version %d, this program reads %d", path, s.Version, statusVersion)
	}
	return s, nil
}
