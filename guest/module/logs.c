// SPDX-License-Identifier: GPL-2.0
/*
 * The log files, of binderfs and of debugfs. Their text is the host's: the first
 * read takes a snapshot there, later ones read on in it. A read from the start, as
 * after a rewind, takes a new one.
 */
#include <linux/fs.h>

#include "vbinder.h"

#define VB_LOG_CHUNK	SZ_16K	/* bytes of one request */

struct vb_log_reader {
	struct vb_log log;	/* with a reference on its device */
	struct mutex lock;	/* guards the rest */
	u64 snapshot;		/* 0: none */
};

const struct vb_log_file vb_log_files[VB_LOG_FILES] = {
	{ "state", VBINDER_LOG_STATE },
	{ "stats", VBINDER_LOG_STATS },
	{ "transactions", VBINDER_LOG_TRANSACTIONS },
	{ "transaction_log", VBINDER_LOG_TRANSACTION_LOG },
	{ "failed_transaction_log", VBINDER_LOG_FAILED_LOG },
};

static int vb_log_open(struct inode *inode, struct file *file)
{
	struct vb_log_reader *r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);

	if (!r)
		return -ENOMEM;
	r->log = *(struct vb_log *)inode->i_private;
	mutex_init(&r->lock);
	kref_get(&r->log.dev->ref);
	file->private_data = r;
	return 0;
}

/* The host keeps few snapshots; it gets this one back. */
static void vb_log_drop(struct vb_log_reader *r)
{
	struct vbinder_log_close *body;
	struct vb_msg *msg;

	if (!r->snapshot)
		return;
	msg = vb_msg_new(VBINDER_OP_LOG_CLOSE, sizeof(*body), 0, 0, GFP_KERNEL | __GFP_NOFAIL);
	body = msg->body;
	body->snapshot = cpu_to_le64(r->snapshot);
	r->snapshot = 0;
	vb_req_detach(r->log.dev, &msg->req);
}

static int vb_log_release(struct inode *inode, struct file *file)
{
	struct vb_log_reader *r = file->private_data;

	vb_log_drop(r);
	vb_device_put(r->log.dev);
	kfree(r);
	return 0;
}

static struct vb_msg *vb_log_request(struct vb_log_reader *r, u32 room, loff_t pos)
{
	struct vb_msg *msg = vb_msg_new(VBINDER_OP_LOG, sizeof(struct vbinder_log), 0, room,
					GFP_KERNEL);
	struct vbinder_log *body;

	if (!msg)
		return NULL;
	body = msg->body;
	body->snapshot = cpu_to_le64(r->snapshot);
	body->pos = cpu_to_le64(pos);
	body->kind = cpu_to_le32(r->log.kind);
	body->pid = cpu_to_le32(r->log.pid);
	body->room = cpu_to_le32(room);
	return msg;
}

/* Reads up to room bytes at pos; returns how many, or a negative errno. */
static ssize_t vb_log_fetch(struct vb_log_reader *r, char __user *buf, u32 room, loff_t pos)
{
	struct vb_device *dev = r->log.dev;
	struct vb_msg *msg = vb_log_request(r, room, pos);
	ssize_t err;
	u32 got;

	if (!msg)
		return -ENOMEM;
	err = vb_req_run(dev, vb_request_queue(dev), &msg->req, false);
	if (err)
		return err;
	err = (s32)le32_to_cpu(msg->req.resp->status);
	got = min(le32_to_cpu(msg->req.resp->br_len), room);
	if (err >= 0) {
		r->snapshot = le64_to_cpu(msg->req.resp->val);
		err = copy_to_user(buf, msg->arg, got) ? -EFAULT : got;
	} else if (err == -ESTALE) {
		r->snapshot = 0;
	}
	vb_msg_free(msg);
	return err;
}

static ssize_t vb_log_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct vb_log_reader *r = file->private_data;
	u32 room = min3(len, (size_t)VB_LOG_CHUNK, (size_t)r->log.dev->max_read);
	ssize_t n;

	if (mutex_lock_killable(&r->lock))
		return -EINTR;
	if (!*pos)
		vb_log_drop(r);
	n = vb_log_fetch(r, buf, room, *pos);
	if (n > 0)
		*pos += n;
	mutex_unlock(&r->lock);
	return n;
}

const struct file_operations vb_log_fops = {
	.owner = THIS_MODULE,
	.open = vb_log_open,
	.read = vb_log_read,
	.llseek = default_llseek,
	.release = vb_log_release,
};
