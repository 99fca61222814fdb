// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// What the core tells beyond the kernel's reports: why a reported transaction
// failed, and losses that the kernel reports nowhere. It is for virtbinder's own
// channels; nothing of it is ever part of a report on netlink.

// Detail is what is known of a failure and has no place in Linux's interface.
type Detail struct {
	Errno     unix.Errno // of the extended error; 0: none
	Pending   int        // transactions that a frozen target has not served
	Free      uint64     // what is left of the target's buffers, bytes; of their oneway half for a oneway
	Size      uint64     // of how much; 0: not known, or of no concern
	Interface string     // that the sender's data begins with, "" if it does not

	FromComm, ToComm string // what the processes were called when they opened the device
}

// NoticeKind is what a Notice tells.
type NoticeKind uint8

const (
	// NoticeDeliveryFailed: the target read a transaction and could not take it, for
	// want of descriptors or of a buffer that can be written.
	NoticeDeliveryFailed NoticeKind = iota + 1
	// NoticeCallLost: the target died with the call, served or queued.
	NoticeCallLost
	// NoticeOnewaysLost: a process ended with Count oneways unread.
	NoticeOnewaysLost
	// NoticeBufferLow: less than a tenth of a process's buffers is free. Told once,
	// until there is more again.
	NoticeBufferLow
)

// Notice is something that went wrong and is no failed command.
type Notice struct {
	Kind             NoticeKind
	Context          string
	FromPID, FromTID uint32 // 0: not known, or several
	ToPID            uint32
	Flags, Code      uint32
	DataSize         uint64
	Count            uint32 // NoticeOnewaysLost
	Free, Size       uint64 // NoticeBufferLow, bytes

	FromComm, ToComm string
}

// Noticer is an Env that wants notices and details; others are spared the work.
// Notice must not block. It is called with no lock held.
type Noticer interface {
	Notice(Notice)
}

type vmNotice struct {
	to Noticer
	n  Notice
}

func (x *Exec) notice(vm *VM, n Notice) {
	if vm.noticer != nil {
		x.notices = append(x.notices, vmNotice{vm.noticer, n})
	}
}

// detail is what is known now of the transaction that is being built.
func (bd *builder) detail(errno unix.Errno) Detail {
	d := Detail{Errno: errno, FromComm: bd.th.proc.comm}
	if !bd.resolved {
		return d
	}
	d.ToComm = bd.target.comm
	mem := &bd.target.mem
	if bd.target.frozen {
		d.Pending = bd.target.outstanding
	}
	if d.Free, d.Size = mem.alloc.FreeBytes(), mem.size; !bd.reply && bd.tr.Flags&uapi.TF_ONE_WAY != 0 {
		d.Free, d.Size = mem.alloc.AsyncFree(), mem.size/2
	}
	return d
}

// lost tells that t died with its target.
func (t *Transaction) lost(x *Exec) {
	p := t.toProc
	if p == nil || t.buffer != nil && t.buffer.node == nil {
		return // a reply: its caller is no more
	}
	if t.flags&uapi.TF_ONE_WAY != 0 {
		p.lostOneways++
		return
	}
	n := Notice{Kind: NoticeCallLost, Context: p.ctx.name, ToPID: p.pid, ToComm: p.comm, Flags: t.flags, Code: t.code}
	if t.buffer != nil {
		n.DataSize = t.buffer.dataSize
	}
	if t.from != nil {
		n.FromPID, n.FromTID, n.FromComm = t.from.proc.pid, t.from.tid, t.from.proc.comm
	}
	x.notice(p.vm, n)
}

// noticeLostOneways ends the count of a released process.
func (p *Process) noticeLostOneways(x *Exec) {
	if p.lostOneways > 0 {
		x.notice(p.vm, Notice{Kind: NoticeOnewaysLost, Context: p.ctx.name, ToPID: p.pid, ToComm: p.comm, Flags: uapi.TF_ONE_WAY, Count: p.lostOneways})
	}
}

// noticeUndo tells of a delivery that failed.
func (p *Process) noticeUndo(x *Exec, b *Buffer) {
	n := Notice{Kind: NoticeDeliveryFailed, Context: p.ctx.name, FromPID: b.senderPID, ToPID: p.pid, ToComm: p.comm, DataSize: b.dataSize}
	if t := b.txn; t != nil {
		n.Code, n.Flags = t.code, t.flags
		if t.from != nil {
			n.FromTID, n.FromComm = t.from.tid, t.from.proc.comm
		}
	}
	x.notice(p.vm, n)
}

// noticeSpace tells when a process's buffers run low, once an episode. It is on the
// path of every transaction, and small enough to be inlined there.
func (p *Process) noticeSpace(x *Exec) {
	if low := p.mem.alloc.FreeBytes() < p.mem.size/10; low != p.mem.low {
		p.spaceChanged(x, low)
	}
}

func (p *Process) spaceChanged(x *Exec, low bool) {
	p.mem.low = low
	if low {
		x.notice(p.vm, Notice{Kind: NoticeBufferLow, Context: p.ctx.name, ToPID: p.pid, ToComm: p.comm, Free: p.mem.alloc.FreeBytes(), Size: p.mem.size})
	}
}
