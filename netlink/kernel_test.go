// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deviceEnv names a binder device of the host's own kernel that has no context
// manager, for a kernel that has the netlink family. The nested lab has both:
//
//	virtbinder lab --kernel 7.x --binder kbinder -e VIRTBINDER_NETLINK_TEST_DEVICE=/dev/kbinder \
//		-e VIRTBINDER_NETLINK_TEST_ISOLATED=1 -- netlink.test -test.run Kernel
//
// ISOLATED keeps the test in the initial network namespace, the only one to
// which the kernel reports.
const deviceEnv = "VIRTBINDER_NETLINK_TEST_DEVICE"

// TestKernelAndEmitterAlike: the kernel's own report of a failed transaction and
// ours of the same one, captured by one socket that knows nothing of this
// package, are the same bytes; and a Listener tells the two apart.
func TestKernelAndEmitterAlike(t *testing.T) {
	device := os.Getenv(deviceEnv)
	if device == "" {
		t.Skip("needs a kernel with the binder netlink family and a device without context manager: see " + deviceEnv)
	}
	res, err := newResolver()
	if err != nil {
		t.Fatal(err)
	}
	defer res.close()
	f, err := res.families()
	if err != nil || f.binder == nil || f.binder.Group == 0 {
		t.Fatalf("the kernel has no binder family: %+v, %v", f, err)
	}
	if f.binder.Group > maxMaskGroup {
		t.Fatalf("the family's group is %d: mode a is not possible", f.binder.Group)
	}
	rcv := newRawReceiver(t, unix.NETLINK_GENERIC, uint(f.binder.Group))
	l, err := Listen(ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	const code, size, flags = 4097, 12, 0x10
	tid := failCall(t, device, code, flags, size)
	kernels, mask, port := rcv.next()
	if port != 0 || mask != 1<<(f.binder.Group-1) {
		t.Errorf("the kernel's report came from port %d through %#x", port, mask)
	}
	ev, err := l.Receive(within(t))
	if err != nil || ev.Kind != EventReport || !ev.FromKernel || ev.Report.Error != BRDeadReply {
		t.Fatalf("listener got %+v, %v", ev, err)
	}

	// A family that is there makes mode a; qualified, so that nobody is misled.
	e, err := NewEmitter(Options{VM: "demo"})
	closeAfter(t, e, err)
	if st := e.Status(); st.Mode != ModeGenuine || st.Group != f.binder.Group || st.Family != f.binder.ID {
		t.Fatalf("status %+v", st)
	}
	ours := Report{Error: BRDeadReply, Context: ev.Report.Context, FromPID: uint32(os.Getpid()), FromTID: uint32(tid), Flags: flags, Code: code, DataSize: size}
	if want := ours.AppendMessage(nil, f.binder.ID); !bytes.Equal(kernels, want) {
		t.Errorf("bytes differ\nkernel %s\n  ours %s", hexOf(kernels), hexOf(want))
	}
	e.Emit(ours)
	sent, mask, port := rcv.next()
	if port == 0 || mask != 1<<(f.binder.Group-1) {
		t.Errorf("our report came from port %d through %#x", port, mask)
	}
	ours.Context += "@demo"
	if want := ours.AppendMessage(nil, f.binder.ID); !bytes.Equal(sent, want) {
		t.Errorf("bytes differ\nsent %s\nwant %s", hexOf(sent), hexOf(want))
	}
	ev, err = l.Receive(within(t))
	if err != nil || ev.Kind != EventReport || ev.FromKernel || ev.Report != ours || ev.VM != "demo" {
		t.Errorf("listener got %+v, %v", ev, err)
	}
}

// within is a guard against hanging.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// failCall sends a transaction to handle 0 of a device that has no context
// manager, and returns the thread that did.
func failCall(t *testing.T, device string, code, flags uint32, size uint64) int {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const bcTransaction, binderWriteRead = 0x40406300, 0xc0306201
	data := make([]byte, size)
	w := binary.NativeEndian.AppendUint32(nil, bcTransaction)
	w = append(w, make([]byte, 16)...) // handle 0, cookie
	w = binary.NativeEndian.AppendUint32(w, code)
	w = binary.NativeEndian.AppendUint32(w, flags)
	w = append(w, make([]byte, 8)...) // the driver fills in who sends
	w = binary.NativeEndian.AppendUint64(w, size)
	w = binary.NativeEndian.AppendUint64(w, 0)
	w = binary.NativeEndian.AppendUint64(w, uint64(uintptr(unsafe.Pointer(&data[0]))))
	w = binary.NativeEndian.AppendUint64(w, 0)
	arg := struct {
		writeSize, writeConsumed, writeBuffer, readSize, readConsumed, readBuffer uint64
	}{writeSize: uint64(len(w)), writeBuffer: uint64(uintptr(unsafe.Pointer(&w[0])))}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), binderWriteRead, uintptr(unsafe.Pointer(&arg)))
	runtime.KeepAlive(data)
	runtime.KeepAlive(w)
	if errno != 0 || arg.writeConsumed != uint64(len(w)) {
		t.Fatalf("BINDER_WRITE_READ: %v, consumed %d of %d", errno, arg.writeConsumed, len(w))
	}
	return unix.Gettid()
}
