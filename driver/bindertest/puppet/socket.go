// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is our end of a puppet's. Its system calls are raw: the scheduler is not
// told, because they end at once, or as soon as the puppet on this processor has had
// its turn.
type socket int

// socketPair makes a stream: ours, and what the puppet gets.
func socketPair() (ours socket, theirs int, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	return socket(p[0]), p[1], err
}

func (s socket) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s), uintptr(unsafe.Pointer(&b[done])), uintptr(len(b)-done), unix.MSG_NOSIGNAL, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return done, errno
		}
		if errno == 0 {
			done += int(n)
		}
	}
	return len(b), nil
}

func (s socket) Read(b []byte) (int, error) { return s.recv(b, 0) }

// recv is recvfrom; the end of the stream is io.EOF, nothing there unix.EAGAIN.
func (s socket) recv(b []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno == unix.ECONNRESET || errno == 0 && n == 0:
			return 0, io.EOF
		case errno != 0:
			return 0, errno
		default:
			return int(n), nil
		}
	}
}

// close may be called more than once.
func (s *socket) close() {
	if *s >= 0 {
		_ = unix.Close(int(*s))
		*s = -1
	}
}
