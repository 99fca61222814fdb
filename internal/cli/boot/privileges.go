// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// dropPrivileges gives up every capability, in all threads and for good: what a
// machine needs of the host is open by now, the netlink sockets of its reports and
// /dev/kvm included. The user stays, and with it the right to its own files.
func dropPrivileges(log *slog.Logger) error {
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("forbid new privileges: %w", errno)
	}
	if err := cap.NewSet().SetProc(); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	log.Info("privileges dropped: no capability is left")
	return nil
}
