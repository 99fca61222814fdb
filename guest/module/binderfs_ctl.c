// SPDX-License-Identifier: GPL-2.0
/*
 * The devices of a binderfs mount, and binder-control, which adds some.
 *
 * A device's inode holds its context; unlinked, it goes when nobody has it open.
 */
#include <linux/fsnotify.h>
#include <linux/idr.h>
#include <linux/namei.h>

#include "binderfs.h"

/* A device or, without context, binder-control: inode->i_private. */
struct vb_fs_device {
	struct vb_context *context;
	int minor;
	bool counted;		/* in vb_fs.count */
};

static dev_t vb_fs_region;
static DEFINE_MUTEX(vb_fs_minors_lock);	/* vb_fs.count; leaf */
static DEFINE_IDA(vb_fs_minors);

/* Numbers without a cdev: a node that mknod() makes for one opens nothing. */
int vb_fs_region_init(void)
{
	return alloc_chrdev_region(&vb_fs_region, 0, VB_FS_MINORS, "binder");
}

void vb_fs_region_exit(void)
{
	unregister_chrdev_region(vb_fs_region, VB_FS_MINORS);
	ida_destroy(&vb_fs_minors);
}

static int vb_fs_minor_get(struct vb_fs *fs, bool counted)
{
	unsigned int last = VB_FS_MINORS - 1 - (fs->initial ? 0 : VB_FS_RESERVED);
	int minor = -ENOSPC;

	mutex_lock(&vb_fs_minors_lock);
	if (!counted || fs->count < fs->max) {
		minor = ida_alloc_max(&vb_fs_minors, last, GFP_KERNEL);
		if (minor >= 0)
			fs->count += counted;
	}
	mutex_unlock(&vb_fs_minors_lock);
	return minor;
}

static void vb_fs_device_free(struct vb_fs *fs, struct vb_fs_device *device)
{
	mutex_lock(&vb_fs_minors_lock);
	ida_free(&vb_fs_minors, device->minor);
	fs->count -= device->counted;
	mutex_unlock(&vb_fs_minors_lock);
	if (device->context)
		vb_context_put(device->context);
	kfree(device);
}

void vb_fs_device_evict(struct inode *inode)
{
	if (inode->i_private)
		vb_fs_device_free(vb_fs_of(inode->i_sb), inode->i_private);
}

/* A device that is complete but in no directory; name NULL for binder-control. */
static struct vb_fs_device *vb_fs_device_new(struct vb_fs *fs, const char *name)
{
	struct vb_fs_device *device = kzalloc(sizeof(*device), GFP_KERNEL_ACCOUNT);
	struct vb_context *context;

	if (!device)
		return ERR_PTR(-ENOMEM);
	device->counted = name;
	device->minor = vb_fs_minor_get(fs, device->counted);
	if (device->minor < 0) {
		int err = device->minor;

		kfree(device);
		return ERR_PTR(err);
	}
	if (!name)
		return device;
	context = vb_context_new(fs->dev, name);
	if (IS_ERR(context)) {
		vb_fs_device_free(fs, device);
		return ERR_CAST(context);
	}
	device->context = context;
	return device;
}

/* The device's inode, which owns it from then on; NULL frees it. */
static struct inode *vb_fs_device_inode(struct super_block *sb, struct vb_fs_device *device,
					unsigned long ino, const struct file_operations *fops)
{
	struct vb_fs *fs = vb_fs_of(sb);
	struct inode *inode = vb_fs_inode(sb, 0, ino);

	if (!inode) {
		vb_fs_device_free(fs, device);
		return NULL;
	}
	init_special_inode(inode, S_IFCHR | 0600, MKDEV(MAJOR(vb_fs_region), device->minor));
	inode->i_fop = fops;
	inode->i_uid = fs->uid;
	inode->i_gid = fs->gid;
	inode->i_private = device;
	return inode;
}

/* Puts inode into the root directory. */
static int vb_fs_publish(struct super_block *sb, const char *name, struct inode *inode)
{
	struct inode *root = d_inode(sb->s_root);
	struct dentry *dentry;
	int err = 0;

	inode_lock(root);
	dentry = lookup_one_len(name, sb->s_root, strlen(name));
	if (IS_ERR(dentry)) {
		err = PTR_ERR(dentry);
	} else if (d_really_is_positive(dentry)) {
		dput(dentry);
		err = -EEXIST;
	} else {
		d_instantiate(dentry, inode);
		fsnotify_create(root, dentry);
	}
	inode_unlock(root);
	return err;
}

/* What the directory would not take either. */
static bool vb_fs_name_ok(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

/* Adds a device and tells its numbers, if to is not NULL, before it can be seen. */
int vb_fs_device_add(struct super_block *sb, const char *name, struct binderfs_device __user *to)
{
	struct vb_fs_device *device;
	struct inode *inode;
	u32 numbers[2];
	int err;

	if (!vb_fs_name_ok(name))
		return -EACCES;
	device = vb_fs_device_new(vb_fs_of(sb), name);
	if (IS_ERR(device))
		return PTR_ERR(device);
	numbers[0] = MAJOR(vb_fs_region);
	numbers[1] = device->minor;
	inode = vb_fs_device_inode(sb, device, VB_FS_INO_DEVICES + device->minor, &vb_fops);
	if (!inode)
		return -ENOMEM;
	if (to && (put_user(numbers[0], &to->major) || put_user(numbers[1], &to->minor)))
		err = -EFAULT;
	else
		err = vb_fs_publish(sb, name, inode);
	if (err)
		iput(inode);
	return err;
}

static long vb_fs_control_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct binderfs_device __user *user = (struct binderfs_device __user *)arg;
	struct binderfs_device *request;
	long err;

	if (cmd != BINDER_CTL_ADD)
		return -EINVAL;
	request = memdup_user(user, sizeof(*request));
	if (IS_ERR(request))
		return PTR_ERR(request);
	request->name[BINDERFS_MAX_NAME] = '\0';
	err = vb_fs_device_add(file_inode(file)->i_sb, request->name, user);
	kfree(request);
	return err;
}

static const struct file_operations vb_fs_control_fops = {
	.owner = THIS_MODULE,
	.open = nonseekable_open,
	.unlocked_ioctl = vb_fs_control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

int vb_fs_control_add(struct super_block *sb)
{
	struct vb_fs *fs = vb_fs_of(sb);
	struct vb_fs_device *device = vb_fs_device_new(fs, NULL);
	struct inode *inode;

	if (IS_ERR(device))
		return PTR_ERR(device);
	inode = vb_fs_device_inode(sb, device, VB_FS_INO_CONTROL, &vb_fs_control_fops);
	if (!inode)
		return -ENOMEM;
	fs->control = d_alloc_name(sb->s_root, "binder-control");
	if (!fs->control) {
		iput(inode);
		return -ENOMEM;
	}
	d_add(fs->control, inode);
	return 0;
}

/* The context of a device's inode. */
struct vb_context *vb_fs_context(const struct inode *inode)
{
	struct vb_fs_device *device = inode->i_private;

	return device->context;
}
