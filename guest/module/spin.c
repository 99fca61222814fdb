// SPDX-License-Identifier: GPL-2.0
/*
 * Looking for an answer before sleeping until it comes (step 8 of docs/data-path.md).
 *
 * Where another processor is at work on the answer, it is often there sooner than
 * this one would have gone to sleep and come back: no interrupt, no switch. So a
 * thread that waits looks at its ring for a while, as long as nobody else wants the
 * processor. How long adapts, as KVM's halt polling does: a wait that a longer look
 * would have spared makes the next one longer, one that no look would have spared
 * makes it shorter, down to none.
 *
 * A look should cost no more than the sleep that it spares: some exits of two virtual
 * processors, of which a doorbell is one. So the most is counted in doorbells.
 */
#include <linux/module.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>

#include "vbinder.h"

#define VB_SPIN_FIRST		(5 * NSEC_PER_USEC)
#define VB_SPIN_MAX		4000u
#define VB_SPIN_DOORBELLS	32

static uint spin_us = VB_SPIN_MAX;
module_param(spin_us, uint, 0644);
MODULE_PARM_DESC(spin_us, "how long a thread looks for an answer before it sleeps, microseconds up to 4000, but never longer than 32 doorbells take; 0: not at all");

static u32 vb_spin_limit(const struct vb_device *dev)
{
	u32 most = min(READ_ONCE(spin_us), VB_SPIN_MAX) * NSEC_PER_USEC;

	return min_t(u64, most, (u64)READ_ONCE(dev->doorbell_ns) * VB_SPIN_DOORBELLS);
}

/* Notes that a doorbell took so long. Of two at once the larger may stay. */
void vb_spin_doorbell(struct vb_device *dev, u64 ns)
{
	u32 least = READ_ONCE(dev->doorbell_ns);

	if (!least || ns < least)
		WRITE_ONCE(dev->doorbell_ns, clamp_t(u64, ns, 1, U32_MAX));
}

/* Whether anybody but this processor could be about to answer. */
static bool vb_spin_makes_sense(const struct vb_device *dev)
{
	return !dev->inline_kick || num_online_cpus() > 1;
}

static bool vb_spin_may_go_on(void)
{
	return single_task_running() && !need_resched() && !signal_pending(current);
}

/*
 * Looks for req's answer; true if it came. Preemption stays off: the ring's
 * interrupt is, and somebody has to look.
 */
bool vb_spin(struct vb_queue *q, struct vb_req *req)
{
	u32 window = READ_ONCE(q->spin_ns);
	u64 end;

	if (!window || !vb_spin_makes_sense(q->dev) || !vb_spin_may_go_on())
		return false;
	preempt_disable();
	end = local_clock() + window;
	vb_queue_watch(q, true);
	do {
		cpu_relax();
		vb_queue_harvest(q);
	} while (!completion_done(&req->done) && vb_spin_may_go_on() && local_clock() < end);
	vb_queue_watch(q, false);
	preempt_enable();
	if (!try_wait_for_completion(&req->done))
		return false;
	q->spun++;
	return true;
}

/* Learns from a wait whose answer came so late. Who comes first of several does not matter. */
void vb_spin_learn(struct vb_queue *q, s64 ns)
{
	u32 limit = vb_spin_limit(q->dev), window = min(READ_ONCE(q->spin_ns), limit);

	if (ns > limit)
		window = window < 2 * VB_SPIN_FIRST ? 0 : window / 2;
	else if (ns > window)
		window = clamp_t(u32, 2 * window, min_t(u32, VB_SPIN_FIRST, limit), limit);
	WRITE_ONCE(q->spin_ns, window);
}
