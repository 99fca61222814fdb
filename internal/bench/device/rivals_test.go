// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What else two processes can do.

// BenchmarkEventfdPingPong is a wake-up there and one back.
func BenchmarkEventfdPingPong(b *testing.B) {
	there, back := newBell(b), newBell(b)
	p := startPeer(b, "eventfd", there, back)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.tell(0)
	for b.Loop() {
		bell{int(there.Fd())}.ring()
		bell{int(back.Fd())}.wait()
	}
}

func eventfdRole() error {
	go func() {
		runtime.LockOSThread()
		for {
			bell{3}.wait()
			bell{4}.ring()
		}
	}()
	return obey(func(int) error { return nil })
}

// BenchmarkUnixEcho sends bytes over a unix socket and gets one back. A message of
// none would be no message: it has one byte.
func BenchmarkUnixEcho(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) { benchmarkUnixEcho(b, max(size, 1)) })
	}
}

func benchmarkUnixEcho(b *testing.B, size int) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	defer theirs.Close()
	p := startPeer(b, "echo", theirs)
	p.tell(size)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	message, answer := make([]byte, size), make([]byte, 1)
	for b.Loop() {
		if err := writeAll(pair[0], message); err != nil {
			b.Fatal(err)
		}
		if n, err := unix.Read(pair[0], answer); n != 1 {
			b.Fatal(n, err)
		}
	}
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err != nil && err != unix.EINTR {
			return err
		}
		p = p[max(n, 0):]
	}
	return nil
}

func echoRole() error {
	return obey(func(size int) error {
		go func() {
			runtime.LockOSThread()
			echo(3, make([]byte, size))
		}()
		return nil
	})
}

func echo(fd int, buf []byte) {
	for have := 0; ; {
		n, err := unix.Read(fd, buf[have:])
		switch {
		case err == unix.EINTR:
			continue
		case n <= 0:
			return
		}
		if have += n; have == len(buf) {
			have = 0
			if writeAll(fd, buf[:1]) != nil {
				return
			}
		}
	}
}

// BenchmarkGRPC makes unary calls of gRPC-Go over a unix socket: bytes there, nothing
// back.
func BenchmarkGRPC(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) { benchmarkGRPC(b, size) })
	}
}

const grpcMethod = "/virtbinder.bench.Echo/Call"

func benchmarkGRPC(b *testing.B, size int) {
	path := filepath.Join(b.TempDir(), "grpc")
	p := startPeer(b, "grpc")
	p.tell(path)
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	message, answer := wrapperspb.Bytes(make([]byte, size)), new(wrapperspb.BytesValue)
	call := func() {
		if err := conn.Invoke(b.Context(), grpcMethod, message, answer); err != nil {
			b.Fatal(err)
		}
	}
	call()
	for b.Loop() {
		call()
	}
}

func grpcRole() error {
	runtime.UnlockOSThread()
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "virtbinder.bench.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Call", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return new(wrapperspb.BytesValue), decode(new(wrapperspb.BytesValue))
		}}},
	}, struct{}{})
	err := obey(func(path string) error {
		l, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		go func() { _ = server.Serve(l) }()
		return nil
	})
	server.Stop()
	if err == nil {
		err = io.EOF
	}
	return err
}
