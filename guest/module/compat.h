/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that this driver builds for (6.1 and 6.12),
 * and the symbols it can live without.
 *
 * Mainline does not export every function that a binder driver wants; Debian's
 * own patches export some. Those are declared weak here: where the kernel lacks
 * one, its address is 0 and the driver does without, with the loss stated.
 */
#ifndef _VBINDER_COMPAT_H
#define _VBINDER_COMPAT_H

#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/task_work.h>
#include <linux/version.h>
#include <linux/virtio_config.h>

/* Loss: FDA descriptors that name the binder file itself are not closed on free. */
extern int task_work_add(struct task_struct *task, struct callback_head *twork,
			 enum task_work_notify_mode mode) __weak;

/* Loss: the LSM is not asked about transactions, binders, files and context managers. */
#ifdef CONFIG_SECURITY
extern typeof(security_binder_set_context_mgr) security_binder_set_context_mgr __weak;
extern typeof(security_binder_transaction) security_binder_transaction __weak;
extern typeof(security_binder_transfer_binder) security_binder_transfer_binder __weak;
extern typeof(security_binder_transfer_file) security_binder_transfer_file __weak;
#define vb_has_hooks()	(security_binder_set_context_mgr && security_binder_transaction && \
			 security_binder_transfer_binder && security_binder_transfer_file)
#else
#define vb_has_hooks()	false
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vb_vm_flags_mod(struct vm_area_struct *vma,
				   unsigned long set, unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#else
static inline void vb_vm_flags_mod(struct vm_area_struct *vma,
				   unsigned long set, unsigned long clear)
{
	vm_flags_mod(vma, set, clear);
}
#endif

/* What the file systems' callbacks get first. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
typedef struct user_namespace vb_idmap;
#else
typedef struct mnt_idmap vb_idmap;
#endif

static inline void vb_inode_init_ts(struct inode *inode)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	inode->i_mtime = inode->i_atime = inode->i_ctime = current_time(inode);
#else
	simple_inode_init_ts(inode);
#endif
}

/* Finds n queues; names and callbacks have n entries each. */
static inline int vb_find_vqs(struct virtio_device *vdev, unsigned int n,
			      struct virtqueue **vqs, vq_callback_t **callbacks,
			      const char *const *names, struct irq_affinity *desc)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	struct virtqueue_info *info;
	unsigned int i;
	int err;

	info = kcalloc(n, sizeof(*info), GFP_KERNEL);
	if (!info)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		info[i].name = names[i];
		info[i].callback = callbacks[i];
	}
	err = virtio_find_vqs(vdev, n, vqs, info, desc);
	kfree(info);
	return err;
#else
	return virtio_find_vqs(vdev, n, vqs, callbacks, names, desc);
#endif
}

/*
 * The security label of cred, allocated by the LSM; returns its length without
 * NUL or 0 if no LSM gives one. Free it with vb_put_label(label, *raw).
 */
static inline u32 vb_get_label(const struct cred *cred, char **label, u32 *raw)
{
	u32 secid = 0;

	*label = NULL;
	*raw = 0;
	security_cred_getsecid(cred, &secid);
	if (!secid || security_secid_to_secctx(secid, label, raw))
		return 0;
	return strnlen(*label, *raw);
}

static inline void vb_put_label(char *label, u32 raw)
{
	if (label)
		security_release_secctx(label, raw);
}

#endif /* _VBINDER_COMPAT_H */
