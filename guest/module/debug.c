// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/virtbinder: counters, and a ring round trip to measure.
 *
 *	stats	requests, kicks, interrupts, rests and spun of each queue, and how long a thread looks there
 *		now; what a doorbell takes, at least; sleeps, cancels, orphans, events;
 *		open processes, and files on their way
 *	ping	write N: N round trips one after another; read: nanoseconds of one
 *	binder	the log files, as the kernel's own driver has them in a directory beside
 */
#include <linux/debugfs.h>
#include <linux/ktime.h>
#include <linux/seq_file.h>
#include <linux/sort.h>

#include "vbinder.h"

#define VB_MAX_PINGS	SZ_1M

static struct vb_device *vb_debug_first;

static unsigned int vb_count(struct xarray *xa)
{
	unsigned int n = 0;
	unsigned long index;
	void *entry;

	xa_for_each(xa, index, entry)
		n++;
	return n;
}

static int stats_show(struct seq_file *m, void *unused)
{
	struct vb_device *dev = m->private;
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++) {
		struct vb_queue *q = &dev->queues[i];

		seq_printf(m, "queue %u: requests %llu kicks %llu interrupts %llu rests %llu spun %llu look_ns %u\n", i,
			   READ_ONCE(q->requests), READ_ONCE(q->kicks), READ_ONCE(q->interrupts),
			   READ_ONCE(q->rests), READ_ONCE(q->spun), READ_ONCE(q->spin_ns));
	}
	seq_printf(m, "doorbell_ns %u\n", READ_ONCE(dev->doorbell_ns));
	seq_printf(m, "sleeps %lld cancels %lld orphans %lld events %lld reports %lld lost %lld\n",
		   atomic64_read(&dev->sleeps), atomic64_read(&dev->cancels),
		   atomic64_read(&dev->orphaned), atomic64_read(&dev->event_count),
		   atomic64_read(&dev->reports), atomic64_read(&dev->reports_lost));
	seq_printf(m, "processes %u files %u\n", vb_count(&dev->procs), vb_count(&dev->tokens.files));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int vb_ping(struct vb_device *dev, u32 *ns)
{
	struct vb_msg *msg = vb_msg_new(VBINDER_OP_PING, 0, 0, 0, GFP_KERNEL);
	ktime_t start;
	int err;

	if (!msg)
		return -ENOMEM;
	start = ktime_get();
	err = vb_req_run(dev, vb_request_queue(dev), &msg->req, false);
	*ns = min_t(s64, ktime_to_ns(ktime_sub(ktime_get(), start)), U32_MAX);
	if (err)
		return err;
	err = (s32)le32_to_cpu(msg->req.resp->status);
	vb_msg_free(msg);
	return min(err, 0);
}

