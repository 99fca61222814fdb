/* SPDX-License-Identifier: GPL-2.0 */
/*
 * binderfs: what its files share. binderfs.c is the file system, binderfs_ctl.c its
 * devices, binderfs_files.c the plain files in it.
 */
#ifndef _VBINDER_BINDERFS_H
#define _VBINDER_BINDERFS_H

#include <linux/fs.h>
#include <linux/kdev_t.h>

#include "vbinder.h"

#define VB_FS_MINORS	(1U << MINORBITS)
#define VB_FS_RESERVED	4	/* minors that only the initial ipc namespace may take */

/* Inode numbers: two fixed ones, then the devices by their minors, then the files. */
enum {
	VB_FS_INO_ROOT = 1,
	VB_FS_INO_CONTROL,
	VB_FS_INO_DEVICES,
};

/* One mount that is not a bind mount: sb->s_fs_info. */
struct vb_fs {
	struct vb_device *dev;		/* with a reference */
	kuid_t uid;			/* root of the mounter's user namespace */
	kgid_t gid;
	bool initial;			/* mounted in the initial ipc namespace */
	bool stats;			/* stats=global */
	unsigned int max;		/* devices, binder-control aside */
	unsigned int count;		/* and how many there are, under vb_fs_minors_lock */
	struct dentry *control;
	struct dentry *proc_dir;	/* binder_logs/proc, or NULL */
};

static inline struct vb_fs *vb_fs_of(const struct super_block *sb)
{
	return sb->s_fs_info;
}

struct inode *vb_fs_inode(struct super_block *sb, umode_t mode, unsigned long ino);

/* binderfs_ctl.c */
int vb_fs_region_init(void);
void vb_fs_region_exit(void);
int vb_fs_control_add(struct super_block *sb);
int vb_fs_device_add(struct super_block *sb, const char *name, struct binderfs_device __user *to);
void vb_fs_device_evict(struct inode *inode);

/* binderfs_files.c */
int vb_fs_features_add(struct super_block *sb);
int vb_fs_logs_add(struct super_block *sb);

#endif /* _VBINDER_BINDERFS_H */
