/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtbinder guest driver: what its files share.
 *
 * One vb_device a virtio device; one vb_proc an open file; one vb_req an
 * operation on its way to the host and back. A vb_call is the vb_req of a
 * BINDER_WRITE_READ with all that it gathers, a vb_msg that of anything else.
 *
 * Locks, outermost first; no other two are ever held together:
 *
 *	vb_device.stop_lock	stopping the device, once
 *	  vb_device.debug_lock	files of debugfs
 *	  vb_proc.map_lock	taking the mapping away, or the file's release
 *	  mmap_lock		held by the kernel around vb_mmap() and vb_vma_close()
 *	    vb_queue.lock	a ring; leaf, interrupts off
 *	    tokens.xa_lock	leaf, interrupts off
 *
 * vb_device.srcu is held, shared, by whoever touches the buffer window or adds a
 * mapping of it; stopping the device waits for them. A ring is touched only
 * under its lock, except for the notify, which runs with preemption disabled and
 * which stopping waits for with synchronize_rcu().
 */
#ifndef _VBINDER_H
#define _VBINDER_H

#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pid.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <linux/virtio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <linux/android/binder.h>
#include <linux/android/binderfs.h>

#include "../uapi/vbinder.h"
#include "gather.h"

#define VB_NAME		"virtbinder"
#define VB_MAX_DESC	64	/* descriptors of a chain, by protocol */
#define VB_PIN_MIN	SZ_16K	/* sections from this size on are pinned, not copied */
#define VB_EVENTS	64	/* event buffers */
#define VB_FIX_CAP	16	/* fix-ups that a response has room for */
#define VB_FETCH_CAP	224	/* and those of FETCH_FIX */
#define VB_PLAIN_SLOTS	16	/* threads of a process whose last reply is known to be plain */
#define VB_REPORT_CAP	8	/* failure reports that a response has room for, if anybody listens */

/* ---- device.c, main.c: the device ---- */

struct vb_queue {
	struct vb_device *dev;
	struct virtqueue *vq;		/* NULL once the device is stopped */
	spinlock_t lock;
	bool dead;			/* no more requests */
	bool full;			/* someone waits for room */
	unsigned int watchers;		/* who look at the ring by themselves, under lock */
	u32 spin_ns;			/* how long a waiting thread looks, now */
	wait_queue_head_t room;
	/* counters, under lock */
	u64 requests;
	u64 kicks;
	u64 interrupts;
	u64 rests;
	u64 spun;			/* answers that a look has found; not exact */
};

/* What VBINDER_RESP_QUIET said last; tid is 0 if it holds no more. */
struct vb_quiet {
	__le64 proc;
	__le64 buffer;
	__le32 tid;
};

struct vb_tokens {
	struct xarray files;		/* token -> struct file */
	u32 next;
};

/* A log file: inode->i_private. */
struct vb_log {
	struct vb_device *dev;
	u32 kind;			/* VBINDER_LOG_ */
	u32 pid;			/* of VBINDER_LOG_PROC */
};

struct vb_log_file {
	const char *name;
	u32 kind;
};

#define VB_LOG_FILES	5

/* A static device node. */
struct vb_node {
	struct miscdevice misc;
	struct vb_context *context;
	struct list_head link;
	char name[BINDERFS_MAX_NAME + 1];
};

struct vb_device {
	struct kref ref;
	struct virtio_device *vdev;	/* valid until stopped */
	bool inline_kick;		/* VBINDER_F_INLINE */
	u32 doorbell_ns;		/* what a doorbell takes, the least seen; 0: none rung yet */
	bool dead;			/* set once, by vb_device_stop() */
	struct mutex stop_lock;
	bool stopped;
	struct work_struct reset_work;	/* DEVICE_NEEDS_RESET */
	struct notifier_block pm;	/* while it is probed */

	struct vb_limits limits;
	u32 max_read;
	unsigned int nr_queues;		/* all, request queues from VBINDER_Q_REQUEST */
	struct vb_quiet quiet;
	struct vb_queue *resting;	/* has requests that no doorbell was rung for, see queue.c */
	struct vb_queue *queues;
	struct vbinder_event *events;

	struct srcu_struct srcu;
	phys_addr_t window_phys;
	u64 window_size;
	void *window;			/* write-back mapping of the whole window */

	struct list_head nodes;
	struct xarray procs;		/* process id -> struct vb_proc */
	struct vb_tokens tokens;

