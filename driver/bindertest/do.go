// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// What a thread of a scenario can do. Each method makes one call, lets everything
// come to rest, and prints what it and others came to.

// readSize is the room for BR commands that libbinder starts with.
const readSize = 256

// write runs commands and does not read.
func (th *thread) write(cmds ...cmd) { th.writeRead(0, cmds) }

// read runs commands, if any, and reads.
func (th *thread) read(cmds ...cmd) { th.writeRead(readSize, cmds) }

// readN is read with room for n bytes.
func (th *thread) readN(n uint64, cmds ...cmd) { th.writeRead(n, cmds) }

func (th *thread) writeRead(room uint64, cmds []cmd) {
	var m layout
	var stream []byte
	var text []string
	for _, c := range cmds {
		bc, s := c(&m)
		stream = append(stream, bc...)
		text = append(text, s)
	}
	if room != 0 {
		text = append(text, fmt.Sprint("read ", room))
	}
	if len(stream) == 0 && room == 0 {
		text = []string{"nothing"}
	}
	at := m.put(stream) - Arena
	c := Call{Op: OpWriteRead, FD: th.file.n, Addr: Arena, Data: m.buf, Len: at, ReadSize: room}
	th.do(c, th.showWriteRead(len(stream)), "%s", strings.Join(text, "; "))
}

// ioctl makes any ioctl; arg goes in and comes back.
func (th *thread) ioctl(cmd uint32, arg []byte) {
	th.do(Call{Op: OpIoctl, FD: th.file.n, Cmd: cmd, Data: arg}, th.showIoctl(cmd, len(arg)), "%s %x", ioctlName(cmd), arg)
}

// ioctl32 makes any ioctl as a 32-bit process does.
func (th *thread) ioctl32(cmd uint32, arg []byte) {
	th.do(Call{Op: OpIoctl32, FD: th.file.n, Cmd: cmd, Data: arg}, th.showIoctl(cmd, len(arg)), "%s %x, 32-bit", ioctlName(cmd), arg)
}

// ioctlAt makes an ioctl with an argument at addr.
func (th *thread) ioctlAt(cmd uint32, addr uint64) {
	th.do(Call{Op: OpIoctl, FD: th.file.n, Cmd: cmd, Addr: addr}, th.showErrno(), "%s at %#x", ioctlName(cmd), addr)
}

// introduce makes a first ioctl, which no transcript shows.
func (th *thread) introduce() {
	r := th.quiet(Call{Op: OpIoctl, FD: th.file.n, Cmd: uapi.BINDER_VERSION, Data: make([]byte, 4)})
	th.t.check(errnoError(r.Errno), th.name+": BINDER_VERSION")
}

// manage makes the process the context manager.
func (th *thread) manage() { th.ioctl(uapi.BINDER_SET_CONTEXT_MGR, make([]byte, 4)) }

// manageExt does so with an object, whose flags apply to handle 0.
func (th *thread) manageExt(o object) { th.ioctl(uapi.BINDER_SET_CONTEXT_MGR_EXT, o.raw) }

func (th *thread) maxThreads(n uint32) {
	th.ioctl(uapi.BINDER_SET_MAX_THREADS, le.AppendUint32(nil, n))
}

func (th *thread) threadExit() { th.ioctl(uapi.BINDER_THREAD_EXIT, make([]byte, 4)) }

func (th *thread) detectSpam(on uint32) {
	th.ioctl(uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION, le.AppendUint32(nil, on))
}

// extendedError prints and clears the thread's extended error.
func (th *thread) extendedError() { th.ioctl(uapi.BINDER_GET_EXTENDED_ERROR, make([]byte, 12)) }

// nodeDebug prints the process's nodes from the first one above ptr on.
func (th *thread) nodeDebug(ptr uint64) {
	th.ioctl(uapi.BINDER_GET_NODE_DEBUG_INFO, le.AppendUint64(make([]byte, 0, 24), ptr)[:24])
}

func (th *thread) nodeInfo(h uint32) {
	th.ioctl(uapi.BINDER_GET_NODE_INFO_FOR_REF, le.AppendUint32(make([]byte, 0, 24), h)[:24])
}

// freeze is BINDER_FREEZE; a timeout of 0 does not wait.
func (th *thread) freeze(p *proc, timeoutMS uint32) {
	th.do(th.freezeCall(p.pid(), 1, timeoutMS), th.showErrno(), "BINDER_FREEZE %s, %d ms", p.name, timeoutMS)
}

// freezeOut is freeze where the timeout runs out.
func (th *thread) freezeOut(p *proc, timeoutMS uint32) {
	th.doAwait(th.freezeCall(p.pid(), 1, timeoutMS), th.showErrno(), "BINDER_FREEZE %s, until the timeout", p.name)
}

