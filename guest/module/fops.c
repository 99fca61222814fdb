// SPDX-License-Identifier: GPL-2.0
/*
 * What userspace does with an open binder file (step 1 of docs/data-path.md).
 */
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/poll.h>

#include "vbinder.h"

#define VB_PROTOCOL_VERSION	8	/* of the 64-bit binder interface, not of the wire */

/* An ioctl that the host answers, by value. */
struct vb_ioctl {
	u32 cmd;
	u16 in;			/* bytes of argument read */
	u16 out;		/* bytes written back on success */
	int fault;		/* errno for an unreadable argument, as the binder driver has it */
	bool any_process;	/* not bound to the opener's threads */
	bool waits;		/* the host may take long: a signal cancels it */
	bool control;		/* on the control queue */
	bool manages;		/* the LSM has a say */
};

/* 6.1's header has all of these. */
static const struct vb_ioctl vb_ioctls[] = {
	{ .cmd = BINDER_SET_MAX_THREADS, .in = 4, .fault = -EINVAL },
	{ .cmd = BINDER_SET_CONTEXT_MGR, .manages = true },
	{ .cmd = BINDER_SET_CONTEXT_MGR_EXT, .in = 24, .fault = -EINVAL, .manages = true },
	{ .cmd = BINDER_THREAD_EXIT, .control = true },
	{ .cmd = BINDER_GET_NODE_DEBUG_INFO, .in = 24, .out = 24, .fault = -EFAULT,
	  .any_process = true },
	{ .cmd = BINDER_GET_NODE_INFO_FOR_REF, .in = 24, .out = 24, .fault = -EFAULT,
	  .any_process = true },
	{ .cmd = BINDER_FREEZE, .in = 12, .fault = -EFAULT, .any_process = true, .waits = true },
	{ .cmd = BINDER_GET_FROZEN_INFO, .in = 12, .out = 12, .fault = -EFAULT,
	  .any_process = true },
	{ .cmd = BINDER_ENABLE_ONEWAY_SPAM_DETECTION, .in = 4, .fault = -EFAULT },
	{ .cmd = BINDER_GET_EXTENDED_ERROR, .out = 12 },
};

static int vb_open(struct inode *inode, struct file *file)
{
	struct vb_fs *fs = vb_fs_of_inode(inode);
	struct vb_context *context;
	struct vb_proc *proc;

	if (fs)
		context = vb_fs_context(inode);
	else
		context = container_of(file->private_data, struct vb_node, misc)->context;
	proc = vb_proc_open(context, file);
	if (IS_ERR(proc))
		return PTR_ERR(proc);
	file->private_data = proc;
	vb_debug_proc_add(proc);
	if (fs)
		vb_fs_proc_add(fs, proc);
	return 0;
}

static int vb_release(struct inode *inode, struct file *file)
{
	struct vb_proc *proc = file->private_data;

	vb_fs_proc_remove(proc);
	vb_debug_proc_remove(proc);
	vb_proc_release(proc);
	return 0;
}

static int vb_flush(struct file *file, fl_owner_t id)
{
	struct vb_proc *proc = file->private_data;
	struct vb_msg *msg = vb_msg_new(VBINDER_OP_FLUSH, 0, 0, 0, GFP_KERNEL);

	if (msg) {
		vb_req_address(&msg->req, proc);
		vb_req_detach(proc->dev, &msg->req);
	}
	return 0;
}

/* The host says whether there is work, and sends an event when there will be. */
static __poll_t vb_poll(struct file *file, poll_table *wait)
{
	struct vb_proc *proc = file->private_data;
	struct vb_msg *msg;
	__poll_t ready;
	int err;

	poll_wait(file, &proc->poll_wait, wait);
	if (!vb_proc_is_mine(proc))
		return EPOLLERR;
	msg = vb_msg_new(VBINDER_OP_POLL, 0, 0, 0, GFP_KERNEL);
	if (!msg)
		return EPOLLERR;
	vb_req_address(&msg->req, proc);
	err = vb_req_run(proc->dev, vb_request_queue(proc->dev), &msg->req, false);
	if (err)
		return EPOLLERR | (err == -ENODEV ? EPOLLHUP : 0);
	if ((s32)le32_to_cpu(msg->req.resp->status) < 0)
		ready = EPOLLERR;
	else
		ready = msg->req.resp->val ? EPOLLIN : 0;
	vb_msg_free(msg);
	return ready;
}

