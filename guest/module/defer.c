// SPDX-License-Identifier: GPL-2.0
/*
 * Frees without a doorbell (steps 1 and 2 of docs/data-path.md).
 *
 * A thread that serves no calls frees each reply's buffer with a call of its own, as
 * libbinder has it. The host says of which replies nobody will notice that
 * (VBINDER_RESP_PLAIN). If such a free is the next that the thread sends, it goes to
 * the deferred ring, which the host empties before it executes any other request, and
 * the ioctl returns: nobody waits for the answer, and no interrupt tells of it.
 *
 * What the host has said is kept in a slot of the thread's number. Threads that share
 * one drive each other out: that costs a doorbell.
 */
#include "vbinder.h"

/* A note is a buffer's address and its thread's number, without the bits that are always 0 or the slot's. */
#define VB_NOTE_ADDR_SHIFT	3
#define VB_NOTE_ADDR_BITS	46
#define VB_NOTE_TID_SHIFT	ilog2(VB_PLAIN_SLOTS)
#define VB_NOTE_TID_BITS	(64 - VB_NOTE_ADDR_BITS)

static atomic64_t *vb_plain_slot(struct vb_proc *proc)
{
	return &proc->plain[current->pid % VB_PLAIN_SLOTS];
}

static u64 vb_note(u64 buffer)
{
	BUILD_BUG_ON(PID_MAX_LIMIT >> VB_NOTE_TID_SHIFT > 1 << VB_NOTE_TID_BITS);
	return buffer >> VB_NOTE_ADDR_SHIFT << VB_NOTE_TID_BITS |
	       current->pid >> VB_NOTE_TID_SHIFT;
}

static u64 vb_note_buffer(u64 note)
{
	return note >> VB_NOTE_TID_BITS << VB_NOTE_ADDR_SHIFT;
}

/* The current thread was given a reply in buffer, plain as the host says. */
void vb_plain_note(struct vb_proc *proc, u64 buffer)
{
	u64 note = vb_note(buffer);

	if (vb_note_buffer(note) == buffer)
		atomic64_set(vb_plain_slot(proc), note);
}

/* The plain reply that was the last that the current thread was given, or 0; only once. */
u64 vb_plain_take(struct vb_proc *proc)
{
	atomic64_t *slot = vb_plain_slot(proc);
	u64 note = atomic64_read(slot), buffer = vb_note_buffer(note);

	if (!note || note != vb_note(buffer))
		return 0;
	return atomic64_cmpxchg(slot, note, 0) == note ? buffer : 0;
}

/*
 * Leaves req to the host, for good. On failure it is the caller's as before, to be
 * submitted like any other.
 */
int vb_defer(struct vb_device *dev, struct vb_req *req)
{
	struct vb_queue *q = &dev->queues[VBINDER_Q_DEFERRED];
	struct scatterlist out, in, *sgs[2] = { &out, &in };
	unsigned long flags;
	int err = -ENODEV;

	vb_queue_harvest(q);
	sg_init_one(&out, req->ctl, req->ctl_len);
	sg_init_one(&in, req->resp, req->resp_len);
	req->q = q;
	req->owner = VB_DETACHED;
	spin_lock_irqsave(&q->lock, flags);
	if (!q->dead)
		err = virtqueue_add_sgs(q->vq, sgs, 1, 1, req, GFP_ATOMIC);
	q->requests += !err;
	spin_unlock_irqrestore(&q->lock, flags);
	if (err)
		req->owner = VB_WAITER;
	return err;
}
