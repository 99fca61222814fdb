// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
)

// nameHosts finds the names of the host's processes in a report of its own kernel. A
// process that has ended meanwhile has none.
func (ev *event) nameHosts(proc string) {
	if !ev.FromKernel {
		return
	}
	ev.fromName = hostName(proc, ev.Report.FromPID)
	if ev.Report.HasToPID {
		ev.toName = hostName(proc, ev.Report.ToPID)
	}
}

// maxName bounds a command line's first word.
const maxName = 256

// hostName is the program of a process: the first word of its command line, which
// Android's processes set to their own names, or what the kernel calls it.
func hostName(proc string, pid uint32) string {
	dir := filepath.Join(proc, fmt.Sprint(pid))
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	word, _, _ := bytes.Cut(line, []byte{0})
	if err == nil && len(word) > 0 && len(word) <= maxName {
		return path.Base(string(word))
	}
	comm, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSuffix(comm, []byte("\n")))
}
