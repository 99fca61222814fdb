// SPDX-License-Identifier: GPL-2.0
/*
 * The rings (step 2 of docs/data-path.md).
 *
 * An operation is one chain: control part and payload readable, response
 * writable. With VBINDER_F_INLINE the host has handled a doorbell when the notify
 * returns, so whoever kicked harvests the ring at once and usually finds its own
 * answer there; interrupts are off meanwhile and serve only threads that wait.
 * Without it the same code runs and every answer comes by interrupt.
 */
#include <linux/sched/clock.h>

#include "vbinder.h"

/* More than any ordinary request needs; others allocate their scatterlist. */
#define VB_STACK_SG	12

struct vb_queue *vb_request_queue(struct vb_device *dev)
{
	unsigned int n = dev->nr_queues - VBINDER_Q_REQUEST;

	return &dev->queues[VBINDER_Q_REQUEST + raw_smp_processor_id() % n];
}

struct vb_queue *vb_control_queue(struct vb_device *dev)
{
	return &dev->queues[VBINDER_Q_CONTROL];
}

void vb_runs_add_page(struct vb_runs *r, struct page *page, u32 off, u32 len)
{
	phys_addr_t at = page_to_phys(page) + off;

	if (!len)
		return;
	if (r->n && at == r->end) {
		if (r->sg)
			r->sg[r->n - 1].length += len;
		if (r->extents)
			le64_add_cpu(&r->extents[r->n - 1].len, len);
	} else {
		if (r->sg)
			sg_set_page(&r->sg[r->n], page, len, off);
		if (r->extents) {
			r->extents[r->n].gpa = cpu_to_le64(at);
			r->extents[r->n].len = cpu_to_le64(len);
		}
		r->n++;
	}
	r->end = at + len;
}

/* Memory from kmalloc() or vmalloc(). */
void vb_runs_add_mem(struct vb_runs *r, void *p, size_t len)
{
	if (!is_vmalloc_addr(p)) {
		vb_runs_add_page(r, virt_to_page(p), offset_in_page(p), len);
		return;
	}
	while (len) {
		u32 off = offset_in_page(p);
		u32 n = min_t(size_t, len, PAGE_SIZE - off);

		vb_runs_add_page(r, vmalloc_to_page(p), off, n);
		p += n;
		len -= n;
	}
}

/* The readable part of req; the payload only where no extent list names it. */
static void vb_runs_add_out(struct vb_runs *r, struct vb_req *req)
{
	vb_runs_add_mem(r, req->ctl, req->ctl_len);
	if (req->sender)
		vb_sender_describe(req->sender, r);
}

/*
 * ---- requests that rest ----
 *
 * A server that has replied frees the call's buffer and reads, with one request that
 * usually does nothing but wait. The host foretells it (VBINDER_RESP_QUIET), and on
 * one processor nothing can come in between: then the request rests on the ring
 * until the next doorbell, of whatever queue, and costs none of its own. Any other
 * request may change what was foretold, and ends it.
 */

/* Notes what an answer foretells. As it is harvested, before anything else is sent. */
static void vb_quiet_note(struct vb_device *dev, const struct vb_req *req)
{
	if (req->used < sizeof(*req->resp) || num_online_cpus() != 1 ||
	    !(le32_to_cpu(req->resp->flags) & VBINDER_RESP_QUIET))
		return;
	dev->quiet = (struct vb_quiet){
		.proc = req->ctl->proc, .tid = req->ctl->tid, .buffer = req->resp->val,
	};
}

static bool vb_quiet_is(const struct vb_device *dev, const struct vb_req *req)
{
	const struct vb_quiet *said = &dev->quiet;

	return req->rests && said->tid && said->tid == req->ctl->tid &&
	       said->proc == req->ctl->proc && num_online_cpus() == 1 &&
	       (!req->frees || req->frees == le64_to_cpu(said->buffer));
}

/* Rings q's doorbell, and before it that of a queue where requests rest. Not preempted. */
static void vb_queue_ring(struct vb_queue *q)
{
	struct vb_queue *other = q->dev->resting;
	unsigned long flags;
	bool kick;
	u64 start;

	q->dev->resting = NULL;
	if (other && other != q) {
		spin_lock_irqsave(&other->lock, flags);
		kick = !other->dead && virtqueue_kick_prepare(other->vq);
		other->kicks += kick;
		spin_unlock_irqrestore(&other->lock, flags);
		if (kick)
			virtqueue_notify(other->vq);
		vb_queue_harvest(other);
	}
	start = local_clock();
	virtqueue_notify(q->vq);
	vb_spin_doorbell(q->dev, local_clock() - start);
}

