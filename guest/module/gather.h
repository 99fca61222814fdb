/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Gather: what a stream of BC commands needs from its sender's memory.
 *
 * gather.c walks the commands of a write buffer, copies them, and collects by
 * value what the host cannot reach: offsets, objects, file descriptors (as
 * tokens), and the positions of data and scatter-gather buffers in the payload.
 * It fills the four tables of a WRITE_READ request and decides nothing else:
 * what is wrong in a transaction is stated in its record and judged by the host.
 *
 * This file and gather.c also compile in userspace (fuzz.c), where fuzz_env.h
 * stands in for the kernel: all contact with the sender is in the few functions
 * under "the sender".
 */
#ifndef _VBINDER_GATHER_H
#define _VBINDER_GATHER_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#else
#include "fuzz_env.h"
#endif

#include "../uapi/vbinder.h"

/* A growing table, at first in memory that its owner lends. */
struct vb_vec {
	u8 *p;
	u32 len;		/* bytes used */
	u32 cap;		/* bytes there are */
	bool heap;		/* p was allocated by vb_vec_grow() */
};

struct vb_limits {
	u32 max_ctl;		/* control part of one request, bytes */
	u32 max_map;		/* any section of a transaction beyond this fails, bytes */
	u64 max_payload;	/* payload of one request, bytes */
};

/*
 * One piece of a BC stream, and the tables that go with it. The owner sets
 * limits and sender, lends memory to the vectors and zeroes the rest.
 */
struct vb_gather {
	const struct vb_limits *limits;
	struct vb_sender *sender;
	struct vb_vec stream;	/* BC bytes */
	struct vb_vec txn;	/* struct vbinder_txn */
	struct vb_vec obj;	/* struct vbinder_obj */
	struct vb_vec fd;	/* struct vbinder_fd */
	u32 flags;		/* VBINDER_WR_FAULT, VBINDER_WR_PARTIAL */
};

/*
 * Gathers the stream [buf + pos, buf + size) up to the limits. Returns 0 or
 * -ENOMEM (the piece then holds nothing). flags say why it ended early.
 */
int vb_gather_piece(struct vb_gather *g, u64 buf, u64 pos, u64 size);

/* Drops every token taken; for a piece that never reached the host. */
void vb_gather_drop_tokens(struct vb_gather *g);

/* Frees what the vectors allocated. */
void vb_gather_free(struct vb_gather *g);

/* Bytes of the control part that this piece makes, the header included. */
u64 vb_gather_ctl_len(const struct vb_gather *g);

/* The sender: implemented by payload.c and fd.c, or by fuzz.c. */

/* A place in the payload to go back to. */
struct vb_payload_mark {
	u32 segs;
	u32 arena;
	u64 len;
	u64 runs;
	u64 last_len;
};

/*
 * Aims at the process that a call to handle, or the reply, is for, and has the
 * LSM judge: what it says of the transaction goes into rec, what it says of
 * binders and files comes with them.
 */
void vb_sender_judge(struct vb_sender *s, u32 handle, bool reply, struct vbinder_txn *rec);
/* 0, or the LSM's errno if no binder may be passed on. */
int vb_sender_judge_binder(struct vb_sender *s);
/* Takes the file behind fd; 0 and a token, or -EBADF, -ENOMEM, -EPERM of the LSM. */
int vb_sender_get_fd(struct vb_sender *s, u32 fd, u32 *token);
void vb_sender_put_token(struct vb_sender *s, u32 token);

/*
 * Adds len bytes at addr to the payload: *got of them were readable. Returns 0
 * or -ENOMEM.
 */
int vb_sender_add(struct vb_sender *s, u64 addr, u64 len, u64 *got);
/* Where the payload ends, in bytes, and the extents it needs at most. */
u64 vb_sender_len(const struct vb_sender *s);
u64 vb_sender_runs(const struct vb_sender *s);
void vb_sender_mark(const struct vb_sender *s, struct vb_payload_mark *m);
void vb_sender_cut(struct vb_sender *s, const struct vb_payload_mark *m);

#ifdef __KERNEL__
/* Copies from the sender's memory; returns how many bytes could not be read. */
static inline size_t vb_sender_read(struct vb_sender *s, void *to, u64 addr, size_t len)
{
	return copy_from_user(to, (const void __user *)(uintptr_t)addr, len);
}
#endif

#endif /* _VBINDER_GATHER_H */
