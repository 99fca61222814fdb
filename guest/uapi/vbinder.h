/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * virtio-binder: the wire protocol between the guest driver and the device.
 *
 * This file is the source of truth for both sides. virtio/vbinder/wire/ztypes.go
 * is generated from it by `make generate`; `make check` regenerates and compares.
 * docs/protocol.md explains the rules; this file fixes the bytes.
 *
 * Every field is little endian and naturally aligned. Reserved fields are sent
 * as zero and ignored. The generator reads `#define NAME literal` and structs of
 * __leNN / __u8 members, nothing else: keep to that form.
 */
#ifndef _UAPI_VBINDER_H
#define _UAPI_VBINDER_H

#include <linux/types.h>

#define VBINDER_ID_DEFAULT	63	/* virtio device id unless configured otherwise */
#define VBINDER_MAGIC		0x444e4256	/* "VBND": the device is known by this, not by its id */
#define VBINDER_VERSION		3

/* Device feature bits. */
#define VBINDER_F_INLINE	0	/* doorbells are handled before the notify returns; see harvest rule in protocol.md */

/* Queues. Request queues follow, config.request_queues of them. */
#define VBINDER_Q_CONTROL	0
#define VBINDER_Q_EVENT		1
#define VBINDER_Q_DEFERRED	2	/* WRITE_READ without transaction or read: executed before any request that is put up later, without a doorbell */
#define VBINDER_Q_REQUEST	3

/* The one shared-memory region: every process's buffer window is a range of it. */
#define VBINDER_SHM_WINDOW	1

struct vbinder_config {
	__le32 magic;
	__le32 version;
	__le32 request_queues;
	__le32 max_ctl;		/* largest control part of a request, bytes */
	__le32 max_read;	/* largest BR area of a request, bytes */
	__le32 max_map;		/* largest buffer window of a process, bytes */
	__le64 window_size;	/* size of shared-memory region VBINDER_SHM_WINDOW, bytes */
};

/* ---- requests: driver -> device, on request and control queues ---- */

/* Request queues. */
#define VBINDER_OP_OPEN			1	/* body vbinder_open, label bytes; resp.val = process id */
#define VBINDER_OP_MMAP			2	/* body vbinder_mmap; resp.val = offset of the range in the window */
#define VBINDER_OP_WRITE_READ		3	/* body vbinder_wr, then the tables it counts */
#define VBINDER_OP_IOCTL		4	/* body vbinder_ioctl; the argument comes back in the BR area */
#define VBINDER_OP_POLL			5	/* no body; resp.val = 1 if readable; arms VBINDER_EV_POLL */
#define VBINDER_OP_FETCH_FIX		6	/* body vbinder_fetch; more of the fix-up table */
#define VBINDER_OP_LABEL		7	/* body label bytes; the opener's security label from now on */
#define VBINDER_OP_CONTEXT		8	/* body vbinder_context; resp.val = context id */
#define VBINDER_OP_LOG			9	/* body vbinder_log; resp.val = snapshot id; its text comes in the BR area */
/* Control queue (which also takes VBINDER_OP_IOCTL for BINDER_THREAD_EXIT). */
#define VBINDER_OP_CANCEL		16	/* no body; cancels request req.seq of thread req.tid */
#define VBINDER_OP_RELEASE		17	/* no body; last close of the file; the window range may be reused */
#define VBINDER_OP_FLUSH		18	/* no body; a close() of some descriptor of the file */
#define VBINDER_OP_UNMAP		19	/* no body; the process's mapping is gone */
#define VBINDER_OP_DELIVERY_FAILED	20	/* body vbinder_undo; undo one delivery */
#define VBINDER_OP_PING			21	/* no body; answered at once; any queue */
#define VBINDER_OP_CONTEXT_END		22	/* body vbinder_context_end; the context goes with its last process */
#define VBINDER_OP_LOG_CLOSE		23	/* body vbinder_log_close; the snapshot is not needed any more */

struct vbinder_req {
	__le32 op;
	__le32 ctl_len;		/* bytes of the control part, this header included; payload follows it */
	__le64 proc;		/* process id given by OPEN; 0 where none is named */
	__le32 tid;		/* thread, as numbered in the guest's initial pid namespace */
	__le32 seq;		/* number of this request in its thread, increasing */
	__le32 flags;		/* reserved */
	__le32 reserved;
};

/* One for each device node: nodes of equal name, of two binderfs mounts say, are two contexts. */
struct vbinder_context {
	__u8   name[256];	/* NUL-terminated: "binder", "hwbinder", ... */
};

struct vbinder_context_end {
	__le64 context;		/* given by CONTEXT */
};

