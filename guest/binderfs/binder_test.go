// SPDX-License-Identifier: Apache-2.0

//go:build guest

package binderfs

import (
	"encoding/binary"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

var le = binary.LittleEndian

// binder is an open binder device.
type binder struct {
	t testing.TB // nil in a process of the scene
	f *os.File
}

func open(t *testing.T, path string) *binder {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &binder{t, f}
}

func (b *binder) ioctl(cmd uint32, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, b.f.Fd(), uintptr(cmd), uintptr(arg))
	return errno
}

func (b *binder) setManager(want unix.Errno) {
	b.t.Helper()
	var zero uint32
	if errno := b.ioctl(uapi.BINDER_SET_CONTEXT_MGR, unsafe.Pointer(&zero)); errno != want {
		b.t.Errorf("%s: becoming manager: %v, not %v", b.f.Name(), errno, want)
	}
}

// writeRead is BINDER_WRITE_READ; it returns what was read.
func (b *binder) writeRead(stream []byte, read int) ([]byte, unix.Errno) {
	var bwr struct{ writeSize, writeConsumed, writeBuffer, readSize, readConsumed, readBuffer uint64 }
	in := make([]byte, read)
	if len(stream) > 0 {
		bwr.writeSize, bwr.writeBuffer = uint64(len(stream)), uint64(uintptr(unsafe.Pointer(&stream[0])))
	}
	if read > 0 {
		bwr.readSize, bwr.readBuffer = uint64(read), uint64(uintptr(unsafe.Pointer(&in[0])))
	}
	errno := b.ioctl(uapi.BINDER_WRITE_READ, unsafe.Pointer(&bwr))
	runtime.KeepAlive(stream)
	return in[:bwr.readConsumed], errno
}

var payload [64]byte // of every transaction, where no collector moves or frees it

// call is BC_TRANSACTION with size bytes of data.
func call(handle, code, flags uint32, size uint64) []byte {
	tr := uapi.TransactionData{Target: uint64(handle), Code: code, Flags: flags, DataSize: size,
		Buffer: uint64(uintptr(unsafe.Pointer(&payload)))}
	return tr.Append(le.AppendUint32(nil, uapi.BC_TRANSACTION), false)
}

// await reads until one of the commands is cmd.
func (b *binder) await(cmd uint32) {
	for {
		got, errno := b.writeRead(nil, 256)
		if errno != 0 {
			panic(errno)
		}
		for len(got) >= 4 {
			code := le.Uint32(got)
			if code == cmd {
				return
			}
			got = got[4+uapi.PayloadSize(code):]
		}
	}
}