static const struct vb_ioctl *vb_ioctl_find(u32 cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vb_ioctls); i++)
		if (vb_ioctls[i].cmd == cmd)
			return &vb_ioctls[i];
	return NULL;
}

/* Has the host execute io for the current thread. */
static int vb_ioctl_host(struct vb_proc *proc, const struct vb_ioctl *io, void __user *arg)
{
	struct vb_device *dev = proc->dev;
	struct vbinder_ioctl *body;
	struct vb_msg *msg;
	int err;

	msg = vb_msg_new(VBINDER_OP_IOCTL, sizeof(*body), 0, sizeof(body->arg), GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	body = msg->body;
	body->cmd = cpu_to_le32(io->cmd);
	body->euid = cpu_to_le32(from_kuid(&init_user_ns, current_euid()));
	if (io->in && copy_from_user(body->arg, arg, io->in)) {
		vb_msg_free(msg);
		vb_thread_seen(proc);
		return io->fault;
	}
	if (io->manages)
		body->lsm_error = cpu_to_le32(vb_lsm_set_context_mgr(proc));
	vb_req_address(&msg->req, proc);
	err = vb_req_run(dev, io->control ? vb_control_queue(dev) : vb_request_queue(dev),
			 &msg->req, io->waits);
	if (err)
		return err;
	err = (s32)le32_to_cpu(msg->req.resp->status);
	if (le32_to_cpu(msg->req.resp->flags) & VBINDER_RESP_CANCELLED)
		err = -ERESTARTSYS;
	else if (le32_to_cpu(msg->req.resp->flags) & VBINDER_RESP_GONE)
		err = -ENODEV;
	if (!err && io->out && copy_to_user(arg, msg->arg, io->out))
		err = -EFAULT;
	vb_msg_free(msg);
	return min(err, 0);
}

/*
 * Lets the host see a call that is answered here: a thread's first ioctl, whichever
 * it is and whether or not it fails, changes what its first read does.
 */
void vb_thread_seen(struct vb_proc *proc)
{
	static const struct vb_ioctl seen = { .cmd = BINDER_VERSION };

	vb_ioctl_host(proc, &seen, NULL);
}

/* The version is the guest's to say. */
static int vb_ioctl_version(struct vb_proc *proc, struct binder_version __user *arg)
{
	vb_thread_seen(proc);
	return put_user(VB_PROTOCOL_VERSION, &arg->protocol_version) ? -EINVAL : 0;
}

static long vb_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vb_proc *proc = file->private_data;
	void __user *user = (void __user *)arg;
	const struct vb_ioctl *io;

	if (READ_ONCE(proc->dev->dead))
		return -ENODEV;
	switch (cmd) {
	case BINDER_VERSION:
		return vb_ioctl_version(proc, user);
	case BINDER_WRITE_READ:
		if (!vb_proc_is_mine(proc))
			return -EINVAL;
		return vb_write_read(proc, file, user);
	}
	io = vb_ioctl_find(cmd);
	if (!(io && io->any_process) && !vb_proc_is_mine(proc))
		return -EINVAL;
	if (!io) {
		vb_thread_seen(proc);
		return -EINVAL;
	}
	return vb_ioctl_host(proc, io, user);
}

const struct file_operations vb_fops = {
	.owner = THIS_MODULE,
	.open = vb_open,
	.release = vb_release,
	.flush = vb_flush,
	.poll = vb_poll,
	.unlocked_ioctl = vb_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vb_mmap,
};
