// SPDX-License-Identifier: Apache-2.0

package bindertest

// A System is a machine with binder devices and nothing else: the core in process,
// the core behind a ring, or a Linux kernel whose device nodes are ours or the stock
// driver's. Scenarios are written against it, so that one list runs on all of them.
//
// Addresses are the same on every System: a process's own memory is Arena, its
// binder mappings are at MapAddr. Transcripts therefore hold real addresses.
type System interface {
	// Name is "core", "ring", "virtbinder" or "stock".
	Name() string
	// Kernel is the guest kernel's release up to its minor ("6.12"), "" where there is none.
	Kernel() string
	// Has says whether the System can do what a scenario needs.
	Has(Feature) bool
	// Spawn starts a process. Nothing of binder is open in it.
	Spawn(Attr) (Process, error)
	// Settle returns when nothing moves any more: each call is finished or parked in the
	// driver, and what the driver defers (flush, release) has been done.
	Settle() error
	// Reports returns the failure reports since the last call, oldest first.
	Reports() ([]Report, error)
	// Close kills what is left and checks that nothing of it stayed behind.
	Close() error
}

// Feature is something that not every System has.
type Feature string

const (
	Reports         Feature = "failure reports"               // stock: Linux 6.18 on
	FreezeNotice    Feature = "freeze notification"           // stock: Linux 6.12 on
	PendingFrozen   Feature = "BR_TRANSACTION_PENDING_FROZEN" // stock: Linux 6.2 on
	Namespaces      Feature = "pid and user namespaces"
	Signals         Feature = "signals"
	Files           Feature = "real files, epoll and descriptors"
	SecurityContext Feature = "security contexts"
	LSM             Feature = "a security module that denies"
	Fork            Feature = "fork"
	Freezers        Feature = "control groups that freeze"
	Compat          Feature = "32-bit system calls"
	Exec            Feature = "exec"
	Held            Feature = "memory that has its readers wait"
	DyingTarget     Feature = "care for a target that dies while it is called" // stock: leaks its node
)

// Attr is what a process starts as.
type Attr struct {
	UID      uint32 // real, effective and saved, in the initial user namespace
	Nice     int
	NewPIDNS bool   // in a pid namespace of its own, as its init
	NewUser  bool   // in a user namespace of its own where UID is seen as 0
	Domain   string // SELinux domain of selinux/policy.conf; "": that of who starts it
}

// Process is a thread group.
type Process interface {
	PID() uint32 // initial pid namespace
	// Thread starts one more thread. The first call returns the leader.
	Thread() (Thread, error)
	// Kill ends it as SIGKILL does, and returns when all that its end means has happened.
	Kill() error
}

// Suspendable is a Process of a System that has Freezers.
type Suspendable interface {
	Process
	// Suspend has none of its threads run on. A call of theirs may be cut short by it, as by
	// a signal; that shows when they go on.
	Suspend(Freezer) error
	Resume() error
}

// Executable is a Process of a System that has Exec.
type Executable interface {
	Process
	// Exec has an idle thread of it execute the program anew, and be the leader: memory is as
	// at the start, descriptors stay open, the other threads end.
	Exec(by Thread) error
}

// Freezer is how a kernel suspends a process.
type Freezer string

const (
	CgroupV1 Freezer = "cgroup v1" // what waits in a call sleeps on; so does suspending the machine
	CgroupV2 Freezer = "cgroup v2" // what waits in a call leaves it, as for a signal
)

// Thread takes calls one after the other.
type Thread interface {
	TID() uint32 // initial pid namespace
	// Start begins a call. It is an error to start one while another is pending.
	Start(Call) error
	// Result returns the finished call's result; ok is false while it is pending.
	Result() (r Result, ok bool)
	// Signal interrupts the pending call as a handled signal (SA_RESTART set) does: a call
	// that the kernel restarts stays pending.
	Signal() error
}

// Memory of every process, bytes.
const (
	Arena     = 0x2_0000_0000 // readable and writable, zero at start
	ArenaSize = 16 << 20
	Unmapped  = 0x1_0000_0000 // never mapped
	MapAddr   = 0x3_0000_0000 // binder mapping i of a process begins at MapAddr + i*MapStride
	MapStride = 16 << 20
)

// Op is one system call, or a few that only make sense together.
type Op uint8

const (
	OpOpen      Op = iota + 1 // Name: context; Flags: O_NONBLOCK; Val of the result: descriptor
	OpClose                   // FD
	OpDup                     // FD; Val: the copy
	OpMmap                    // FD, Len, Prot, Index: which MapAddr; Val: address
	OpMunmap                  // Addr, Len
	OpMprotect                // Addr, Len, Prot
	OpIoctl                   // FD, Cmd, Data: the argument, in and out; Addr != 0: pass this address instead
	OpWriteRead               // FD, Data: what is copied to Addr, an Arena address; its BC stream begins at Len; WriteConsumed, ReadSize, ReadConsumed
	OpPoll                    // FD, Flags: events; does not wait; Val: revents
	OpPollWait                // the same, but waits
	OpPeek                    // Addr, Len; Data of the result; EFAULT where a load would fault
	OpPoke                    // Addr, Data
	OpPipe                    // Val: read end, Val2: write end
	OpFile                    // a file of one page, Data at its start; Val: descriptor
	OpReadFD                  // FD, Len, from offset 0 or the pipe's head; Data; EAGAIN where it would wait
	OpWriteFD                 // FD, Data
	OpDescribe                // FD; Val: 1 if open, Val2: 1 if close-on-exec; Data: identity of its file, the same in every process
	OpGive                    // FD, To: another process; Val: its number there
	OpNice                    // Flags 1: set to Index; Val: nice value now
	OpNonblock                // FD, Flags: 1 or 0
	OpEpoll                   // FD added to a new epoll descriptor; Val: that descriptor
	OpExit                    // the thread ends, without BINDER_THREAD_EXIT
	OpSetEUID                 // Index: effective uid of the thread group
	OpRlimit                  // Cmd: RLIMIT_NOFILE or RLIMIT_NICE; Len: soft limit of the thread group
	OpForkPeek                // OpPeek in a child that fork makes, and that ends after it
	OpIoctl32                 // OpIoctl by the system call of a 32-bit process; Data: the argument, in and out, which is put below 4 GiB
	OpHold                    // Addr, Len: pages of the Arena become zero, and who touches them waits, the kernel too
	OpLetGo                   // until they are let go
	OpExec                    // what Executable needs
)

// Call is one Op with its arguments; each Op names the fields that it uses.
type Call struct {
	Op            Op
	Name          string
	FD            int
	Cmd           uint32
	Flags         uint32
	Prot          uint32
	Index         int
	Addr          uint64
	Len           uint64
	Data          []byte
	WriteConsumed uint64
	ReadSize      uint64
	ReadConsumed  uint64
	To            uint32 // pid
}

// Result is what a Call gave.
type Result struct {
	Errno         int // 0 or the errno
	Val, Val2     int64
	Data          []byte // OpWriteRead: the BR stream from ReadConsumed on
	WriteConsumed uint64
	ReadConsumed  uint64
}

// Report is a failure report as the kernel's netlink interface states it.
type Report struct {
	Error                 uint32
	Context               string
	FromPID, FromTID      uint32
	ToPID, ToTID          uint32 // 0: absent
	Reply                 bool
	Flags, Code, DataSize uint32
}