func (th *thread) unfreeze(p *proc) {
	th.do(th.freezeCall(p.pid(), 0, 0), th.showErrno(), "BINDER_FREEZE %s off", p.name)
}

func (th *thread) freezeCall(pid, on, timeoutMS uint32) Call {
	arg := le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, pid), on), timeoutMS)
	return Call{Op: OpIoctl, FD: th.file.n, Cmd: uapi.BINDER_FREEZE, Data: arg}
}

func (th *thread) frozenInfo(p *proc) {
	arg := le.AppendUint32(make([]byte, 0, 12), p.pid())[:12]
	c := Call{Op: OpIoctl, FD: th.file.n, Cmd: uapi.BINDER_GET_FROZEN_INFO, Data: arg}
	th.do(c, th.showIoctl(c.Cmd, len(arg)), "BINDER_GET_FROZEN_INFO %s", p.name)
}

// mustOpen opens a device as part of a scenario's set-up.
func (th *thread) mustOpen(context string, flags uint32) *file {
	r := th.quiet(Call{Op: OpOpen, Name: context, Flags: flags})
	th.t.check(errnoError(r.Errno), th.name+": open "+context)
	return &file{n: int(r.Val), name: context}
}

// open opens a device once more.
func (th *thread) open(context string) *file {
	th.t.printf("%s: open %s", th.name, context)
	return th.mustOpen(context, 0)
}

func (th *thread) close() {
	th.do(Call{Op: OpClose, FD: th.file.n}, th.showErrno(), "close %s", th.file.name)
}

// dup makes one more descriptor of the same file.
func (th *thread) dup() *file {
	th.t.printf("%s: dup %s", th.name, th.file.name)
	r := th.quiet(Call{Op: OpDup, FD: th.file.n})
	th.t.check(errnoError(r.Errno), "dup")
	return &file{n: int(r.Val), name: "copy of " + th.file.name}
}

// give hands the file to another process, as SCM_RIGHTS does.
func (th *thread) give(to *proc) *file {
	th.t.printf("%s: give %s to %s", th.name, th.file.name, to.name)
	r := th.quiet(Call{Op: OpGive, FD: th.file.n, To: to.pid()})
	th.t.check(errnoError(r.Errno), "give")
	return &file{n: int(r.Val), name: th.file.name + " of " + th.proc.name}
}

// mmap maps the file where the process's next mapping goes.
func (th *thread) mmap(size uint64, prot uint32) {
	i := th.proc.nextMap
	th.proc.nextMap++
	th.do(Call{Op: OpMmap, FD: th.file.n, Len: size, Prot: prot, Index: i}, th.showErrno(), "mmap %s %d bytes, prot %d", th.file.name, size, prot)
}

func (th *thread) munmap(addr, size uint64) {
	th.do(Call{Op: OpMunmap, Addr: addr, Len: size}, th.showErrno(), "munmap %#x %d", addr, size)
}

func (th *thread) mprotect(addr, size uint64, prot uint32) {
	th.do(Call{Op: OpMprotect, Addr: addr, Len: size, Prot: prot}, th.showErrno(), "mprotect %#x %d, prot %d", addr, size, prot)
}

// peek prints memory.
func (th *thread) peek(addr, n uint64) {
	show := func(r Result) { th.t.printf("%s = %s %s", th.name, errnoText(r.Errno), bytesText(r.Data)) }
	th.do(Call{Op: OpPeek, Addr: addr, Len: n}, show, "peek %#x %d", addr, n)
}

// forkPeek prints whether a child would find memory there.
func (th *thread) forkPeek(addr, n uint64) {
	th.do(Call{Op: OpForkPeek, Addr: addr, Len: n}, th.showErrno(), "peek %#x %d, in a child", addr, n)
}

// hold has whoever touches pages of the process wait, the kernel too, until letGo. They
// are zero then.
func (th *thread) hold(addr, n uint64) {
	th.do(Call{Op: OpHold, Addr: addr, Len: n}, th.showErrno(), "hold %#x %d", addr, n)
}

func (th *thread) letGo() { th.do(Call{Op: OpLetGo}, th.showErrno(), "let go") }

// poke writes memory as part of a scenario's set-up. From Arena + 8 MiB on, nothing
// else does.
func (th *thread) poke(addr uint64, b []byte) {
	th.t.check(errnoError(th.quiet(Call{Op: OpPoke, Addr: addr, Data: b}).Errno), th.name+": poke")
}

// own is where a scenario may keep bytes of its own.
const own = Arena + 8<<20

const pollEvents = unix.POLLIN | unix.POLLOUT | unix.POLLPRI

func (th *thread) poll() {
	th.do(Call{Op: OpPoll, FD: th.file.n, Flags: pollEvents}, th.showPoll(), "poll %s", th.file.name)
}

