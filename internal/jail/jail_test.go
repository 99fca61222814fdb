// SPDX-License-Identifier: Apache-2.0

package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// inJail has this program enter a jail and try things; the value is its directory.
const inJail = "VIRTBINDER_TEST_JAIL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(inJail); dir != "" {
		if err := json.NewEncoder(os.Stdout).Encode(try(dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// outcome is what came of each attempt: 0 or the errno.
type outcome struct {
	Status Status
	Error  string // of Enter
	Calls  map[string]unix.Errno
	VCPU   map[string]unix.Errno // in a thread that runs a virtual processor
	Works  map[string]string     // what has to work: an error, or ""
}

// attempts are calls with arguments that do no harm where they are allowed; then the
// error is another one than EPERM, or none.
func attempts(dir string) map[string]func() error {
	call := func(nr uintptr, args ...uintptr) func() error {
		return func() error {
			var a [6]uintptr
			copy(a[:], args)
			if _, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
				return errno
			}
			return nil
		}
	}
	const bad = ^uintptr(0)
	socket := func(family int) func() error {
		return func() error {
			fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		}
	}
	return map[string]func() error{
		"execve": call(unix.SYS_EXECVE), "execveat": call(unix.SYS_EXECVEAT, bad),
		"fork": call(unix.SYS_FORK), "vfork": call(unix.SYS_VFORK), "clone3": call(unix.SYS_CLONE3, 0, 0),
		"clone a process": call(unix.SYS_CLONE, uintptr(unix.SIGCHLD)|unix.CLONE_VM),
		"ptrace":          call(unix.SYS_PTRACE, bad), "process_vm_readv": call(unix.SYS_PROCESS_VM_READV, 1),
		"process_vm_writev": call(unix.SYS_PROCESS_VM_WRITEV, 1), "pidfd_open": call(unix.SYS_PIDFD_OPEN, bad),
		"mount": call(unix.SYS_MOUNT), "umount2": call(unix.SYS_UMOUNT2), "unshare": call(unix.SYS_UNSHARE, 0),
		"setns": call(unix.SYS_SETNS, bad), "chroot": call(unix.SYS_CHROOT), "pivot_root": call(unix.SYS_PIVOT_ROOT),
		"open_tree": call(unix.SYS_OPEN_TREE, bad), "fsopen": call(unix.SYS_FSOPEN),
		"bpf": call(unix.SYS_BPF, bad), "perf_event_open": call(unix.SYS_PERF_EVENT_OPEN), "io_uring_setup": call(unix.SYS_IO_URING_SETUP),
		"userfaultfd": call(unix.SYS_USERFAULTFD, bad), "keyctl": call(unix.SYS_KEYCTL, bad), "add_key": call(unix.SYS_ADD_KEY),
		"init_module": call(unix.SYS_INIT_MODULE), "finit_module": call(unix.SYS_FINIT_MODULE, bad), "kexec_load": call(unix.SYS_KEXEC_LOAD, 0, 0, 0, bad),
		"reboot": call(unix.SYS_REBOOT), "setuid": call(unix.SYS_SETUID, bad), "capset": call(unix.SYS_CAPSET),
		"personality": call(unix.SYS_PERSONALITY, bad), "memfd_create": call(unix.SYS_MEMFD_CREATE),
		"open_by_handle_at": call(unix.SYS_OPEN_BY_HANDLE_AT, bad), "openat2": call(unix.SYS_OPENAT2, bad),
		"open": call(unix.SYS_OPEN), "symlinkat": call(unix.SYS_SYMLINKAT), "linkat": call(unix.SYS_LINKAT), "mknodat": call(unix.SYS_MKNODAT, bad),
		"kill of another process":    call(unix.SYS_KILL, uintptr(unix.Getppid()), 0),
		"tgkill of another process":  call(unix.SYS_TGKILL, uintptr(unix.Getppid()), uintptr(unix.Getppid()), 0),
		"prlimit of another process": call(unix.SYS_PRLIMIT64, uintptr(unix.Getppid()), unix.RLIMIT_CORE, 0, 0),
		"raise an own limit":         call(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, bad),
		"TIOCSTI":                    call(unix.SYS_IOCTL, bad, unix.TIOCSTI), "KVM_CREATE_VM": call(unix.SYS_IOCTL, bad, 0xae01),
		"TUNSETIFF": call(unix.SYS_IOCTL, bad, unix.TUNSETIFF), "PR_SET_MM": call(unix.SYS_PRCTL, unix.PR_SET_MM),
		"socket of the internet": socket(unix.AF_INET), "socket of IPv6": socket(unix.AF_INET6), "packet socket": socket(unix.AF_PACKET),
		"vsock": socket(unix.AF_VSOCK), "crypto socket": socket(unix.AF_ALG),

		"read outside":   func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"list outside":   func() error { _, err := os.ReadDir("/"); return err },
		"write outside":  func() error { return os.WriteFile(filepath.Join(filepath.Dir(dir), "outside"), nil, 0o600) },
		"remove outside": func() error { return os.Remove(filepath.Join(filepath.Dir(dir), "kept")) },
	}
}

// byLandlock are the attempts that seccomp lets through.
var byLandlock = []string{"read outside", "list outside", "write outside", "remove outside"}

// forVCPU are attempts that other threads may make with success.
func forVCPU(dir string) map[string]func() error {
	return map[string]func() error{
		"open":     func() error { _, err := os.ReadFile(filepath.Join(dir, "there")); return err },
		"terminal": func() error { _, err := unix.IoctlGetTermios(0, unix.TCGETS); return err },
		"socket": func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		},
	}
}

