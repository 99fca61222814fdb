// SPDX-License-Identifier: GPL-2.0
/*
 * The life of one operation: made, submitted, waited for, undone.
 *
 * A request has one owner (enum vb_owner). While a thread waits it is the
 * waiter's; a thread that is killed does not wait for the host but leaves the
 * request behind as an orphan, whose answer is undone by a worker: its files are
 * dropped and its delivery given back. Messages that nobody waits for are
 * detached and freed when answered.
 */
#include <linux/sched/clock.h>

#include "vbinder.h"

void vb_req_init(struct vb_req *req, void (*free)(struct vb_req *req))
{
	memset(req, 0, sizeof(*req));
	init_completion(&req->done);
	req->free = free;
}

static void vb_msg_release(struct vb_req *req)
{
	kfree(container_of(req, struct vb_msg, req));
}

void vb_msg_free(struct vb_msg *msg)
{
	if (msg)
		vb_msg_release(&msg->req);
}

struct vb_msg *vb_msg_new(u32 op, u32 body_len, u32 fix_cap, u32 arg_len, gfp_t gfp)
{
	u32 resp_len = sizeof(struct vbinder_resp) + fix_cap * sizeof(struct vbinder_fix) +
		       ALIGN(arg_len, 8);
	u32 head = ALIGN(sizeof(struct vb_msg), 16);
	struct vb_msg *msg;

	msg = kzalloc(head + resp_len + sizeof(struct vbinder_req) + body_len, gfp);
	if (!msg)
		return NULL;
	vb_req_init(&msg->req, vb_msg_release);
	msg->req.resp = (void *)msg + head;
	msg->req.resp_len = resp_len;
	msg->req.fix_cap = fix_cap;
	msg->arg = (void *)msg->req.resp + resp_len - ALIGN(arg_len, 8);
	msg->req.ctl = (void *)msg->req.resp + resp_len;
	msg->req.ctl_len = sizeof(struct vbinder_req) + body_len;
	msg->req.ctl->op = cpu_to_le32(op);
	msg->req.ctl->ctl_len = cpu_to_le32(msg->req.ctl_len);
	msg->body = msg->req.ctl + 1;
	return msg;
}

/* Says for which process and thread req is: the current one of proc. */
void vb_req_address(struct vb_req *req, struct vb_proc *proc)
{
	req->ctl->proc = cpu_to_le64(proc->id);
	req->ctl->tid = cpu_to_le32(current->pid);
	req->ctl->seq = cpu_to_le32(atomic_inc_return(&proc->seq));
}

/* The answer is there, or the device gone. Any context. */
void vb_req_complete(struct vb_req *req, bool gone)
{
	struct vb_device *dev = req->q->dev;

	if (req->used < sizeof(struct vbinder_resp))
		gone = true;
	req->gone = gone;
	switch (cmpxchg(&req->owner, VB_WAITER, VB_ANSWERED)) {
	case VB_WAITER:
		req->answered = local_clock();
		complete(&req->done);
		break;
	case VB_ORPHAN:
		if (llist_add(&req->orphan_link, &dev->orphans))
			schedule_work(&dev->orphan_work);
		break;
	default:
		req->free(req);
	}
}

const struct vbinder_fix *vb_req_fixes(const struct vb_req *req, u32 *count)
{
	*count = min(le32_to_cpu(req->resp->fix_count), req->fix_cap);
	return vb_req_fixes_start(req);
}

/* Sends msg without waiting for an answer; never fails for want of memory. */
void vb_req_detach(struct vb_device *dev, struct vb_req *req)
{
	req->owner = VB_DETACHED;
	if (vb_queue_submit(vb_control_queue(dev), req, false))
		req->free(req);
}

/* Tells the host that what req delivered did not arrive. */
void vb_send_undo(struct vb_device *dev, const struct vb_req *req, u32 why, int error)
{
	struct vbinder_undo *undo;
	struct vb_msg *msg;

	if (!req->resp->delivery)
		return;
	msg = vb_msg_new(VBINDER_OP_DELIVERY_FAILED, sizeof(*undo), 0, 0,
			 GFP_KERNEL | __GFP_NOFAIL);
	msg->req.ctl->proc = req->ctl->proc;
	msg->req.ctl->tid = req->ctl->tid;
	msg->req.ctl->seq = req->ctl->seq;
	undo = msg->body;
	undo->delivery = req->resp->delivery;
	undo->why = cpu_to_le32(why);
	undo->error = cpu_to_le32(error);
	vb_req_detach(dev, &msg->req);
}

/* Undoes an OPEN whose opener was killed. */
static void vb_send_release(struct vb_device *dev, u64 proc)
{
	struct vb_msg *msg = vb_msg_new(VBINDER_OP_RELEASE, 0, 0, 0, GFP_KERNEL | __GFP_NOFAIL);

	msg->req.ctl->proc = cpu_to_le64(proc);
	vb_req_detach(dev, &msg->req);
}

