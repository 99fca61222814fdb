// SPDX-License-Identifier: GPL-2.0
/*
 * BINDER_WRITE_READ (steps 1, 2 and 8 of docs/data-path.md).
 *
 * One call of userspace is usually one request: the write part executes once,
 * then the read waits at the host. It takes more requests when the write buffer
 * is too large for one, when the host has no room to park the read, and when
 * what was delivered had to be dropped.
 */
#include <linux/freezer.h>

#include "vbinder.h"

/* A request with all that it gathers; what is usual fits in here. */
struct vb_call {
	struct vb_req req;
	struct vb_gather g;
	struct vb_sender sender;
	struct vb_seg segs[4];
	bool ctl_heap;
	bool resp_heap;
	u8 stream[256] __aligned(8);
	u8 txn[2 * sizeof(struct vbinder_txn)] __aligned(8);
	u8 obj[4 * sizeof(struct vbinder_obj)] __aligned(8);
	u8 fd[8 * sizeof(struct vbinder_fd)] __aligned(8);
	u8 arena[768] __aligned(8);
	u8 ctl[768] __aligned(8);
	u8 resp[sizeof(struct vbinder_resp) + VB_FIX_CAP * sizeof(struct vbinder_fix) +
		512] __aligned(8);
};

static struct kmem_cache *vb_calls;

int vb_call_cache_init(void)
{
	/* User data is copied into and out of it, anywhere. */
	vb_calls = kmem_cache_create_usercopy("vbinder_call", sizeof(struct vb_call), 64,
					      SLAB_ACCOUNT, 0, sizeof(struct vb_call), NULL);
	return vb_calls ? 0 : -ENOMEM;
}

void vb_call_cache_exit(void)
{
	kmem_cache_destroy(vb_calls);
}

static void vb_call_free(struct vb_req *req)
{
	struct vb_call *c = container_of(req, struct vb_call, req);

	vb_gather_free(&c->g);
	vb_sender_free(&c->sender);
	if (c->ctl_heap)
		kvfree(req->ctl);
	if (c->resp_heap)
		kvfree(req->resp);
	if (req->reporter)
		vb_proc_put(req->reporter);
	kmem_cache_free(vb_calls, c);
}

static void vb_vec_lend(struct vb_vec *v, u8 *p, u32 cap)
{
	v->p = p;
	v->len = 0;
	v->cap = cap;
	v->heap = false;
}

static struct vb_call *vb_call_new(struct vb_proc *proc, u64 named)
{
	struct vb_call *c = kmem_cache_alloc(vb_calls, GFP_KERNEL);

	if (!c)
		return NULL;
	vb_req_init(&c->req, vb_call_free);
	c->ctl_heap = false;
	c->resp_heap = false;
	c->g.limits = &proc->dev->limits;
	c->g.sender = &c->sender;
	c->g.flags = 0;
	vb_vec_lend(&c->g.stream, c->stream, sizeof(c->stream));
	vb_vec_lend(&c->g.txn, c->txn, sizeof(c->txn));
	vb_vec_lend(&c->g.obj, c->obj, sizeof(c->obj));
	vb_vec_lend(&c->g.fd, c->fd, sizeof(c->fd));
	c->sender = (struct vb_sender){
		.dev = proc->dev,
		.proc = proc,
		.named = named,
		.arena = c->arena,
		.arena_cap = sizeof(c->arena),
		.segs = c->segs,
		.max_segs = ARRAY_SIZE(c->segs),
	};
	return c;
}

/* ---- from gathered tables to a control part ---- */

static u8 *vb_put_table(u8 *to, const struct vb_vec *v)
{
	u32 pad = ALIGN(v->len, 8) - v->len;

	memcpy(to, v->p, v->len);
	memset(to + v->len, 0, pad);
	return to + v->len + pad;
}

/* The reports are also sent if nobody waits for the answer any more. */
static void vb_call_report(struct vb_call *c, struct vb_proc *proc)
{
	c->req.report_cap = vb_report_cap();
	if (!c->req.report_cap)
		return;
	kref_get(&proc->ref);
	c->req.reporter = proc;
}