	struct llist_head orphans;	/* answered, nobody waits: to be undone */
	struct work_struct orphan_work;

	struct dentry *debug;
	struct mutex debug_lock;	/* guards debug_procs, and who looks something up there */
	struct dentry *debug_procs;
	struct vb_log logs[VB_LOG_FILES];
	struct mutex ping_lock;
	u32 *ping_ns;
	u32 ping_count;

	atomic64_t sleeps;
	atomic64_t cancels;
	atomic64_t orphaned;
	atomic64_t event_count;
	atomic64_t reports;
	atomic64_t reports_lost;
};

struct vb_context;
struct vb_msg;
struct vb_proc;

struct vb_device *vb_device_new(struct virtio_device *vdev);
int vb_device_start(struct vb_device *dev);
void vb_device_stop(struct vb_device *dev, const char *why);
void vb_device_put(struct vb_device *dev);
int vb_window_write(struct vb_device *dev, u64 off, u32 value);
int vb_window_read(struct vb_device *dev, u64 off, void *to, size_t len);

int vb_nodes_register(struct vb_device *dev);
void vb_nodes_unregister(struct vb_device *dev);

void vb_debug_add(struct vb_device *dev);
void vb_debug_remove(struct vb_device *dev);
void vb_debug_proc_add(struct vb_proc *proc);
void vb_debug_proc_remove(struct vb_proc *proc);

/* ---- main.c: names and devices ---- */

int vb_device_names(int (*f)(void *arg, const char *name), void *arg);
struct vb_device *vb_device_get_first(void);

/* ---- context.c: what a device node stands for ---- */

struct vb_context {
	struct kref ref;
	struct vb_device *dev;		/* with a reference */
	u64 id;				/* the host's name for it */
	char name[BINDERFS_MAX_NAME + 1];
	struct vb_msg *end_msg;		/* so that its end cannot fail */
};

struct vb_context *vb_context_new(struct vb_device *dev, const char *name);
void vb_context_put(struct vb_context *ctx);

/* ---- logs.c: the log files ---- */

extern const struct vb_log_file vb_log_files[VB_LOG_FILES];
extern const struct file_operations vb_log_fops;

/* ---- binderfs*.c: mounts ---- */

struct vb_fs;

int vb_fs_init(void);
void vb_fs_exit(void);
/* The mount that inode is in, NULL if it is in another file system. */
struct vb_fs *vb_fs_of_inode(const struct inode *inode);
struct vb_context *vb_fs_context(const struct inode *inode);
void vb_fs_proc_add(struct vb_fs *fs, struct vb_proc *proc);
void vb_fs_proc_remove(struct vb_proc *proc);

/* ---- request.c: an operation ---- */

/* Who looks at the answer. Changed with cmpxchg() once a request was submitted. */
enum vb_owner {
	VB_WAITER,		/* a thread waits on done */
	VB_ANSWERED,		/* the waiter's to look at */
	VB_ORPHAN,		/* its thread was killed: undo what it delivers, then free */
	VB_DETACHED,		/* nobody: free */
};

struct vb_req {
	struct list_head done_link;	/* while being harvested */
	struct llist_node orphan_link;
	struct vb_queue *q;
	struct completion done;
	u64 answered;			/* when it was, by the local clock; if somebody waits */
	int owner;			/* enum vb_owner */
	bool gone;			/* the device was stopped before it answered */
	bool rests;			/* does nothing but wait if the host has foretold so: frees and reads */
	u64 frees;			/* the buffer that it frees, or 0 */
	u32 used;			/* bytes of resp that the device wrote */
	struct vbinder_req *ctl;	/* control part */
	u32 ctl_len;
	struct vbinder_resp *resp;	/* response: head, fix-ups, reports, BR area */
	u32 resp_len;
	u32 fix_cap;
	u32 report_cap;
	struct vb_proc *reporter;	/* whose reports it carries; set where report_cap is not 0 */
	struct vb_sender *sender;	/* payload, or NULL */
	void (*free)(struct vb_req *req);
};

/* An operation without payload: header, body and response in one allocation. */
struct vb_msg {
	struct vb_req req;
	u8 *arg;			/* BR area of the response */
	void *body;
};

