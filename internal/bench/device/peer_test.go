// SPDX-License-Identifier: Apache-2.0

package device

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The other process is this test program once more, told by roleVar what to be.
const roleVar = "VIRTBINDER_BENCH_ROLE"

// roles are what the other process can be. Its files begin at descriptor 3; it takes
// commands from standard input, and says on standard output that it is ready for one.
var roles = map[string]func() error{
	"guest":   guestRole,
	"eventfd": eventfdRole,
	"echo":    echoRole,
	"grpc":    grpcRole,
}

func TestMain(m *testing.M) {
	role := roles[os.Getenv(roleVar)]
	if role == nil {
		os.Exit(m.Run())
	}
	runtime.LockOSThread()
	if err := role(); err != nil && err != io.EOF {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Getenv(roleVar), err)
		os.Exit(1)
	}
}

// peer is the other process, as the benchmark sees it.
type peer struct {
	b   *testing.B
	out *json.Encoder
	in  *json.Decoder
}

// startPeer starts the other process, with files as its descriptors from 3 on.
func startPeer(b *testing.B, role string, files ...*os.File) *peer {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("%s: %v", role, err)
		}
	})
	return &peer{b: b, out: json.NewEncoder(in), in: json.NewDecoder(out)}
}

// tell sends a command and waits until the peer has done it.
func (p *peer) tell(command any) {
	p.b.Helper()
	if err := p.out.Encode(command); err != nil {
		p.b.Fatal(err)
	}
	var done bool
	if err := p.in.Decode(&done); err != nil || !done {
		p.b.Fatalf("the peer has ended: %v", err)
	}
}

// obey is the other process's side of tell, for one kind of command.
func obey[T any](do func(T) error) error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var command T
		if err := in.Decode(&command); err != nil {
			return err
		}
		if err := do(command); err != nil {
			return err
		}
		if err := out.Encode(true); err != nil {
			return err
		}
	}
}

// bell is an eventfd, in blocking mode.
type bell struct{ fd int }

func newBell(b *testing.B) *os.File {
	b.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "eventfd")
	b.Cleanup(func() { f.Close() })
	return f
}

var one = [8]byte{1} // eventfds count in the machine's order; this is a little-endian one's

func (e bell) ring() {
	if _, err := unix.Write(e.fd, one[:]); err != nil {
		panic(err)
	}
}

func (e bell) wait() {
	var count [8]byte
	for {
		if _, err := unix.Read(e.fd, count[:]); err == nil {
			return
		} else if err != unix.EINTR {
			panic(err)
		}
	}
}
