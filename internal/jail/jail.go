// SPDX-License-Identifier: Apache-2.0

package jail

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Rules is what stays within reach.
type Rules struct {
	Dirs    []string // directories in which files may be made, changed and removed
	Read    []string // files and directories that may be read; those that do not exist are left out
	Network bool     // sockets of the internet, for a guest's user-mode network
}

// Status is how far a process is closed in.
type Status struct {
	Landlock int `json:"landlock"` // the kernel's ABI version; 0: it has none
	Calls    int `json:"calls"`    // system calls that are allowed
}

// Enter closes the process in. There is no way back.
func Enter(r Rules) (Status, error) {
	if err := DropCapabilities(); err != nil {
		return Status{}, err
	}
	_ = time.Now().Local().String() // reads /etc/localtime while it can
	abi, err := restrictFiles(r)
	if err != nil {
		return Status{}, fmt.Errorf("jail: Landlock: %w", err)
	}
	calls := processCalls(r.Network)
	if err := install(calls, allThreads); err != nil {
		return Status{}, err
	}
	return Status{Landlock: abi, Calls: calls.Size()}, nil
}

// DropCapabilities gives up every capability, in all threads and for good. The user
// stays, and with it the right to its own files.
func DropCapabilities() error {
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("jail: forbid new privileges: %w", errno)
	}
	if err := cap.NewSet().SetProc(); err != nil {
		return fmt.Errorf("jail: drop capabilities: %w", err)
	}
	return nil
}

// EnterVCPU closes the calling thread in further. It is locked to its goroutine, so
// that the Go runtime starts no thread from it (runtime.newm).
func EnterVCPU() error { return install(vcpuCalls(), thisThread) }