static int vb_call_alloc(struct vb_call *c, u32 ctl_len, u32 read_size)
{
	struct vb_req *req = &c->req;

	req->ctl_len = ctl_len;
	req->fix_cap = VB_FIX_CAP;
	req->resp_len = sizeof(*req->resp) + VB_FIX_CAP * sizeof(struct vbinder_fix) +
			req->report_cap * sizeof(struct vbinder_report) + ALIGN(read_size, 8);
	req->ctl = (void *)c->ctl;
	if (req->ctl_len > sizeof(c->ctl)) {
		req->ctl = kvmalloc(req->ctl_len, GFP_KERNEL_ACCOUNT);
		c->ctl_heap = true;
	}
	req->resp = (void *)c->resp;
	if (req->resp_len > sizeof(c->resp)) {
		req->resp = kvmalloc(req->resp_len, GFP_KERNEL_ACCOUNT);
		c->resp_heap = true;
	}
	return req->ctl && req->resp ? 0 : -ENOMEM;
}

/*
 * Extents that the payload needs: 0 if it fits the chain as descriptors. The
 * control part and the response are estimated from above.
 */
static u32 vb_call_extents(struct vb_call *c, u32 ctl_len, u32 resp_len)
{
	struct vb_runs runs = {};
	u32 rest = ctl_len / PAGE_SIZE + resp_len / PAGE_SIZE + 4;

	if (vb_sender_runs(&c->sender) + rest <= VB_MAX_DESC)
		return 0;
	vb_sender_describe(&c->sender, &runs);
	return runs.n + rest <= VB_MAX_DESC ? 0 : runs.n;
}

/* Lays the request out. read_size 0 means that there is no read phase. */
static int vb_call_build(struct vb_proc *proc, struct vb_call *c, u32 read_size, u32 flags)
{
	struct vb_gather *g = &c->g;
	struct vb_req *req = &c->req;
	u32 ctl_len = vb_gather_ctl_len(g), extents;
	struct vbinder_wr *wr;
	u8 *p;
	int err;

	if (g->txn.len)
		vb_call_report(c, proc);
	extents = vb_call_extents(c, ctl_len, read_size);
	err = vb_call_alloc(c, ctl_len + extents * sizeof(struct vbinder_extent), read_size);
	if (err)
		return err;
	*req->ctl = (struct vbinder_req){
		.op = cpu_to_le32(VBINDER_OP_WRITE_READ),
		.ctl_len = cpu_to_le32(req->ctl_len),
	};
	wr = (void *)(req->ctl + 1);
	*wr = (struct vbinder_wr){
		.write_len = cpu_to_le32(g->stream.len),
		.txn_count = cpu_to_le32(g->txn.len / sizeof(struct vbinder_txn)),
		.obj_count = cpu_to_le32(g->obj.len / sizeof(struct vbinder_obj)),
		.fd_count = cpu_to_le32(g->fd.len / sizeof(struct vbinder_fd)),
		.extent_count = cpu_to_le32(extents),
		.read_size = cpu_to_le32(read_size),
		.fix_cap = cpu_to_le32(req->fix_cap),
		.flags = cpu_to_le32(flags | g->flags),
		.nice = cpu_to_le32(task_nice(current)),
		.euid = cpu_to_le32(vb_proc_euid(proc)),
		.report_cap = cpu_to_le32(req->report_cap),
	};
	p = vb_put_table((u8 *)(wr + 1), &g->stream);
	p = vb_put_table(p, &g->txn);
	p = vb_put_table(p, &g->obj);
	p = vb_put_table(p, &g->fd);
	if (extents) {
		struct vb_runs runs = { .extents = (void *)p };

		vb_sender_describe(&c->sender, &runs);
	} else {
		req->sender = &c->sender;
	}
	return 0;
}

/* ---- one WRITE_READ ---- */

struct vb_exchange {
	struct vb_proc *proc;
	struct file *file;
	struct binder_write_read *bwr;
	bool writing;		/* write buffer not yet executed */
	bool again;		/* another request is needed */
	u64 plain;		/* reply that may be freed without a doorbell, or 0 */
	u64 named;		/* process that the next request's first command is for, 0 if unknown */
	bool faulted;		/* the read buffer is no good: only write, then EFAULT */
	int events;		/* thread_events when the request was sent */
};

/*
 * Room for BR commands, 0 if there is no read phase. As in the driver, a read
 * buffer that is full, or too small for anything, is read into all the same: the
 * leading BR_NOOP is written, and the call waits.
 */