/* Puts req on the ring and says whether the device wants to know. Returns 1 if req rests. */
static int vb_queue_add(struct vb_queue *q, struct vb_req *req,
			struct scatterlist *sgs[2], bool *kick)
{
	bool rests = vb_quiet_is(q->dev, req);
	int err = -ENODEV;

	*kick = false;
	if (q->dead)
		return err;
	if (q->dev->inline_kick && !rests)
		virtqueue_disable_cb(q->vq);
	err = virtqueue_add_sgs(q->vq, sgs, 1, 1, req, GFP_ATOMIC);
	q->full |= err;
	q->requests += !err;
	if (rests && !err) {
		q->dev->resting = q;
		q->rests++;
		return 1;
	}
	q->dev->quiet.tid = 0;
	*kick = virtqueue_kick_prepare(q->vq);
	q->kicks += *kick;
	return err;
}

/* Adds, kicks, and harvests; -ENOSPC if the ring is full, -ENODEV if it is gone. */
static int vb_queue_try(struct vb_queue *q, struct vb_req *req, struct scatterlist *sgs[2])
{
	unsigned long flags;
	bool kick;
	int err;

	/*
	 * Not preempted between the decision to kick and the kick: others skip
	 * theirs relying on ours. Stopping the device waits for this section.
	 */
	preempt_disable();
	req->q = q;
	spin_lock_irqsave(&q->lock, flags);
	err = vb_queue_add(q, req, sgs, &kick);
	spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		vb_queue_ring(q);
	if ((q->dev->inline_kick && err <= 0) || err == -ENOSPC)
		vb_queue_harvest(q);
	preempt_enable();
	return min(err, 0);
}

static bool vb_queue_ready(struct vb_queue *q)
{
	return !READ_ONCE(q->full) || READ_ONCE(q->dead);
}

static int vb_queue_wait_room(struct vb_queue *q, bool killable)
{
	if (!killable) {
		wait_event_timeout(q->room, vb_queue_ready(q), HZ / 10);
		return 0;
	}
	if (wait_event_killable_timeout(q->room, vb_queue_ready(q), HZ / 10) < 0)
		return -EINTR;
	return 0;
}

/*
 * Submits req, waiting for room if need be. On success the request belongs to
 * the ring until it is completed, which may already have happened. Returns
 * -ENODEV if the device is gone, -EINTR if killed while waiting for room.
 */
int vb_queue_submit(struct vb_queue *q, struct vb_req *req, bool killable)
{
	struct scatterlist stack[VB_STACK_SG], *heap = NULL, *sg = stack;
	struct scatterlist *sgs[2];
	struct vb_runs out = {}, in = {};
	u32 n;
	int err;

	vb_runs_add_out(&out, req);
	vb_runs_add_mem(&in, req->resp, req->resp_len);
	n = out.n + in.n;
	if (n > VB_MAX_DESC)
		return -ENOMEM;
	if (n > VB_STACK_SG) {
		heap = kmalloc_array(n, sizeof(*heap), GFP_KERNEL);
		if (!heap)
			return -ENOMEM;
		sg = heap;
	}
	sgs[0] = sg;
	sgs[1] = sg + out.n;
	sg_init_table(sgs[0], out.n);
	sg_init_table(sgs[1], in.n);
	out = (struct vb_runs){ .sg = sgs[0] };
	in = (struct vb_runs){ .sg = sgs[1] };
	vb_runs_add_out(&out, req);
	vb_runs_add_mem(&in, req->resp, req->resp_len);

	for (;;) {
		err = vb_queue_try(q, req, sgs);
		if (err == -EIO)
			err = -ENODEV;
		if (err != -ENOSPC && err != -ENOMEM)
			break;
		err = vb_queue_wait_room(q, killable);
		if (err)
			break;
	}
	kfree(heap);
	return err;
}

/*
 * Says whether somebody harvests q all the time: then it needs no interrupts. Who
 * stops has them on again, and has missed nothing. Not preempted in between.
 */
void vb_queue_watch(struct vb_queue *q, bool on)
{
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	q->watchers += on ? 1 : -1;
	spin_unlock_irqrestore(&q->lock, flags);
	if (!on)
		vb_queue_harvest(q);
}

/*
 * Takes what the device has answered off the ring. Any context. Stopping the
 * device waits for whoever is in here, completions included.
 */
