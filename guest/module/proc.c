// SPDX-License-Identifier: GPL-2.0
/*
 * An open file is a binder process: its identity with the host, its place in
 * the table of live processes, its end.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>

#include "compat.h"
#include "vbinder.h"

/* Whoever found the process in the table may look at its identity until now. */
static void vb_proc_free_rcu(struct rcu_head *head)
{
	struct vb_proc *proc = container_of(head, struct vb_proc, rcu);

	put_task_struct(proc->tsk);
	put_pid(proc->pid);
	put_cred(proc->cred);
	kfree(proc->guesses);
	kfree(proc);
}

static void vb_proc_free(struct kref *ref)
{
	struct vb_proc *proc = container_of(ref, struct vb_proc, ref);

	vb_msg_free(proc->unmap_msg);
	vb_msg_free(proc->release_msg);
	if (proc->mm)
		mmdrop(proc->mm);
	vb_context_put(proc->context);
	call_rcu(&proc->rcu, vb_proc_free_rcu);
}

void vb_proc_put(struct vb_proc *proc)
{
	kref_put(&proc->ref, vb_proc_free);
}

static struct vb_proc *vb_proc_alloc(struct vb_context *context, struct file *file)
{
	struct vb_proc *proc = kzalloc(sizeof(*proc), GFP_KERNEL_ACCOUNT);

	if (!proc)
		return NULL;
	kref_get(&context->ref);
	kref_init(&proc->ref);
	proc->tsk = get_task_struct(current->group_leader);
	proc->context = context;
	proc->dev = context->dev;
	proc->pid = get_pid(task_tgid(current));
	proc->cred = get_cred(file->f_cred);
	proc->mapping = file->f_mapping;
	proc->mm = current->mm;
	if (proc->mm)
		mmgrab(proc->mm);
	init_waitqueue_head(&proc->poll_wait);
	init_waitqueue_head(&proc->thread_wait);
	xa_init(&proc->fdas);
	mutex_init(&proc->map_lock);
	proc->unmap_msg = vb_msg_new(VBINDER_OP_UNMAP, 0, 0, 0, GFP_KERNEL_ACCOUNT);
	proc->release_msg = vb_msg_new(VBINDER_OP_RELEASE, 0, 0, 0, GFP_KERNEL_ACCOUNT);
	if (!proc->unmap_msg || !proc->release_msg || vb_lsm_open(proc)) {
		vb_proc_put(proc);
		return NULL;
	}
	return proc;
}

/* Introduces the process to the host, which gives it its id. */
static int vb_proc_hello(struct vb_proc *proc)
{
	char comm[TASK_COMM_LEN];
	struct vbinder_open *open;
	struct vb_msg *msg;
	u32 len;
	int err;

	msg = vb_label_msg(proc, VBINDER_OP_OPEN, sizeof(*open), &len);
	if (!msg)
		return -ENOMEM;
	open = msg->body;
	open->context = cpu_to_le64(proc->context->id);
	open->pid = cpu_to_le32(current->tgid);
	open->nice = cpu_to_le32(task_nice(current));
	open->label_len = cpu_to_le32(len);
	get_task_comm(comm, current->group_leader);
	strscpy_pad(open->comm, comm, sizeof(open->comm));

	vb_req_address(&msg->req, proc);
	err = vb_req_run(proc->dev, vb_request_queue(proc->dev), &msg->req, false);
	if (err)
		return err;
	err = (s32)le32_to_cpu(msg->req.resp->status);
	proc->id = le64_to_cpu(msg->req.resp->val);
	vb_msg_free(msg);
	if (!err && !proc->id)
		err = -EIO;
	return err < 0 ? err : 0;
}

struct vb_proc *vb_proc_open(struct vb_context *context, struct file *file)
{
	struct vb_device *dev = context->dev;
	struct vb_proc *proc;
	int err;

	if (READ_ONCE(dev->dead))
		return ERR_PTR(-ENODEV);
	proc = vb_proc_alloc(context, file);
	if (!proc)
		return ERR_PTR(-ENOMEM);
	err = vb_proc_hello(proc);
	if (err) {
		vb_proc_put(proc);
		return ERR_PTR(err);
	}
	err = xa_insert(&dev->procs, proc->id, proc, GFP_KERNEL);
	if (err) {
		vb_proc_release(proc);
		return ERR_PTR(err);
	}
	return proc;
}

/* The last close. Never fails; waits for nothing but room on the control ring. */
void vb_proc_release(struct vb_proc *proc)
{
	struct vb_msg *msg = proc->release_msg;

	mutex_lock(&proc->map_lock);
	proc->closed = true;
	proc->mapping = NULL;
	mutex_unlock(&proc->map_lock);
	xa_cmpxchg(&proc->dev->procs, proc->id, proc, NULL, GFP_KERNEL);
	vb_fdas_forget(proc);

	proc->release_msg = NULL;
	vb_req_address(&msg->req, proc);
	vb_req_detach(proc->dev, &msg->req);
	vb_proc_put(proc);
}

pid_t vb_proc_pid(struct vb_device *dev, u64 id)
{
	struct vb_proc *proc;
	pid_t pid = 0;

	rcu_read_lock();
	proc = id ? xa_load(&dev->procs, id) : NULL;
	if (proc)
		pid = task_tgid_nr_ns(proc->tsk, task_active_pid_ns(current));
	rcu_read_unlock();
	return pid;
}

const struct cred *vb_proc_cred(struct vb_device *dev, u64 id)
{
	const struct cred *cred = NULL;
	struct vb_proc *proc;

	rcu_read_lock();
	proc = id ? xa_load(&dev->procs, id) : NULL;
	if (proc)
		cred = get_cred(proc->cred);
	rcu_read_unlock();
	return cred;
}

/* As in the binder driver: not of the thread that sends, but of its group's leader. */
uid_t vb_proc_euid(struct vb_proc *proc)
{
	return from_kuid(&init_user_ns, task_euid(proc->tsk));
}

/* Something the host says about process id. Any context. */
void vb_proc_event(struct vb_device *dev, u64 id, u32 type)
{
	struct vb_proc *proc;

	rcu_read_lock();
	proc = xa_load(&dev->procs, id);
	if (proc && type == VBINDER_EV_POLL) {
		wake_up_interruptible_poll(&proc->poll_wait, EPOLLIN | EPOLLRDNORM);
	} else if (proc) {
		atomic_inc(&proc->thread_events);
		wake_up_all(&proc->thread_wait);
	}
	rcu_read_unlock();
}

/* The device is dead: unmaps every buffer and wakes everyone. */
void vb_proc_stop_all(struct vb_device *dev)
{
	struct vb_proc *proc;
	unsigned long id;

	rcu_read_lock();
	xa_for_each(&dev->procs, id, proc) {
		if (!kref_get_unless_zero(&proc->ref))
			continue;
		rcu_read_unlock();
		vb_mmap_zap(proc);
		atomic_inc(&proc->thread_events);
		wake_up_all(&proc->thread_wait);
		wake_up_poll(&proc->poll_wait, EPOLLERR | EPOLLHUP);
		vb_proc_put(proc);
		rcu_read_lock();
	}
	rcu_read_unlock();
}
