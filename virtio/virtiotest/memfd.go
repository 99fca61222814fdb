// SPDX-License-Identifier: Apache-2.0

package virtiotest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Memfd makes a memfd of n bytes, as backing for a SharedMemory.
func Memfd(name string, n int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.Truncate(n); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