struct vbinder_open {
	__le64 context;		/* given by CONTEXT */
	__le32 pid;		/* thread group leader, initial pid namespace */
	__le32 nice;		/* signed; default priority of the process */
	__le32 label_len;	/* security label that follows, without NUL; 0: the host makes one */
	__le32 reserved;
	__u8   comm[16];	/* what the opener is called now, NUL-padded; for people to read */
};

struct vbinder_mmap {
	__le64 addr;		/* start of the mapping in the process */
	__le64 len;		/* its length in bytes, page multiple */
};

/* flags of vbinder_wr */
#define VBINDER_WR_NONBLOCK	1	/* file is O_NONBLOCK */
#define VBINDER_WR_CONTINUED	2	/* read_consumed was not 0: no leading BR_NOOP */
#define VBINDER_WR_FAULT	4	/* the user's BC stream is unreadable past write_len: EFAULT after it */
#define VBINDER_WR_PARTIAL	8	/* more of the BC stream comes in the next request: do not read */

/*
 * The control part goes on with, each 8-aligned:
 *   write_len bytes of BC stream; txn_count x vbinder_txn; obj_count x vbinder_obj;
 *   fd_count x vbinder_fd; extent_count x vbinder_extent.
 * Without extents the payload is the readable bytes after the control part;
 * with them it is the bytes they name, in order.
 */
struct vbinder_wr {
	__le32 write_len;
	__le32 txn_count;
	__le32 obj_count;
	__le32 fd_count;
	__le32 extent_count;
	__le32 read_size;	/* room for BR commands in the response; 0: no read phase */
	__le32 fix_cap;		/* room for vbinder_fix entries in the response */
	__le32 flags;
	__le32 nice;		/* signed; the caller's nice value now */
	__le32 euid;		/* effective uid of the opener's thread group leader now, initial user namespace */
	__le32 report_cap;	/* room for vbinder_report entries in the response; 0: nobody listens */
	__le32 reserved;
};

/* flags of vbinder_txn */
#define VBINDER_TXN_OFFSETS_FAULT	1	/* the offsets array could not be read */
#define VBINDER_TXN_JUDGED		2	/* the guest's LSM judges: what it said holds for lsm_proc only */

/* One for each BC_TRANSACTION, BC_REPLY and _SG in the stream, in order. */
struct vbinder_txn {
	__le32 cmd_pos;		/* where its BC code stands in the stream */
	__le32 flags;
	__le64 data_pos;	/* data section, position in the payload */
	__le64 data_len;	/* how many of its bytes could be read */
	__le32 obj_first;	/* its run of vbinder_obj, one for each whole entry of the offsets array */
	__le32 obj_count;
	__le64 lsm_proc;	/* process that the LSM's verdicts were decided against; 0: none yet */
	__le32 lsm_error;	/* signed errno of the transaction hook or 0 */
	__le32 reserved;
};

struct vbinder_obj {
	__le64 offset;		/* the entry of the offsets array */
	__u8   raw[40];		/* the object, as far as it could be read */
	__le32 raw_len;		/* bytes of raw that are the sender's; 0: unreadable or outside the data */
	__le32 fd_first;	/* FD: one vbinder_fd; FDA: as many as could be read */
	__le32 fd_count;
	__le32 lsm_error;	/* signed errno of transfer_binder or 0 */
	__le64 seg_pos;		/* PTR: its buffer, position in the payload */
	__le64 seg_len;		/* PTR: how many of its bytes could be read */
};

struct vbinder_fd {
	__le32 token;		/* names a file that the driver holds; 0 with an error */
	__le32 error;		/* signed errno: EBADF, or what the LSM said */
};

struct vbinder_extent {
	__le64 gpa;
	__le64 len;
};

struct vbinder_ioctl {
	__le32 cmd;		/* the BINDER_ ioctl number */
	__le32 euid;		/* the caller's effective uid, initial user namespace */
	__le32 lsm_error;	/* SET_CONTEXT_MGR: signed errno of the LSM's hook or 0 */
	__le32 reserved;
	__u8   arg[24];
};

struct vbinder_fetch {
	__le32 fix_cap;
	__le32 reserved;
};

/* kind of vbinder_log: the files of binder_logs */
#define VBINDER_LOG_STATE		1
#define VBINDER_LOG_STATS		2
#define VBINDER_LOG_TRANSACTIONS	3
#define VBINDER_LOG_TRANSACTION_LOG	4
#define VBINDER_LOG_FAILED_LOG		5
#define VBINDER_LOG_PROC		6	/* proc/PID */

struct vbinder_log {
	__le64 snapshot;	/* 0: take one, of kind */
	__le64 pos;		/* of the text; the answer is empty behind its end */
	__le32 kind;
	__le32 pid;		/* VBINDER_LOG_PROC: thread group, initial pid namespace */
	__le32 room;		/* BR area, bytes */
	__le32 reserved;
};

