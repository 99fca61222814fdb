// SPDX-License-Identifier: GPL-2.0
/*
 * The BC stream parser (step 1 of docs/data-path.md). Read gather.h first.
 *
 * Nothing here trusts the sender: every number is read once, into memory of
 * ours, and bounded there. Nothing here judges the sender either: a request
 * states what could be read, the host answers as the binder driver would.
 *
 * A piece ends where the next command would not fit the limits (WR_PARTIAL: the
 * rest follows in another request), where the stream is unreadable (WR_FAULT),
 * or after an unknown command, which is sent on for the host to refuse.
 */
#include "gather.h"

#include <linux/android/binder.h>

/* Commands that younger headers know; 6.1's do not. */
#define VB_BC_REQUEST_FREEZE_NOTIFICATION	_IOW('c', 19, struct binder_handle_cookie)
#define VB_BC_CLEAR_FREEZE_NOTIFICATION		_IOW('c', 20, struct binder_handle_cookie)
#define VB_BC_FREEZE_NOTIFICATION_DONE		_IOW('c', 21, binder_uintptr_t)

#define VB_MAX_BC	(sizeof(u32) + sizeof(struct binder_transaction_data_sg))

/* Does not fit this piece; the caller tries again with an empty one. */
#define VB_FULL		1

/*
 * Not among them: BC_ACQUIRE_RESULT and BC_ATTEMPT_ACQUIRE, which no driver ever
 * implemented, and which it refuses before it reads their payload.
 */
static const u32 vb_commands[] = {
	BC_TRANSACTION, BC_REPLY, BC_FREE_BUFFER,
	BC_INCREFS, BC_ACQUIRE, BC_RELEASE, BC_DECREFS,
	BC_INCREFS_DONE, BC_ACQUIRE_DONE,
	BC_REGISTER_LOOPER, BC_ENTER_LOOPER, BC_EXIT_LOOPER,
	BC_REQUEST_DEATH_NOTIFICATION, BC_CLEAR_DEATH_NOTIFICATION,
	BC_DEAD_BINDER_DONE, BC_TRANSACTION_SG, BC_REPLY_SG,
	VB_BC_REQUEST_FREEZE_NOTIFICATION, VB_BC_CLEAR_FREEZE_NOTIFICATION,
	VB_BC_FREEZE_NOTIFICATION_DONE,
};

/* Payload bytes of a command (its number carries them), -1 if it is unknown. */
static int vb_command_len(u32 cmd)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vb_commands); i++)
		if (vb_commands[i] == cmd)
			return _IOC_SIZE(cmd);
	return -1;
}

static bool vb_is_sg(u32 cmd)
{
	return cmd == BC_TRANSACTION_SG || cmd == BC_REPLY_SG;
}

static bool vb_is_reply(u32 cmd)
{
	return cmd == BC_REPLY || cmd == BC_REPLY_SG;
}

static bool vb_is_txn(u32 cmd)
{
	return cmd == BC_TRANSACTION || cmd == BC_TRANSACTION_SG || vb_is_reply(cmd);
}

/* Makes room for n more bytes and returns them, or NULL. */
static void *vb_vec_extend(struct vb_vec *v, u32 n)
{
	void *p;

	if (n > v->cap - v->len) {
		u32 cap = max_t(u32, v->len + n, 2 * v->cap);
		u8 *q = kvmalloc(cap, GFP_KERNEL_ACCOUNT);

		if (!q)
			return NULL;
		memcpy(q, v->p, v->len);
		if (v->heap)
			kvfree(v->p);
		v->p = q;
		v->cap = cap;
		v->heap = true;
	}
	p = v->p + v->len;
	v->len += n;
	return p;
}

static struct vbinder_obj *vb_obj(struct vb_gather *g, u32 i)
{
	return (struct vbinder_obj *)g->obj.p + i;
}

static u32 vb_fd_count(const struct vb_gather *g)
{
	return g->fd.len / sizeof(struct vbinder_fd);
}

static u64 vb_align8(u64 n)
{
	return (n + 7) & ~7ULL;
}

u64 vb_gather_ctl_len(const struct vb_gather *g)
{
	return sizeof(struct vbinder_req) + sizeof(struct vbinder_wr) +
	       vb_align8(g->stream.len) + g->txn.len + g->obj.len + g->fd.len;
}

/* True if extra more bytes of tables, and an extent for each run, still fit. */
static bool vb_fits(struct vb_gather *g, u64 extra)
{
	return vb_gather_ctl_len(g) + extra +
	       vb_sender_runs(g->sender) * sizeof(struct vbinder_extent) <=
	       g->limits->max_ctl;
}

