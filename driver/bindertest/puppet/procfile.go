// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// procFile is a small file in /proc that is read again and again.
type procFile struct {
	path string
	fd   int // -1: not open yet
	buf  [512]byte
}

// read returns the file's beginning, as it is now. It is valid until the next read.
func (f *procFile) read() ([]byte, error) {
	if f.fd < 0 {
		fd, err := unix.Open(f.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f.fd = fd
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(f.fd), uintptr(unsafe.Pointer(&f.buf[0])), uintptr(len(f.buf)), 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	return f.buf[:n], nil
}

func (f *procFile) close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
		f.fd = -1
	}
}

// taskState is the letter in a task's stat.
func taskState(stat []byte) byte {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 || i+2 >= len(stat) {
		return '?'
	}
	return stat[i+2]
}

// runnable is the number of tasks that can run, in a loadavg.
func runnable(loadavg []byte) int {
	fields := bytes.Fields(loadavg)
	if len(fields) < 4 {
		return -1
	}
	n := 0
	for _, c := range fields[3] {
		if c == '/' {
			return n
		}
		n = 10*n + int(c-'0')
	}
	return -1
}