struct vb_msg *vb_msg_new(u32 op, u32 body_len, u32 fix_cap, u32 arg_len, gfp_t gfp);
void vb_msg_free(struct vb_msg *msg);
void vb_req_init(struct vb_req *req, void (*free)(struct vb_req *req));
void vb_req_address(struct vb_req *req, struct vb_proc *proc);
void vb_req_complete(struct vb_req *req, bool gone);
void vb_req_cancel(struct vb_device *dev, const struct vb_req *req);
int vb_req_wait(struct vb_device *dev, struct vb_req *req, bool interruptible);
int vb_req_run(struct vb_device *dev, struct vb_queue *q, struct vb_req *req,
	       bool interruptible);
void vb_req_detach(struct vb_device *dev, struct vb_req *req);
void vb_orphan_work(struct work_struct *work);
void vb_send_undo(struct vb_device *dev, const struct vb_req *req, u32 why, int error);

static inline const struct vbinder_fix *vb_req_fixes_start(const struct vb_req *req)
{
	return (const struct vbinder_fix *)(req->resp + 1);
}

/* The fix-ups of a response, as many as it has room for and says are valid. */
const struct vbinder_fix *vb_req_fixes(const struct vb_req *req, u32 *count);

/* ---- queue.c: rings ---- */

struct vb_queue *vb_request_queue(struct vb_device *dev);
struct vb_queue *vb_control_queue(struct vb_device *dev);
int vb_queue_submit(struct vb_queue *q, struct vb_req *req, bool killable);
void vb_queue_harvest(struct vb_queue *q);
void vb_queue_watch(struct vb_queue *q, bool on);
void vb_queue_detach_all(struct vb_queue *q);
void vb_queue_done(struct virtqueue *vq);
void vb_event_done(struct virtqueue *vq);
int vb_events_post(struct vb_device *dev);

/* ---- defer.c: frees without a doorbell ---- */

void vb_plain_note(struct vb_proc *proc, u64 buffer);
u64 vb_plain_take(struct vb_proc *proc);
int vb_defer(struct vb_device *dev, struct vb_req *req);

/* ---- spin.c: before a thread sleeps ---- */

bool vb_spin(struct vb_queue *q, struct vb_req *req);
void vb_spin_learn(struct vb_queue *q, s64 ns);
void vb_spin_doorbell(struct vb_device *dev, u64 ns);

/* Physically contiguous runs of memory, as descriptors or extents; either may be NULL. */
struct vb_runs {
	struct scatterlist *sg;
	struct vbinder_extent *extents;
	u32 n;
	phys_addr_t end;
};

void vb_runs_add_page(struct vb_runs *r, struct page *page, u32 off, u32 len);
void vb_runs_add_mem(struct vb_runs *r, void *p, size_t len);

/* ---- proc.c: an open file ---- */

struct vb_proc {
	struct kref ref;
	struct rcu_head rcu;
	struct vb_device *dev;		/* context's, which has its reference */
	struct vb_context *context;
	u64 id;				/* the host's name for it, 0 before OPEN */
	struct task_struct *tsk;	/* the opener's thread group leader */
	struct pid *pid;		/* its thread group, also after an exec by another thread */
	const struct cred *cred;	/* the opener's */
	struct vb_guesses *guesses;	/* NULL: the LSM is not asked */
	atomic64_t plain[VB_PLAIN_SLOTS];	/* replies that may be freed without a doorbell, see defer.c */
	int policy;			/* state of the LSM's policy that the stated label is from */
	atomic_t seq;
	wait_queue_head_t poll_wait;
	wait_queue_head_t thread_wait;	/* reads that the host had no room to park */
	atomic_t thread_events;
	struct xarray fdas;		/* window offset of a buffer -> struct vb_fda */

	struct mutex map_lock;		/* guards closed */
	bool closed;			/* file released */
	struct address_space *mapping;	/* valid until closed */
	struct mm_struct *mm;		/* the opener's, the only one to map it, mmgrab()bed */
	bool mapped;			/* once only; under mm's lock, as all up to map_off */
	unsigned long map_addr;		/* where it starts, as vm_pgoff counts, bytes */
	unsigned long map_len;		/* bytes with window behind them */
	u64 map_off;			/* in the window */
	atomic_t unmapped;
	struct vb_msg *unmap_msg;	/* allocated at open, so that close cannot fail */
	struct vb_msg *release_msg;

	struct vb_log log;		/* of debugfs's binder/proc/PID */
	bool debug_log;			/* which is ours to remove */
	struct dentry *fs_log;		/* binder_logs/proc/PID of this open, or NULL */
};