static u32 vb_read_room(struct vb_exchange *x)
{
	struct binder_write_read *bwr = x->bwr;
	u64 room = 0;

	if (!bwr->read_size)
		return 0;
	if (bwr->read_size > bwr->read_consumed)
		room = bwr->read_size - bwr->read_consumed;
	return clamp_t(u64, room, sizeof(u32), x->proc->dev->max_read);
}

/* True if a read would fail before it waits: the leading BR_NOOP cannot be written. */
static bool vb_read_faults(struct vb_exchange *x)
{
	struct binder_write_read *bwr = x->bwr;

	return bwr->read_size && !bwr->read_consumed &&
	       put_user(BR_NOOP, (u32 __user *)(uintptr_t)bwr->read_buffer);
}

static u32 vb_exchange_flags(struct vb_exchange *x)
{
	return (x->file->f_flags & O_NONBLOCK ? VBINDER_WR_NONBLOCK : 0) |
	       (x->bwr->read_consumed ? VBINDER_WR_CONTINUED : 0);
}

/* True if there is nothing to execute but to free a buffer, which *frees is then, or nothing at all. */
static bool vb_stream_is_free(const struct vb_gather *g, u64 *frees)
{
	u32 cmd;

	*frees = 0;
	if (g->flags || !g->stream.len)
		return !g->flags;
	if (g->stream.len != sizeof(cmd) + sizeof(*frees))
		return false;
	memcpy(&cmd, g->stream.p, sizeof(cmd));
	memcpy(frees, g->stream.p + sizeof(cmd), sizeof(*frees));
	return cmd == BC_FREE_BUFFER;
}

/* Leaves c to the host if it does nothing but to free the plain reply: true if it is no longer ours. */
static bool vb_exchange_defer(struct vb_exchange *x, struct vb_call *c)
{
	u64 frees;

	return x->plain && !x->bwr->read_size && vb_stream_is_free(&c->g, &frees) &&
	       frees == x->plain && !vb_defer(x->proc->dev, &c->req);
}

/*
 * Makes, sends and waits for one request; NULL if it was left to the host. On error
 * nothing of it is left to us.
 */
static struct vb_call *vb_exchange_send(struct vb_exchange *x)
{
	struct vb_device *dev = x->proc->dev;
	struct binder_write_read *bwr = x->bwr;
	struct vb_call *c = vb_call_new(x->proc, x->named);
	u32 room;
	int err = 0;

	if (!c)
		return ERR_PTR(-ENOMEM);
	x->named = 0;
	if (x->writing)
		err = vb_gather_piece(&c->g, bwr->write_buffer, bwr->write_consumed,
				      bwr->write_size);
	room = 0;
	if (!(c->g.flags & VBINDER_WR_PARTIAL)) {
		x->faulted = vb_read_faults(x);
		room = x->faulted ? 0 : vb_read_room(x);
	}
	if (!err)
		err = vb_call_build(x->proc, c, room, vb_exchange_flags(x));
	if (!err) {
		vb_req_address(&c->req, x->proc);
		if (vb_exchange_defer(x, c))
			return NULL;
		c->req.rests = room && !(x->file->f_flags & O_NONBLOCK) &&
			       vb_stream_is_free(&c->g, &c->req.frees);
		x->events = atomic_read(&x->proc->thread_events);
		err = vb_queue_submit(vb_request_queue(dev), &c->req, true);
	}
	if (err) {
		/* The host has not seen it: its files are still ours. */
		vb_gather_drop_tokens(&c->g);
		vb_call_free(&c->req);
		return ERR_PTR(err);
	}
	err = vb_req_wait(dev, &c->req, room);
	if (err == -EINTR)
		return ERR_PTR(err);
	if (err) {
		vb_call_free(&c->req);
		return ERR_PTR(err);
	}
	return c;
}

/*
 * Waits until the host has room for the read that it could not park. The host
 * counts on this thread to come back for work meanwhile; it is told of one that
 * does not.
 */
static int vb_exchange_wait(struct vb_exchange *x, const struct vb_req *req)
{
	struct vb_proc *proc = x->proc;

	if (!wait_event_freezable(proc->thread_wait,
				  atomic_read(&proc->thread_events) != x->events ||
				  READ_ONCE(proc->dev->dead)))
		return 0;
	vb_req_cancel(proc->dev, req);
	return -EINTR;
}