static void vb_drop_from(struct vb_gather *g, u32 len)
{
	struct vbinder_fd *fd = (struct vbinder_fd *)g->fd.p;
	u32 i;

	for (i = len / sizeof(*fd); i < vb_fd_count(g); i++)
		if (!fd[i].error)
			vb_sender_put_token(g->sender, le32_to_cpu(fd[i].token));
	g->fd.len = len;
}

void vb_gather_drop_tokens(struct vb_gather *g)
{
	vb_drop_from(g, 0);
}

static void vb_vec_free(struct vb_vec *v)
{
	if (v->heap)
		kvfree(v->p);
	v->p = NULL;
	v->len = 0;
	v->cap = 0;
	v->heap = false;
}

void vb_gather_free(struct vb_gather *g)
{
	vb_vec_free(&g->stream);
	vb_vec_free(&g->txn);
	vb_vec_free(&g->obj);
	vb_vec_free(&g->fd);
}

/* The transaction being gathered. */
struct vb_txn_state {
	u64 data;		/* sender's address of the data section */
	u64 data_size;
	u64 sg_left;		/* of buffers_size */
	u32 obj_first;
	u32 obj_count;
	bool first;		/* nothing precedes it in the piece: truncate, do not defer */
};

/* Adds fd to the table: a token, or why there is none. */
static int vb_add_fd(struct vb_gather *g, u32 fd)
{
	struct vbinder_fd *e = vb_vec_extend(&g->fd, sizeof(*e));
	u32 token = 0;
	int err;

	if (!e)
		return -ENOMEM;
	err = vb_sender_get_fd(g->sender, fd, &token);
	e->token = cpu_to_le32(token);
	e->error = cpu_to_le32(err);
	return 0;
}

static int vb_gather_fd(struct vb_gather *g, struct vb_txn_state *t, u32 index)
{
	struct vbinder_obj *o = vb_obj(g, index);
	struct binder_fd_object fd;

	if (le32_to_cpu(o->raw_len) < sizeof(fd))
		return 0;
	if (!vb_fits(g, sizeof(struct vbinder_fd)))
		return t->first ? 0 : VB_FULL;
	memcpy(&fd, o->raw, sizeof(fd));
	o->fd_first = cpu_to_le32(vb_fd_count(g));
	o->fd_count = cpu_to_le32(1);
	return vb_add_fd(g, fd.fd);
}

/*
 * The descriptors of an array object live in the buffer of an earlier PTR
 * object, its parent; they are read from the sender's copy of it.
 */
static int vb_gather_fda(struct vb_gather *g, struct vb_txn_state *t, u32 index)
{
	struct vbinder_obj *o = vb_obj(g, index);
	struct binder_fd_array_object fda;
	struct binder_buffer_object parent;
	u32 words[32];
	u64 at, done, n;
	int err;

	if (le32_to_cpu(o->raw_len) < sizeof(fda))
		return 0;
	memcpy(&fda, o->raw, sizeof(fda));
	if (fda.parent >= index - t->obj_first)
		return 0;
	memset(&parent, 0, sizeof(parent));
	if (le32_to_cpu(vb_obj(g, t->obj_first + fda.parent)->raw_len) < sizeof(parent))
		return 0;
	memcpy(&parent, vb_obj(g, t->obj_first + fda.parent)->raw, sizeof(parent));
	if (parent.hdr.type != BINDER_TYPE_PTR)
		return 0;
	if (parent.length > g->limits->max_map || fda.parent_offset > parent.length ||
	    fda.num_fds > (parent.length - fda.parent_offset) / sizeof(u32))
		return 0;
	if (!vb_fits(g, fda.num_fds * sizeof(struct vbinder_fd)))
		return t->first ? 0 : VB_FULL;

	o->fd_first = cpu_to_le32(vb_fd_count(g));
	at = parent.buffer + fda.parent_offset;
	for (done = 0; done < fda.num_fds; done += n) {
		u64 i;

		n = min_t(u64, fda.num_fds - done, ARRAY_SIZE(words));
		n -= (vb_sender_read(g->sender, words, at + done * sizeof(u32),
				     n * sizeof(u32)) + sizeof(u32) - 1) / sizeof(u32);
		for (i = 0; i < n; i++) {
			err = vb_add_fd(g, words[i]);
			if (err)
				return err;
		}
		o->fd_count = cpu_to_le32(done + n);
		if (n < min_t(u64, fda.num_fds - done, ARRAY_SIZE(words)))
			break;
	}
	return 0;
}