func (th *thread) pollWait() {
	th.do(Call{Op: OpPollWait, FD: th.file.n, Flags: unix.POLLIN}, th.showPoll(), "poll %s, waiting", th.file.name)
}

// epoll puts the file into an epoll set.
func (th *thread) epoll() *file {
	th.t.printf("%s: epoll with %s", th.name, th.file.name)
	r := th.quiet(Call{Op: OpEpoll, FD: th.file.n})
	th.t.check(errnoError(r.Errno), "epoll")
	return &file{n: int(r.Val), name: "epoll of " + th.file.name}
}

func (th *thread) nonblock(on uint32) {
	th.do(Call{Op: OpNonblock, FD: th.file.n, Flags: on}, th.showErrno(), "O_NONBLOCK %d", on)
}

// niceNow prints the thread's nice value.
func (th *thread) niceNow() {
	th.do(Call{Op: OpNice}, func(r Result) { th.t.printf("%s = nice %d", th.name, r.Val) }, "nice?")
}

func (th *thread) setNice(n int) {
	th.do(Call{Op: OpNice, Flags: 1, Index: n}, th.showErrno(), "nice %d", n)
}

func (th *thread) setEUID(n int) {
	th.do(Call{Op: OpSetEUID, Index: n}, th.showErrno(), "seteuid %d", n)
}

func (th *thread) rlimit(resource uint32, soft uint64) {
	names := map[uint32]string{unix.RLIMIT_NOFILE: "RLIMIT_NOFILE", unix.RLIMIT_NICE: "RLIMIT_NICE"}
	th.do(Call{Op: OpRlimit, Cmd: resource, Len: soft}, th.showErrno(), "%s %d", names[resource], soft)
}

// fd is a descriptor of a process. Its number is not shown.
type fd struct {
	n    int
	name string
}

// pipe makes a pipe.
func (th *thread) pipe() (r, w fd) {
	res := th.quiet(Call{Op: OpPipe})
	th.t.check(errnoError(res.Errno), "pipe")
	r, w = fd{int(res.Val), "pipe.r"}, fd{int(res.Val2), "pipe.w"}
	th.nameFile(r)
	th.nameFile(w)
	return r, w
}

// tempFile makes a file with this content.
func (th *thread) tempFile(name, content string) fd {
	res := th.quiet(Call{Op: OpFile, Data: []byte(content)})
	th.t.check(errnoError(res.Errno), "file")
	f := fd{int(res.Val), name}
	th.nameFile(f)
	return f
}

func (th *thread) nameFile(f fd) {
	r := th.quiet(Call{Op: OpDescribe, FD: f.n})
	th.t.names.files[string(r.Data)] = f.name
}

// describe says what a descriptor is.
func (th *thread) describe(n int) string {
	r := th.quiet(Call{Op: OpDescribe, FD: n})
	switch {
	case r.Val == 0:
		return "closed"
	case r.Val2 != 0:
		return th.t.names.file(string(r.Data)) + " cloexec"
	default:
		return th.t.names.file(string(r.Data))
	}
}

// look prints what a descriptor is.
func (th *thread) look(f fd) { th.t.printf("%s: %s is %s", th.name, f.name, th.describe(f.n)) }

func (th *thread) closeFD(f fd) {
	th.do(Call{Op: OpClose, FD: f.n}, th.showErrno(), "close %s", f.name)
}

func (th *thread) readFD(f fd) {
	show := func(r Result) { th.t.printf("%s = %s %s", th.name, errnoText(r.Errno), bytesText(r.Data)) }
	th.do(Call{Op: OpReadFD, FD: f.n, Len: 64}, show, "read %s", f.name)
}

func (th *thread) writeFD(f fd, s string) {
	th.do(Call{Op: OpWriteFD, FD: f.n, Data: []byte(s)}, th.showErrno(), "write %s %q", f.name, s)
}

// writeReadAt makes a BINDER_WRITE_READ whose struct is the scenario's own.
func (th *thread) writeReadAt(writeSize, writeConsumed, write, readSize, readConsumed, read uint64) {
	b := longs(writeSize, writeConsumed, write, readSize, readConsumed, read)
	th.do(Call{Op: OpIoctl, FD: th.file.n, Cmd: uapi.BINDER_WRITE_READ, Data: b}, th.showIoctl(uapi.BINDER_WRITE_READ, len(b)),
		"BINDER_WRITE_READ write %d+%d at %#x, read %d+%d at %#x", writeSize, writeConsumed, write, readSize, readConsumed, read)
}

// longs are 64-bit words.
func longs(values ...uint64) (b []byte) {
	for _, v := range values {
		b = le.AppendUint64(b, v)
	}
	return b
}

// stream is the bytes of commands that point to nothing.
func stream(cmds ...cmd) (b []byte) {
	for _, c := range cmds {
		bc, _ := c(&layout{})
		b = append(b, bc...)
	}
	return b
}
