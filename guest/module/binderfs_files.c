// SPDX-License-Identifier: GPL-2.0
/*
 * The plain files of a binderfs mount: features/, and with stats=global
 * binder_logs/ with a file in proc/ for each process that has one of the mount's
 * devices open.
 */
#include <linux/fsnotify.h>
#include <linux/namei.h>
#include <linux/pid.h>
#include <linux/seq_file.h>

#include "binderfs.h"

/* A new, empty dentry of dir, whose inode is locked. */
static struct dentry *vb_fs_dentry(struct dentry *dir, const char *name)
{
	struct dentry *dentry = lookup_one_len(name, dir, strlen(name));

	if (!IS_ERR(dentry) && d_really_is_positive(dentry)) {
		dput(dentry);
		return ERR_PTR(-EEXIST);
	}
	return dentry;
}

/* Adds a read-only file. data is the inode's to free, or the caller's on failure. */
static struct dentry *vb_fs_file_add(struct dentry *dir, const char *name,
				     const struct file_operations *fops, void *data)
{
	struct inode *parent = d_inode(dir), *inode;
	struct dentry *dentry;

	inode_lock(parent);
	dentry = vb_fs_dentry(dir, name);
	if (IS_ERR(dentry))
		goto out;
	inode = vb_fs_inode(dir->d_sb, S_IFREG | 0444, 0);
	if (!inode) {
		dput(dentry);
		dentry = ERR_PTR(-ENOMEM);
		goto out;
	}
	inode->i_fop = fops;
	inode->i_private = data;
	d_instantiate(dentry, inode);
	fsnotify_create(parent, dentry);
out:
	inode_unlock(parent);
	return dentry;
}

static struct dentry *vb_fs_dir_add(struct dentry *dir, const char *name)
{
	struct inode *parent = d_inode(dir), *inode;
	struct dentry *dentry;

	inode_lock(parent);
	dentry = vb_fs_dentry(dir, name);
	if (IS_ERR(dentry))
		goto out;
	inode = vb_fs_inode(dir->d_sb, S_IFDIR | 0755, 0);
	if (!inode) {
		dput(dentry);
		dentry = ERR_PTR(-ENOMEM);
		goto out;
	}
	inode->i_fop = &simple_dir_operations;
	inode->i_op = &simple_dir_inode_operations;
	set_nlink(inode, 2);
	d_instantiate(dentry, inode);
	inc_nlink(parent);
	fsnotify_mkdir(parent, dentry);
out:
	inode_unlock(parent);
	return dentry;
}

static int vb_fs_feature_show(struct seq_file *m, void *unused)
{
	seq_puts(m, "1\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vb_fs_feature);

int vb_fs_features_add(struct super_block *sb)
{
	static const char *const names[] = {
		"oneway_spam_detection", "extended_error", "freeze_notification", "transaction_report",
	};
	struct dentry *dir = vb_fs_dir_add(sb->s_root, "features"), *file;
	/* The last is promised only where it is kept. */
	unsigned int i, n = ARRAY_SIZE(names) - !vb_reports_here();

	if (IS_ERR(dir))
		return PTR_ERR(dir);
	for (i = 0; i < n; i++) {
		file = vb_fs_file_add(dir, names[i], &vb_fs_feature_fops, NULL);
		if (IS_ERR(file))
			return PTR_ERR(file);
	}
	return 0;
}

static struct dentry *vb_fs_log_add(struct dentry *dir, const char *name, u32 kind, u32 pid)
{
	struct vb_log *log = kmalloc(sizeof(*log), GFP_KERNEL_ACCOUNT);
	struct dentry *file;

	if (!log)
		return ERR_PTR(-ENOMEM);
	*log = (struct vb_log){ .dev = vb_fs_of(dir->d_sb)->dev, .kind = kind, .pid = pid };
	file = vb_fs_file_add(dir, name, &vb_log_fops, log);
	if (IS_ERR(file))
		kfree(log);
	return file;
}

int vb_fs_logs_add(struct super_block *sb)
{
	struct dentry *dir = vb_fs_dir_add(sb->s_root, "binder_logs"), *made;
	unsigned int i;

	if (IS_ERR(dir))
		return PTR_ERR(dir);
	for (i = 0; i < VB_LOG_FILES; i++) {
		made = vb_fs_log_add(dir, vb_log_files[i].name, vb_log_files[i].kind, 0);
		if (IS_ERR(made))
			return PTR_ERR(made);
	}
	made = vb_fs_dir_add(dir, "proc");
	if (IS_ERR(made))
		return PTR_ERR(made);
	vb_fs_of(sb)->proc_dir = made;
	return 0;
}

/*
 * Adds binder_logs/proc/PID for a process that has opened a device of the mount. It
 * goes with that open; further ones of the same process find it there.
 */
void vb_fs_proc_add(struct vb_fs *fs, struct vb_proc *proc)
{
	struct dentry *file;
	char name[12];

	if (!fs->proc_dir)
		return;
	snprintf(name, sizeof(name), "%d", pid_nr(proc->pid));
	file = vb_fs_log_add(fs->proc_dir, name, VBINDER_LOG_PROC, pid_nr(proc->pid));
	if (!IS_ERR(file))
		proc->fs_log = dget(file);
}

/* The open file keeps the mount, and so the directory, until this is over. */
void vb_fs_proc_remove(struct vb_proc *proc)
{
	struct dentry *file = proc->fs_log;
	struct inode *dir;

	if (!file)
		return;
	proc->fs_log = NULL;
	dir = d_inode(file->d_parent);
	inode_lock(dir);
	if (simple_positive(file)) {
		simple_unlink(dir, file);
		d_delete(file);
	}
	inode_unlock(dir);
	dput(file);
}