func try(dir string) (o outcome) {
	s, err := Enter(Rules{Dirs: []string{dir}, Read: []string{"/proc/self/mountinfo", "/not/there"}})
	if o.Status = s; err != nil {
		o.Error = err.Error()
		return o
	}
	o.Works = map[string]string{}
	for name, f := range works(dir) {
		o.Works[name] = ""
		if err := f(); err != nil {
			o.Works[name] = err.Error()
		}
	}
	o.Calls = errnos(attempts(dir))
	vcpu := make(chan map[string]unix.Errno)
	go func() {
		runtime.LockOSThread() // for good, as a virtual processor's is
		if err := EnterVCPU(); err != nil {
			o.Error = err.Error()
			vcpu <- nil
			return
		}
		churn()
		vcpu <- errnos(forVCPU(dir))
	}()
	o.VCPU = <-vcpu
	for name, f := range works(dir) { // other threads are not meant, nor those that start now
		if err := f(); err != nil {
			o.Works[name] = "after a vCPU began: " + err.Error()
		}
	}
	return o
}

func errnos(tries map[string]func() error) map[string]unix.Errno {
	m := map[string]unix.Errno{}
	for name, f := range tries {
		var errno unix.Errno
		if err := f(); err != nil && !errors.As(err, &errno) {
			errno = unix.ENOTRECOVERABLE // not an error of the kernel
		}
		m[name] = errno
	}
	return m
}

// churn has the Go runtime collect garbage.
func churn() {
	var keep [][]byte
	for range 64 {
		keep = append(keep, make([]byte, 1<<20))
	}
	runtime.GC()
	runtime.KeepAlive(keep)
}

func works(dir string) map[string]func() error {
	return map[string]func() error{
		"files": func() error {
			a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
			return errors.Join(os.WriteFile(a, []byte("x"), 0o600), os.Rename(a, b), os.Chmod(b, 0o644), os.Remove(b))
		},
		"a file that may be read": func() error { _, err := os.ReadFile("/proc/self/mountinfo"); return err },
		"sockets": func() error {
			path := filepath.Join(dir, "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				return err
			}
			defer l.Close()
			go func() {
				if c, err := l.Accept(); err == nil {
					_, _ = io.WriteString(c, "hello")
					c.Close()
				}
			}()
			c, err := net.Dial("unix", path)
			if err != nil {
				return err
			}
			defer c.Close()
			if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
				return fmt.Errorf("%q, %v", b, err)
			}
			return nil
		},
		"netlink": func() error {
			fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		},
		"threads and garbage": func() error {
			var wg sync.WaitGroup
			errs := make([]error, 20)
			var begun sync.WaitGroup
			begun.Add(len(errs))
			for i := range errs {
				wg.Go(func() {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					begun.Done()
					begun.Wait() // so many threads at once
					_, errs[i] = os.ReadFile(filepath.Join(dir, "there"))
				})
			}
			wg.Wait()
			churn()
			return errors.Join(errs...)
		},
	}
}

func TestJail(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "vm")
	for _, err := range []error{
		os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(base, "kept"), nil, 0o600), os.WriteFile(filepath.Join(dir, "there"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), inJail+"="+dir)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	var o outcome
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil || o.Error != "" {
		t.Fatalf("%v %s: %s", err, o.Error, b)
	}
	t.Logf("Landlock's version here is %d; %d system calls are allowed", o.Status.Landlock, o.Status.Calls)
	for name, failure := range o.Works {
		if failure != "" {
			t.Errorf("%s: %s", name, failure)
		}
	}
	want := map[string]unix.Errno{}
	for name := range attempts(dir) {
		want[name] = unix.EPERM
	}
	for _, name := range byLandlock {
		want[name] = unix.EACCES
		if o.Status.Landlock == 0 {
			delete(want, name) // the kernel lacks that wall; the lab's must have it: TestReportsPlain
		}
	}
	want["clone3"] = unix.ENOSYS
	for name, errno := range want {
		if o.Calls[name] != errno {
			t.Errorf("%s: %v, not %v", name, o.Calls[name], errno)
		}
	}
	for name, errno := range o.VCPU {
		if errno != unix.EPERM {
			t.Errorf("in a vCPU's thread: %s: %v, not %v", name, errno, unix.EPERM)
		}
	}
	if len(o.VCPU) != len(forVCPU(dir)) {
		t.Errorf("in a vCPU's thread: %v", o.VCPU)
	}
}