static int vb_gather_ptr(struct vb_gather *g, struct vb_txn_state *t, u32 index)
{
	struct vbinder_obj *o = vb_obj(g, index);
	struct vb_payload_mark mark;
	struct binder_buffer_object ptr;
	u64 got = 0;
	int err;

	if (le32_to_cpu(o->raw_len) < sizeof(ptr))
		return 0;
	memcpy(&ptr, o->raw, sizeof(ptr));
	o->seg_pos = cpu_to_le64(vb_sender_len(g->sender));
	if (ptr.length > t->sg_left || !ptr.length)
		return 0;
	if (!t->first && vb_sender_len(g->sender) + ptr.length > g->limits->max_payload)
		return VB_FULL;
	t->sg_left -= min_t(u64, vb_align8(ptr.length), t->sg_left);
	vb_sender_mark(g->sender, &mark);
	err = vb_sender_add(g->sender, ptr.buffer, ptr.length, &got);
	if (err)
		return err;
	if (vb_fits(g, 0)) {
		o->seg_len = cpu_to_le64(got);
		return 0;
	}
	if (!t->first)
		return VB_FULL;
	vb_sender_cut(g->sender, &mark);
	return 0;
}

/* Reads object index; returns its tag, 0 if there is none to speak of. */
static u32 vb_read_object(struct vb_gather *g, struct vb_txn_state *t, u32 index)
{
	struct vbinder_obj *o = vb_obj(g, index);
	u64 offset = le64_to_cpu(o->offset);
	u32 type, n;

	if (offset > t->data_size || t->data_size - offset < sizeof(type))
		return 0;
	n = min_t(u64, sizeof(o->raw), t->data_size - offset);
	if (vb_sender_read(g->sender, o->raw, t->data + offset, n)) {
		memset(o->raw, 0, sizeof(o->raw));
		return 0;
	}
	o->raw_len = cpu_to_le32(n);
	memcpy(&type, o->raw, sizeof(type));
	return type;
}

/* The host stops at the first bad object, so what follows one is not gathered. */
static int vb_gather_objects(struct vb_gather *g, struct vb_txn_state *t)
{
	u32 i, end = t->obj_first + t->obj_count;
	int err = 0;

	for (i = t->obj_first; i < end && !err; i++) {
		switch (vb_read_object(g, t, i)) {
		case BINDER_TYPE_BINDER:
		case BINDER_TYPE_WEAK_BINDER:
		case BINDER_TYPE_HANDLE:
		case BINDER_TYPE_WEAK_HANDLE:
			vb_obj(g, i)->lsm_error = cpu_to_le32(vb_sender_judge_binder(g->sender));
			break;
		case BINDER_TYPE_FD:
			err = vb_gather_fd(g, t, i);
			break;
		case BINDER_TYPE_FDA:
			err = vb_gather_fda(g, t, i);
			break;
		case BINDER_TYPE_PTR:
			err = vb_gather_ptr(g, t, i);
			break;
		default:
			return 0;
		}
	}
	return err;
}

/*
 * Reads the offsets array into fresh object records. Returns 0, -EFAULT, -ENOMEM.
 * A trailing part of an entry is read too: it must be readable, as in the driver.
 */
static int vb_read_offsets(struct vb_gather *g, u64 addr, u64 size)
{
	u64 batch[32];
	u64 pos, n, i;

	for (pos = 0; pos < size; pos += n) {
		n = min_t(u64, size - pos, sizeof(batch));
		if (vb_sender_read(g->sender, batch, addr + pos, n))
			return -EFAULT;
		for (i = 0; i + sizeof(u64) <= n; i += sizeof(u64)) {
			struct vbinder_obj *o = vb_vec_extend(&g->obj, sizeof(*o));

			if (!o)
				return -ENOMEM;
			memset(o, 0, sizeof(*o));
			o->offset = cpu_to_le64(batch[i / sizeof(u64)]);
		}
	}
	return 0;
}

