// SPDX-License-Identifier: Apache-2.0

package jail

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/bpf"
	"gvisor.dev/gvisor/pkg/seccomp"

	"virtbinder/vmm/kvm"
)

// What the Go runtime needs in any thread: memory, its own threads' sleep and wake-up,
// preemption, time, profiles.
var runtimeCalls = []uintptr{
	unix.SYS_FUTEX, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MPROTECT, unix.SYS_MINCORE,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY,
	unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETPID, unix.SYS_GETTID,
	unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_WAIT, unix.SYS_RESTART_SYSCALL,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_GETRANDOM, unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST,
}

// What serving a guest's exit takes besides: eventfds and logs are written, disks
// and windows changed.
var dataCalls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV,
	unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV, unix.SYS_PWRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2,
	unix.SYS_FALLOCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_LSEEK, unix.SYS_CLOSE,
	unix.SYS_RECVFROM, unix.SYS_SENDTO, unix.SYS_RECVMSG, unix.SYS_SENDMSG, unix.SYS_SHUTDOWN,
}

// What the rest of the process needs: files in its directories, which Landlock says,
// and sockets in them.
var otherCalls = []uintptr{
	unix.SYS_OPENAT, unix.SYS_NEWFSTATAT, unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_READLINKAT, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2,
	unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_MKDIRAT, unix.SYS_FCHMODAT, unix.SYS_FCHMOD, unix.SYS_GETDENTS64, unix.SYS_FTRUNCATE, unix.SYS_FLOCK,
	unix.SYS_FCNTL, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_EVENTFD2, unix.SYS_EPOLL_CREATE1, unix.SYS_PPOLL, unix.SYS_POLL,
	unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME,
	unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_CONNECT, unix.SYS_ACCEPT4, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG, unix.SYS_SPLICE, unix.SYS_SENDFILE,
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRUSAGE,
	unix.SYS_GETRLIMIT, unix.SYS_SCHED_SETAFFINITY,
	unix.SYS_SECCOMP, // vCPU threads' own filter; a filter can only take away
}

// terminalIoctls are those of a console on a terminal.
var terminalIoctls = []uintptr{unix.TCGETS, unix.TCSETS, unix.TCSETSW, unix.TCSETSF, unix.TIOCGWINSZ, unix.TIOCSWINSZ, unix.TIOCGPTN}

// networkIoctls are those of a tap interface whose driver in the guest has started.
var networkIoctls = []uintptr{unix.TUNSETOFFLOAD}

// threadFlags are those of clone for a thread; without them it would be a process.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD

// common is what any thread may call.
func common() seccomp.SyscallRules {
	rules := seccomp.NewSyscallRules()
	allow(rules, runtimeCalls, dataCalls)
	rules.Set(unix.SYS_TGKILL, seccomp.PerArg{seccomp.EqualTo(unix.Getpid())})
	rules.Set(unix.SYS_PRCTL, argument(0, []uintptr{unix.PR_SET_NAME, unix.PR_SET_VMA}))
	return rules
}

// processCalls is what the process's threads may call.
func processCalls(network bool) seccomp.SyscallRules {
	rules := common()
	allow(rules, otherCalls)
	families := []uintptr{unix.AF_UNIX, unix.AF_NETLINK}
	if network {
		families = append(families, unix.AF_INET, unix.AF_INET6)
	}
	rules.Set(unix.SYS_SOCKET, argument(0, families))
	rules.Set(unix.SYS_SOCKETPAIR, argument(0, []uintptr{unix.AF_UNIX}))
	rules.Set(unix.SYS_CLONE, seccomp.PerArg{seccomp.MaskedEqual(threadFlags, threadFlags)})
	rules.Set(unix.SYS_KILL, seccomp.PerArg{seccomp.EqualTo(unix.Getpid())})
	// What is asked of this process alone.
	rules.Set(unix.SYS_PRLIMIT64, seccomp.PerArg{seccomp.EqualTo(0), seccomp.AnyValue{}, seccomp.EqualTo(0)})
	rules.Set(unix.SYS_IOCTL, argument(1, slices.Concat(kvm.RunIoctls(), terminalIoctls, networkIoctls)))
	return rules
}

// vcpuCalls is what a thread that runs a virtual processor may call.
func vcpuCalls() seccomp.SyscallRules {
	rules := common()
	rules.Set(unix.SYS_IOCTL, argument(1, kvm.RunIoctls()))
	return rules
}

func allow(rules seccomp.SyscallRules, lists ...[]uintptr) {
	for _, list := range lists {
		for _, nr := range list {
			rules.Set(nr, seccomp.MatchAll{})
		}
	}
}

// argument allows a call if its argument i has one of the values.
func argument(i int, values []uintptr) seccomp.SyscallRule {
	var any seccomp.Or
	for _, v := range values {
		var args seccomp.PerArg
		args[i] = seccomp.EqualTo(v)
		any = append(any, args)
	}
	return any
}

const (
	thisThread = 0
	allThreads = unix.SECCOMP_FILTER_FLAG_TSYNC
)

// install puts a filter on the calling thread or on all. The refusal is EPERM.
func install(rules seccomp.SyscallRules, threads uintptr) error {
	refuse := linux.SECCOMP_RET_ERRNO.WithReturnCode(uint16(unix.EPERM))
	// The flags of clone3 are in memory, where no filter sees them. Those who try it
	// take ENOSYS for an older kernel, and use clone.
	clone3 := seccomp.NewSyscallRules().Set(unix.SYS_CLONE3, seccomp.MatchAll{})
	program, _, err := seccomp.BuildProgram([]seccomp.RuleSet{
		{Rules: clone3, Action: linux.SECCOMP_RET_ERRNO.WithReturnCode(uint16(unix.ENOSYS))},
		{Rules: rules, Action: linux.SECCOMP_RET_ALLOW},
	}, seccomp.ProgramOptions{
		DefaultAction: refuse, BadArchAction: refuse, Optimize: true, HotSyscalls: []uintptr{unix.SYS_IOCTL, unix.SYS_FUTEX, unix.SYS_WRITE},
	})
	if err != nil {
		return fmt.Errorf("jail: seccomp: %w", err)
	}
	return load(program, threads|unix.SECCOMP_FILTER_FLAG_LOG)
}

// load gives the kernel a filter.
func load(program []bpf.Instruction, flags uintptr) error {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(program)
	switch {
	case errno != 0:
		return fmt.Errorf("jail: seccomp: %w", errno)
	case thread != 0:
		return fmt.Errorf("jail: seccomp: thread %d has a filter of its own", thread)
	}
	return nil
}