void vb_queue_harvest(struct vb_queue *q)
{
	struct vb_req *req, *next;
	unsigned long flags;
	LIST_HEAD(done);
	bool room = false;
	u32 used;

	rcu_read_lock();
	spin_lock_irqsave(&q->lock, flags);
	if (q->dead) {
		spin_unlock_irqrestore(&q->lock, flags);
		goto out;
	}
	do {
		virtqueue_disable_cb(q->vq);
		while ((req = virtqueue_get_buf(q->vq, &used))) {
			req->used = used;
			vb_quiet_note(q->dev, req);
			list_add_tail(&req->done_link, &done);
		}
	} while (!q->watchers && !virtqueue_enable_cb(q->vq) && !virtqueue_is_broken(q->vq));
	if (q->full && !list_empty(&done)) {
		WRITE_ONCE(q->full, false);
		room = true;
	}
	spin_unlock_irqrestore(&q->lock, flags);

	list_for_each_entry_safe(req, next, &done, done_link)
		vb_req_complete(req, false);
	if (room)
		wake_up_all(&q->room);
out:
	rcu_read_unlock();
}

/* Completes everything on the ring as gone; the device has been reset. */
void vb_queue_detach_all(struct vb_queue *q)
{
	struct vb_req *req;

	while ((req = virtqueue_detach_unused_buf(q->vq)))
		vb_req_complete(req, true);
	wake_up_all(&q->room);
}

static struct vb_queue *vb_queue_of(struct virtqueue *vq)
{
	struct vb_device *dev = vq->vdev->priv;

	return &dev->queues[vq->index];
}

/* Interrupt of a request queue or the control queue. */
void vb_queue_done(struct virtqueue *vq)
{
	struct vb_queue *q = vb_queue_of(vq);

	/* A racing update loses a count at most. */
	q->interrupts++;
	vb_queue_harvest(q);
}

/* ---- the event queue ---- */

static int vb_event_add(struct vb_queue *q, struct vbinder_event *ev)
{
	struct scatterlist sg;

	sg_init_one(&sg, ev, sizeof(*ev));
	return virtqueue_add_inbuf(q->vq, &sg, 1, ev, GFP_ATOMIC);
}

static void vb_event_handle(struct vb_device *dev, const struct vbinder_event *ev)
{
	u32 i, n;

	atomic64_inc(&dev->event_count);
	switch (le32_to_cpu(ev->type)) {
	case VBINDER_EV_POLL:
	case VBINDER_EV_THREAD:
		vb_proc_event(dev, le64_to_cpu(ev->proc), le32_to_cpu(ev->type));
		break;
	case VBINDER_EV_PUT:
		n = min_t(u32, le32_to_cpu(ev->count), VBINDER_EV_TOKENS);
		for (i = 0; i < n; i++)
			vb_token_put(&dev->tokens, le32_to_cpu(ev->token[i]));
		break;
	}
}

/* Interrupt of the event queue. */
void vb_event_done(struct virtqueue *vq)
{
	struct vb_queue *q = vb_queue_of(vq);
	struct vbinder_event *ev, copy;
	unsigned long flags;
	bool kick = false;
	u32 used;

	spin_lock_irqsave(&q->lock, flags);
	q->interrupts++;
	while (!q->dead) {
		ev = virtqueue_get_buf(q->vq, &used);
		if (!ev) {
			if (virtqueue_enable_cb(q->vq) || virtqueue_is_broken(q->vq))
				break;
			continue;
		}
		copy = *ev;
		vb_event_add(q, ev);
		kick = true;
		spin_unlock_irqrestore(&q->lock, flags);
		vb_event_handle(q->dev, &copy);
		spin_lock_irqsave(&q->lock, flags);
	}
	kick = kick && !q->dead && virtqueue_kick_prepare(q->vq);
	q->kicks += kick;
	preempt_disable();
	spin_unlock_irqrestore(&q->lock, flags);
	if (kick)
		virtqueue_notify(q->vq);
	preempt_enable();
}

/* Hands the device its event buffers. */
int vb_events_post(struct vb_device *dev)
{
	struct vb_queue *q = &dev->queues[VBINDER_Q_EVENT];
	unsigned long flags;
	unsigned int i;
	int err = 0;

	spin_lock_irqsave(&q->lock, flags);
	for (i = 0; i < VB_EVENTS && q->vq->num_free && !err; i++)
		err = vb_event_add(q, &dev->events[i]);
	spin_unlock_irqrestore(&q->lock, flags);
	virtqueue_kick(q->vq);
	return err;
}