struct vb_proc *vb_proc_open(struct vb_context *context, struct file *file);
void vb_proc_release(struct vb_proc *proc);
void vb_proc_put(struct vb_proc *proc);
void vb_proc_stop_all(struct vb_device *dev);
/* Number of the process that the host calls id in the reader's pid namespace, 0 if gone. */
pid_t vb_proc_pid(struct vb_device *dev, u64 id);
/* Credentials of the process that the host calls id, to be put; NULL if gone. */
const struct cred *vb_proc_cred(struct vb_device *dev, u64 id);
/* The effective uid that the process's transactions carry, in the initial user namespace. */
uid_t vb_proc_euid(struct vb_proc *proc);
void vb_proc_event(struct vb_device *dev, u64 id, u32 type);

static inline bool vb_proc_is_mine(struct vb_proc *proc)
{
	return task_tgid(current) == proc->pid;
}

/* ---- lsm.c: what the guest's LSM says ---- */

int vb_lsm_init(void);
void vb_lsm_exit(void);
int vb_lsm_open(struct vb_proc *proc);
void vb_lsm_serves(struct vb_proc *proc, u64 caller);
int vb_lsm_set_context_mgr(struct vb_proc *proc);
int vb_lsm_relabel(struct vb_proc *proc);
int vb_sender_judge_file(struct vb_sender *s, struct file *file);
struct vb_msg *vb_label_msg(struct vb_proc *proc, u32 op, u32 body_len, u32 *label_len);

/* ---- report.c: failures, on the guest's netlink ---- */

int vb_report_init(void);
void vb_report_exit(void);
/* Whether failures on our devices are reported in this guest. */
bool vb_reports_here(void);
/* How many reports a request should have room for now. */
u32 vb_report_cap(void);
/* Multicasts what the answer to proc's req reports. */
void vb_reports_send(struct vb_proc *proc, const struct vb_req *req);

/* ---- fops.c, write_read.c, mmap.c: what the file does ---- */

extern const struct file_operations vb_fops;

void vb_thread_seen(struct vb_proc *proc);

long vb_write_read(struct vb_proc *proc, struct file *file, void __user *arg);
int vb_call_cache_init(void);
void vb_call_cache_exit(void);
int vb_mmap(struct file *file, struct vm_area_struct *vma);
void vb_mmap_zap(struct vb_proc *proc);

/* ---- payload.c: what a request reads from its sender ---- */

/* One stretch of payload: kernel memory, or pinned pages of the sender. */
struct vb_seg {
	u8 *mem;		/* NULL: pages */
	bool heap;		/* mem is this segment's own */
	struct page **pages;
	u32 nr_pages;
	u32 off;		/* in the first page */
	u64 len;
};

struct vb_sender {
	struct vb_device *dev;
	u8 *arena;		/* lent by the owner, for small sections */
	u32 arena_len;
	u32 arena_cap;
	struct vb_seg *segs;
	u32 nr_segs;
	u32 max_segs;
	bool segs_heap;
	u64 len;
	u64 runs;		/* descriptors or extents at most */
	/* for the LSM */
	struct vb_proc *proc;	/* while gathering */
	u64 named;		/* target of the first command, if the host said it */
	const struct cred *to;	/* the current transaction's target, or NULL */
};

void vb_sender_free(struct vb_sender *s);
void vb_sender_describe(struct vb_sender *s, struct vb_runs *r);

/* ---- fd.c: files on their way ---- */

/* Descriptors of array objects that the driver closes when the buffer is freed. */
struct vb_fda {
	u32 count;
	u32 fds[];
};

void vb_tokens_init(struct vb_tokens *t);
int vb_token_add(struct vb_tokens *t, struct file *file, u32 *token);
struct file *vb_token_take(struct vb_tokens *t, u32 token);
void vb_token_put(struct vb_tokens *t, u32 token);
void vb_tokens_put_all(struct vb_tokens *t);
void vb_fdas_close(struct vb_proc *proc, struct file *self, u64 buffer);
void vb_fdas_forget(struct vb_proc *proc);

/* ---- deliver.c: the answer to a WRITE_READ ---- */

struct vb_delivery {
	struct vb_proc *proc;
	struct file *file;
	struct vb_req *req;
	u64 buffer;		/* user's read area */
	u32 room;		/* its size, at most what was asked for */
	u32 copied;		/* out: bytes of BR commands there */
	bool nothing;		/* out: the only thing in it had to be dropped, read again */
};

int vb_deliver(struct vb_delivery *d);
void vb_deliver_fixes(struct vb_delivery *d);

#endif /* _VBINDER_H */
