// SPDX-License-Identifier: GPL-2.0
/*
 * What the guest's LSM has to say: the binder hooks, and the security label.
 *
 * The hooks want both openers' credentials, which only we have; whom a command is
 * for only the host knows. So the target is guessed: where the handle led the last
 * time, whose call the thread is serving. The verdicts travel with the process that
 * they are about, the host uses none about another, and names the target instead
 * (VBINDER_RESP_RETRY). A wrong guess costs a round trip and nothing else: so the
 * tables are small, what falls into one slot shares it, and nothing locks them.
 */
#include <linux/cred.h>
#include <linux/notifier.h>

#include "compat.h"
#include "vbinder.h"

#define VB_HANDLES	256
#define VB_CALLERS	64

/* A longer label is not stated. */
#define VB_MAX_LABEL	SZ_4K

/* Process ids of the host; 0 where nothing is known. */
struct vb_guesses {
	u64 handle[VB_HANDLES];
	u64 caller[VB_CALLERS];
};

/* Labels read before the last change of the policy may be out of date. */
static atomic_t vb_policy = ATOMIC_INIT(0);

static int vb_policy_changed(struct notifier_block *nb, unsigned long event, void *data)
{
	if (event == LSM_POLICY_CHANGE)
		atomic_inc(&vb_policy);
	return NOTIFY_OK;
}

static struct notifier_block vb_policy_notifier = { .notifier_call = vb_policy_changed };

int vb_lsm_init(void)
{
	if (!vb_has_hooks())
		pr_warn(VB_NAME ": this kernel does not export its LSM's binder hooks: they are not asked\n");
	return register_blocking_lsm_notifier(&vb_policy_notifier);
}

void vb_lsm_exit(void)
{
	unregister_blocking_lsm_notifier(&vb_policy_notifier);
}

int vb_lsm_open(struct vb_proc *proc)
{
	if (!vb_has_hooks())
		return 0;
	proc->guesses = kzalloc(sizeof(*proc->guesses), GFP_KERNEL_ACCOUNT);
	return proc->guesses ? 0 : -ENOMEM;
}

/* ---- verdicts ---- */

static u64 *vb_guess(struct vb_proc *proc, u32 handle, bool reply)
{
	return reply ? &proc->guesses->caller[current->pid % VB_CALLERS] :
		       &proc->guesses->handle[handle % VB_HANDLES];
}

/* The current thread is to answer a call of the process caller. */
void vb_lsm_serves(struct vb_proc *proc, u64 caller)
{
	if (proc->guesses && caller)
		WRITE_ONCE(*vb_guess(proc, 0, true), caller);
}

int vb_lsm_set_context_mgr(struct vb_proc *proc)
{
	return proc->guesses ? min(security_binder_set_context_mgr(proc->cred), 0) : 0;
}

static void vb_sender_aim(struct vb_sender *s, const struct cred *to)
{
	put_cred(s->to);
	s->to = to;
}

void vb_sender_judge(struct vb_sender *s, u32 handle, bool reply, struct vbinder_txn *rec)
{
	struct vb_proc *proc = s->proc;
	u64 *guess, id;
	int err;

	if (!proc->guesses)
		return;
	guess = vb_guess(proc, handle, reply);
	if (s->named)
		WRITE_ONCE(*guess, s->named);
	id = s->named ?: READ_ONCE(*guess);
	s->named = 0;
	/* A process that is gone takes nothing: whatever is said of it will do. */
	vb_sender_aim(s, vb_proc_cred(proc->dev, id));
	rec->flags |= cpu_to_le32(VBINDER_TXN_JUDGED);
	rec->lsm_proc = cpu_to_le64(id);
	if (reply || !s->to)
		return;
	err = security_binder_transaction(proc->cred, s->to);
	if (err < 0) {
		rec->lsm_error = cpu_to_le32(err);
		vb_sender_aim(s, NULL);
	}
}

/* After a denial nothing of the transaction is looked at any more. */
int vb_sender_judge_binder(struct vb_sender *s)
{
	int err = s->to ? security_binder_transfer_binder(s->proc->cred, s->to) : 0;

	if (err)
		vb_sender_aim(s, NULL);
	return err;
}

int vb_sender_judge_file(struct vb_sender *s, struct file *file)
{
	int err = s->to ? security_binder_transfer_file(s->proc->cred, s->to, file) : 0;

	if (err >= 0)
		return 0;
	vb_sender_aim(s, NULL);
	return -EPERM;
}

/* ---- labels ---- */

/* A message with the opener's label, which follows body_len bytes of body. */
struct vb_msg *vb_label_msg(struct vb_proc *proc, u32 op, u32 body_len, u32 *label_len)
{
	struct vb_msg *msg;
	int policy = atomic_read(&vb_policy);
	char *label;
	u32 raw, len;

	len = vb_get_label(proc->cred, &label, &raw);
	if (len > VB_MAX_LABEL)
		len = 0;
	msg = vb_msg_new(op, body_len + len, 0, 0, GFP_KERNEL);
	if (msg) {
		memcpy(msg->body + body_len, label, len);
		WRITE_ONCE(proc->policy, policy);
	}
	vb_put_label(label, raw);
	*label_len = len;
	return msg;
}

/* States the opener's label anew if another policy may have changed it. */
int vb_lsm_relabel(struct vb_proc *proc)
{
	struct vb_msg *msg;
	u32 len;
	int err;

	if (likely(READ_ONCE(proc->policy) == atomic_read(&vb_policy)))
		return 0;
	msg = vb_label_msg(proc, VBINDER_OP_LABEL, 0, &len);
	if (!msg)
		return -ENOMEM;
	vb_req_address(&msg->req, proc);
	err = vb_req_run(proc->dev, vb_request_queue(proc->dev), &msg->req, false);
	if (!err)
		vb_msg_free(msg);
	return err;
}