/* Fills record t; the tables may be left longer, the caller cuts them on error. */
static int vb_fill_txn(struct vb_gather *g, struct vbinder_txn *rec,
		       const struct binder_transaction_data *tr, u64 sg_size, bool first)
{
	struct vb_txn_state t = {
		.data = tr->data.ptr.buffer,
		.data_size = tr->data_size,
		.sg_left = sg_size,
		.obj_first = g->obj.len / sizeof(struct vbinder_obj),
		.first = first,
	};
	u64 max = g->limits->max_map, got = 0, tables;
	u32 obj_len = g->obj.len;
	int err;

	rec->data_pos = cpu_to_le64(vb_sender_len(g->sender));
	rec->obj_first = cpu_to_le32(t.obj_first);
	if (tr->data_size > max || tr->offsets_size > max || sg_size > max)
		return 0;
	if (!first && vb_sender_len(g->sender) + tr->data_size > g->limits->max_payload)
		return VB_FULL;
	err = vb_sender_add(g->sender, t.data, t.data_size, &got);
	if (err)
		return err;
	rec->data_len = cpu_to_le64(got);

	tables = tr->offsets_size / sizeof(u64) * sizeof(struct vbinder_obj);
	if (!vb_fits(g, tables)) {
		if (!first)
			return VB_FULL;
		err = -EFAULT;
	} else {
		err = vb_read_offsets(g, tr->data.ptr.offsets, tr->offsets_size);
	}
	if (err == -EFAULT) {
		g->obj.len = obj_len;
		rec->flags = cpu_to_le32(VBINDER_TXN_OFFSETS_FAULT);
		return 0;
	}
	if (err)
		return err;
	t.obj_count = (g->obj.len - obj_len) / sizeof(struct vbinder_obj);
	rec->obj_count = cpu_to_le32(t.obj_count);
	return vb_gather_objects(g, &t);
}

/* Gathers the transaction whose command stands at cmd_pos of the stream. */
static int vb_gather_txn(struct vb_gather *g, u32 cmd_pos, u32 cmd)
{
	struct binder_transaction_data_sg sg;
	struct vbinder_txn rec;
	struct vb_payload_mark mark;
	u32 obj_len = g->obj.len, fd_len = g->fd.len;
	void *p;
	int err;

	memset(&sg, 0, sizeof(sg));
	memset(&rec, 0, sizeof(rec));
	memcpy(&sg, g->stream.p + cmd_pos + sizeof(u32),
	       vb_is_sg(cmd) ? sizeof(sg) : sizeof(sg.transaction_data));
	rec.cmd_pos = cpu_to_le32(cmd_pos);

	p = vb_vec_extend(&g->txn, sizeof(rec));
	if (!p)
		return -ENOMEM;
	vb_sender_mark(g->sender, &mark);
	vb_sender_judge(g->sender, sg.transaction_data.target.handle, vb_is_reply(cmd), &rec);
	err = vb_fill_txn(g, &rec, &sg.transaction_data, sg.buffers_size, cmd_pos == 0);
	if (!err) {
		memcpy(p, &rec, sizeof(rec));
		return 0;
	}
	vb_drop_from(g, fd_len);
	g->obj.len = obj_len;
	g->txn.len -= sizeof(rec);
	vb_sender_cut(g->sender, &mark);
	return err;
}

/* Gathers one command at addr. Returns its length in *len, 0, VB_FULL or an error. */
static int vb_gather_command(struct vb_gather *g, u64 addr, u32 *len, bool *unknown)
{
	u32 cmd_pos = g->stream.len, cmd;
	int payload, err;
	u8 *p;

	if (vb_sender_read(g->sender, &cmd, addr, sizeof(cmd)))
		return -EFAULT;
	payload = vb_command_len(cmd);
	*unknown = payload < 0;
	*len = sizeof(cmd) + (*unknown ? 0 : payload);
	if (!vb_fits(g, vb_align8(*len) + (vb_is_txn(cmd) ? sizeof(struct vbinder_txn) : 0)))
		return VB_FULL;
	p = vb_vec_extend(&g->stream, *len);
	if (!p)
		return -ENOMEM;
	memcpy(p, &cmd, sizeof(cmd));
	err = 0;
	if (vb_sender_read(g->sender, p + sizeof(cmd), addr + sizeof(cmd), *len - sizeof(cmd)))
		err = -EFAULT;
	else if (vb_is_txn(cmd))
		err = vb_gather_txn(g, cmd_pos, cmd);
	if (err)
		g->stream.len = cmd_pos;
	return err;
}

int vb_gather_piece(struct vb_gather *g, u64 buf, u64 pos, u64 size)
{
	bool unknown = false;
	u32 len = 0;
	int err;

	/* As the driver does, a command that begins inside size may end beyond it. */
	for (; pos < size && !unknown; pos += len) {
		err = vb_gather_command(g, buf + pos, &len, &unknown);
		if (err == -EFAULT) {
			g->flags |= VBINDER_WR_FAULT;
			return 0;
		}
		if (err && g->stream.len) {
			g->flags |= VBINDER_WR_PARTIAL;
			return 0;
		}
		if (err)
			return -ENOMEM;
	}
	return 0;
}