struct vbinder_log_close {
	__le64 snapshot;
};

/* why of vbinder_undo */
#define VBINDER_UNDO_FDS	1	/* a file could not be installed */
#define VBINDER_UNDO_COPY	2	/* the reader's buffer could not be written */

struct vbinder_undo {
	__le64 delivery;	/* resp.delivery */
	__le32 why;
	__le32 error;		/* signed errno, for the log */
};

/* ---- responses: device -> driver, the writable part of the same chain ---- */

/* flags of vbinder_resp */
#define VBINDER_RESP_CANCELLED	1	/* the read was cancelled; write_consumed still holds */
#define VBINDER_RESP_GONE	2	/* the process was released or the device reset */
#define VBINDER_RESP_WAITING	4	/* no room to park: read again after VBINDER_EV_THREAD */
#define VBINDER_RESP_MORE_FIX	8	/* more fix-ups wait: FETCH_FIX before anything else */
#define VBINDER_RESP_STOPPED	16	/* the stream stopped early with status 0: go on to the read */
#define VBINDER_RESP_RETRY	32	/* gather anew from write_consumed on, the first command judged against process val */
#define VBINDER_RESP_SPAWN	64	/* a continued read: BR_SPAWN_LOOPER stands where the read buffer begins */
#define VBINDER_RESP_QUIET	128	/* if this thread, next of all, frees buffer val and reads, it will just wait */
#define VBINDER_RESP_PLAIN	256	/* a reply: if all that this thread sends next is to free its buffer, nobody will notice; it may be deferred */

#define VBINDER_NO_POS		0xffffffff
#define VBINDER_NO_NICE		0x7fffffff

/*
 * Followed by fix_cap x vbinder_fix (fix_count of them valid), report_cap x
 * vbinder_report (report_count of them valid), then the BR area of read_size
 * bytes (br_len of them valid). For IOCTL the BR area is the argument (24 bytes)
 * and there are no tables.
 */
struct vbinder_resp {
	__le32 status;		/* signed: 0 or -errno, what the ioctl returns */
	__le32 flags;
	__le64 val;
	__le64 write_consumed;	/* bytes of the BC stream executed, of this request */
	__le32 br_len;
	__le32 fix_count;
	__le32 txn_pos;		/* where BR_TRANSACTION, _SEC_CTX or BR_REPLY stands in the BR area */
	__le32 sender_euid;	/* initial user namespace; the driver maps it for the reader */
	__le64 sender_proc;	/* process whose pid goes into sender_pid; 0: leave 0 */
	__le64 delivery;	/* names this delivery for DELIVERY_FAILED; 0: nothing to undo */
	__le32 nice;		/* signed; what the caller's nice becomes, or VBINDER_NO_NICE */
	__le16 report_count;
	__le16 reports_lost;	/* those that found no room; stays at 65535 */
};

/* kind of vbinder_fix */
#define VBINDER_FIX_FD		1	/* install token, write the number (u32) at off in the window */
#define VBINDER_FIX_FDA		2	/* the same, and remember it for the buffer of this delivery */
#define VBINDER_FIX_PUT		3	/* drop token, it will not be delivered */
#define VBINDER_FIX_FREE	4	/* buffer at window offset off was freed: close its FDA descriptors */

struct vbinder_fix {
	__le64 off;		/* offset in the window */
	__le32 token;
	__le32 kind;
};

/* flags of vbinder_report */
#define VBINDER_REPORT_TO	1	/* to_pid is known */
#define VBINDER_REPORT_TO_TID	2	/* to_tid is known */
#define VBINDER_REPORT_REPLY	4	/* a BC_REPLY failed */

/*
 * One failed transaction of this request's stream. Who issued it and in which
 * context the driver knows; pids are those of the initial pid namespace.
 */
struct vbinder_report {
	__le32 error;		/* BR_ code */
	__le32 flags;
	__le32 to_pid;
	__le32 to_tid;
	__le32 txn_flags;
	__le32 code;
	__le32 data_size;	/* low 32 bits */
	__le32 reserved;
};

/* ---- events: device -> driver ---- */

#define VBINDER_EV_POLL		1	/* some thread of proc became readable */
#define VBINDER_EV_THREAD	2	/* thread tid of proc: a read that was WAITING may be sent again */
#define VBINDER_EV_PUT		3	/* drop token[0..count) */

#define VBINDER_EV_TOKENS	10

struct vbinder_event {
	__le32 type;
	__le32 count;
	__le64 proc;
	__le32 tid;
	__le32 reserved;
	__le32 token[10];
};

#endif /* _UAPI_VBINDER_H */