static int vb_ping_many(struct vb_device *dev, u32 n)
{
	u32 *ns;
	int err;

	if (!n || n > VB_MAX_PINGS)
		return -EINVAL;
	ns = kvmalloc_array(n, sizeof(*ns), GFP_KERNEL);
	if (!ns)
		return -ENOMEM;
	kvfree(dev->ping_ns);
	dev->ping_ns = ns;
	for (dev->ping_count = 0; dev->ping_count < n; dev->ping_count++) {
		err = vb_ping(dev, &ns[dev->ping_count]);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static ssize_t ping_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	struct vb_device *dev = file_inode(file)->i_private;
	u32 n;
	int err = kstrtou32_from_user(buf, len, 0, &n);

	if (err)
		return err;
	mutex_lock(&dev->ping_lock);
	err = vb_ping_many(dev, n);
	mutex_unlock(&dev->ping_lock);
	return err ?: len;
}

static int vb_compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static int ping_show(struct seq_file *m, void *unused)
{
	struct vb_device *dev = m->private;
	u32 n, i;
	u64 sum = 0;

	mutex_lock(&dev->ping_lock);
	n = dev->ping_count;
	if (n) {
		sort(dev->ping_ns, n, sizeof(*dev->ping_ns), vb_compare_u32, NULL);
		for (i = 0; i < n; i++)
			sum += dev->ping_ns[i];
		seq_printf(m, "pings %u ns mean %llu min %u p50 %u p99 %u max %u\n", n,
			   div_u64(sum, n), dev->ping_ns[0], dev->ping_ns[n / 2],
			   dev->ping_ns[(u64)n * 99 / 100], dev->ping_ns[n - 1]);
	}
	mutex_unlock(&dev->ping_lock);
	return 0;
}

static int ping_open(struct inode *inode, struct file *file)
{
	return single_open(file, ping_show, inode->i_private);
}

static const struct file_operations ping_fops = {
	.owner = THIS_MODULE,
	.open = ping_open,
	.read = seq_read,
	.write = ping_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* binder/: a directory of its own, so that the kernel's driver can have its as well. */
static void vb_debug_logs_add(struct vb_device *dev)
{
	struct dentry *dir = debugfs_create_dir("binder", dev->debug);
	unsigned int i;

	for (i = 0; i < VB_LOG_FILES; i++) {
		dev->logs[i] = (struct vb_log){ .dev = dev, .kind = vb_log_files[i].kind };
		debugfs_create_file(vb_log_files[i].name, 0444, dir, &dev->logs[i], &vb_log_fops);
	}
	dev->debug_procs = debugfs_create_dir("proc", dir);
}

static void vb_debug_proc_name(char *name, size_t size, struct vb_proc *proc)
{
	snprintf(name, size, "%d", pid_nr(proc->pid));
}

/* Adds proc/PID, unless another open of the same process has. */
void vb_debug_proc_add(struct vb_proc *proc)
{
	struct vb_device *dev = proc->dev;
	struct dentry *there;
	char name[12];

	vb_debug_proc_name(name, sizeof(name), proc);
	proc->log = (struct vb_log){ .dev = dev, .kind = VBINDER_LOG_PROC, .pid = pid_nr(proc->pid) };
	mutex_lock(&dev->debug_lock);
	if (!IS_ERR_OR_NULL(dev->debug_procs)) {
		there = debugfs_lookup(name, dev->debug_procs);
		if (!there) {
			debugfs_create_file(name, 0444, dev->debug_procs, &proc->log, &vb_log_fops);
			proc->debug_log = true;
		}
		dput(there);
	}
	mutex_unlock(&dev->debug_lock);
}

/* Waits for those who are in the file. */
void vb_debug_proc_remove(struct vb_proc *proc)
{
	struct vb_device *dev = proc->dev;
	struct dentry *file;
	char name[12];

	if (!proc->debug_log)
		return;
	vb_debug_proc_name(name, sizeof(name), proc);
	mutex_lock(&dev->debug_lock);
	if (dev->debug_procs) {
		file = debugfs_lookup(name, dev->debug_procs);
		debugfs_remove(file);
		dput(file);
	}
	mutex_unlock(&dev->debug_lock);
}

/* The first device has the plain name, a further one its own behind it. */
void vb_debug_add(struct vb_device *dev)
{
	char name[48] = VB_NAME;

	if (cmpxchg(&vb_debug_first, NULL, dev))
		snprintf(name, sizeof(name), "%s-%s", VB_NAME, dev_name(&dev->vdev->dev));
	dev->debug = debugfs_create_dir(name, NULL);
	debugfs_create_file("stats", 0444, dev->debug, dev, &stats_fops);
	debugfs_create_file("ping", 0644, dev->debug, dev, &ping_fops);
	vb_debug_logs_add(dev);
}

/* Waits for those who are in the files. */
void vb_debug_remove(struct vb_device *dev)
{
	mutex_lock(&dev->debug_lock);
	dev->debug_procs = NULL;
	mutex_unlock(&dev->debug_lock);
	debugfs_remove(dev->debug);
	dev->debug = NULL;
	cmpxchg(&vb_debug_first, dev, NULL);
}