/* And a CONTEXT. */
static void vb_send_context_end(struct vb_device *dev, u64 context)
{
	struct vb_msg *msg = vb_msg_new(VBINDER_OP_CONTEXT_END, sizeof(struct vbinder_context_end),
					0, 0, GFP_KERNEL | __GFP_NOFAIL);
	struct vbinder_context_end *body = msg->body;

	body->context = cpu_to_le64(context);
	vb_req_detach(dev, &msg->req);
}

/* Gives up what the host made for a thread that was killed; true if that is all. */
static bool vb_orphan_made(struct vb_device *dev, const struct vb_req *req)
{
	u32 op = le32_to_cpu(req->ctl->op);
	u64 made = le64_to_cpu(req->resp->val);
	bool failed = (s32)le32_to_cpu(req->resp->status) < 0;

	if (op == VBINDER_OP_OPEN && !failed)
		vb_send_release(dev, made);
	if (op == VBINDER_OP_CONTEXT && !failed)
		vb_send_context_end(dev, made);
	return op == VBINDER_OP_OPEN || op == VBINDER_OP_CONTEXT;
}

/* Drops the files of an answer that nobody will read, and gives its delivery back. */
static void vb_orphan_undo(struct vb_device *dev, struct vb_req *req)
{
	const struct vbinder_fix *fix;
	u32 i, n;

	if (req->gone || vb_orphan_made(dev, req))
		return;
	if (req->reporter)
		vb_reports_send(req->reporter, req);
	fix = vb_req_fixes(req, &n);
	for (i = 0; i < n; i++)
		if (le32_to_cpu(fix[i].kind) != VBINDER_FIX_FREE)
			vb_token_put(&dev->tokens, le32_to_cpu(fix[i].token));
	vb_send_undo(dev, req, VBINDER_UNDO_COPY, -EINTR);
}

void vb_orphan_work(struct work_struct *work)
{
	struct vb_device *dev = container_of(work, struct vb_device, orphan_work);
	struct llist_node *list = llist_del_all(&dev->orphans);
	struct vb_req *req, *next;

	llist_for_each_entry_safe(req, next, list, orphan_link) {
		vb_orphan_undo(dev, req);
		req->free(req);
	}
}

/*
 * Asks the host to give up on req: it is answered then, one way or another. Was it
 * answered as waiting, then the host does not wait for its thread any more.
 */
void vb_req_cancel(struct vb_device *dev, const struct vb_req *req)
{
	struct vb_msg *msg = vb_msg_new(VBINDER_OP_CANCEL, 0, 0, 0, GFP_KERNEL | __GFP_NOFAIL);

	atomic64_inc(&dev->cancels);
	msg->req.ctl->proc = req->ctl->proc;
	msg->req.ctl->tid = req->ctl->tid;
	msg->req.ctl->seq = req->ctl->seq;
	vb_req_detach(dev, &msg->req);
	vb_queue_harvest(req->q);
}

/* Leaves req behind; true if it is no longer ours. */
static bool vb_req_orphan(struct vb_device *dev, struct vb_req *req)
{
	if (cmpxchg(&req->owner, VB_WAITER, VB_ORPHAN) != VB_WAITER)
		return false;
	atomic64_inc(&dev->orphaned);
	return true;
}

/* Waits for an answer that is not there yet: awake first, if that is worth it. */
static int vb_req_sleep(struct vb_device *dev, struct vb_req *req, bool interruptible)
{
	struct vb_queue *q = req->q;
	u64 start = local_clock();
	int err = 0;

	if (!vb_spin(q, req)) {
		atomic64_inc(&dev->sleeps);
		err = wait_for_completion_state(&req->done,
						(interruptible ? TASK_INTERRUPTIBLE : TASK_KILLABLE) |
						TASK_FREEZABLE);
	}
	if (!err)
		vb_spin_learn(q, req->answered - start);
	return err;
}

/*
 * Waits for the answer. Returns 0 with the answer in req->resp; -ENODEV if the
 * device went away; -EINTR if the thread was killed: req is then an orphan and
 * must not be touched. An interruptible wait is for requests that may park: a
 * signal cancels them, and the answer says whether that was in time.
 */
int vb_req_wait(struct vb_device *dev, struct vb_req *req, bool interruptible)
{
	int err = 0;

	if (!try_wait_for_completion(&req->done))
		err = vb_req_sleep(dev, req, interruptible);
	if (err && interruptible) {
		vb_req_cancel(dev, req);
		err = 0;
		if (!try_wait_for_completion(&req->done))
			err = wait_for_completion_state(&req->done,
							TASK_KILLABLE | TASK_FREEZABLE);
	}
	if (err) {
		if (vb_req_orphan(dev, req))
			return -EINTR;
		wait_for_completion(&req->done);
	}
	return req->gone ? -ENODEV : 0;
}

/*
 * Submits and waits. As vb_req_wait(), and frees req itself where it fails, so
 * that on any error the caller has nothing left to do.
 */
int vb_req_run(struct vb_device *dev, struct vb_queue *q, struct vb_req *req,
	       bool interruptible)
{
	int err = vb_queue_submit(q, req, true);

	if (!err) {
		err = vb_req_wait(dev, req, interruptible);
		if (err == -EINTR)
			return err;
	}
	if (err)
		req->free(req);
	return err;
}