/* Hands over what the answer carries for the reader. */
static int vb_exchange_read(struct vb_exchange *x, struct vb_call *c)
{
	struct binder_write_read *bwr = x->bwr;
	struct vb_delivery d = {
		.proc = x->proc,
		.file = x->file,
		.req = &c->req,
		.buffer = bwr->read_buffer + bwr->read_consumed,
		.room = vb_read_room(x),
	};
	int err = vb_deliver(&d);

	bwr->read_consumed += d.copied;
	x->again |= d.nothing;
	if (!err && le32_to_cpu(c->req.resp->flags) & VBINDER_RESP_SPAWN &&
	    put_user(BR_SPAWN_LOOPER, (u32 __user *)(unsigned long)bwr->read_buffer))
		return -EFAULT;
	return err;
}

/* Accounts for the write part; true if it is what failed. */
static bool vb_exchange_wrote(struct vb_exchange *x, struct vb_call *c, int status)
{
	u32 len = c->g.stream.len;
	u64 done = min_t(u64, le64_to_cpu(c->req.resp->write_consumed), len);

	if (!x->writing)
		return false;
	x->bwr->write_consumed += done;
	return status < 0 && (done < len || c->g.flags & VBINDER_WR_FAULT);
}

/* Takes one answer in. Returns what the ioctl would return if it ended here. */
static int vb_exchange_answer(struct vb_exchange *x, struct vb_call *c)
{
	struct vbinder_resp *resp = c->req.resp;
	u32 flags = le32_to_cpu(resp->flags);
	int status = (s32)le32_to_cpu(resp->status);
	struct vb_delivery d = { .proc = x->proc, .file = x->file, .req = &c->req };

	if (c->req.reporter)
		vb_reports_send(x->proc, &c->req);
	if (vb_exchange_wrote(x, c, status))
		x->bwr->read_consumed = 0;
	if (status < 0 || flags & (VBINDER_RESP_CANCELLED | VBINDER_RESP_GONE |
				   VBINDER_RESP_WAITING)) {
		vb_deliver_fixes(&d);
		if (status < 0)
			return status;
		if (flags & VBINDER_RESP_GONE)
			return -ENODEV;
		if (flags & VBINDER_RESP_CANCELLED)
			return -EINTR;
		x->writing = false;
		x->again = true;
		return vb_exchange_wait(x, &c->req);
	}
	if (flags & VBINDER_RESP_RETRY) {
		vb_deliver_fixes(&d);
		x->named = le64_to_cpu(resp->val);
		x->again = true;
		return 0;
	}
	if (c->g.flags & VBINDER_WR_PARTIAL) {
		vb_deliver_fixes(&d);
		x->writing = !(flags & VBINDER_RESP_STOPPED);
		x->again = x->writing || vb_read_room(x);
		return 0;
	}
	x->writing = false;
	if (x->faulted) {
		vb_deliver_fixes(&d);
		return -EFAULT;
	}
	/* A stream that stopped may leave the read to a request of its own. */
	if (flags & VBINDER_RESP_STOPPED && !resp->br_len && vb_read_room(x))
		x->again = true;
	return vb_exchange_read(x, c);
}

static int vb_exchange_run(struct vb_exchange *x)
{
	int err;

	do {
		struct vb_call *c = vb_exchange_send(x);

		if (IS_ERR(c))
			return PTR_ERR(c);
		if (!c) {
			x->bwr->write_consumed = x->bwr->write_size;
			return 0;
		}
		x->plain = 0;
		x->again = false;
		err = vb_exchange_answer(x, c);
		vb_call_free(&c->req);
		/* A long stream never waits; it must end with its thread all the same. */
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
	} while (!err && x->again);
	return err;
}

long vb_write_read(struct vb_proc *proc, struct file *file, void __user *arg)
{
	struct binder_write_read bwr;
	struct vb_exchange x = { .proc = proc, .file = file, .bwr = &bwr };
	int err;

	if (copy_from_user(&bwr, arg, sizeof(bwr))) {
		vb_thread_seen(proc);
		return -EFAULT;
	}
	x.plain = vb_plain_take(proc);
	x.writing = bwr.write_consumed < bwr.write_size;
	err = x.writing ? vb_lsm_relabel(proc) : 0;
	if (!err)
		err = vb_exchange_run(&x);
	if (copy_to_user(arg, &bwr, sizeof(bwr)))
		err = -EFAULT;
	return err;
}
