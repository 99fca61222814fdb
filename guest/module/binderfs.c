// SPDX-License-Identifier: GPL-2.0
/*
 * binderfs: each mount is an instance with devices, and so contexts, of its own.
 *
 *	mount -t binder [-o max=N][,stats=global] binder /dev/binderfs
 *
 * A mount belongs to the virtio device that was there first when it was made, and
 * stays with it: after an unbind its devices answer with ENODEV.
 */
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/ipc_namespace.h>
#include <linux/magic.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/user_namespace.h>

#include "binderfs.h"
#include "compat.h"

static char *fstype = "binder";
module_param(fstype, charp, 0444);
MODULE_PARM_DESC(fstype, "name of the file system type, for kernels with a binderfs of their own");

struct vb_fs_options {
	unsigned int max;
	bool stats;
};

enum { VB_OPT_MAX, VB_OPT_STATS };

static const struct constant_table vb_fs_stats_modes[] = {
	{ "global", 1 },
	{}
};

static const struct fs_parameter_spec vb_fs_parameters[] = {
	fsparam_u32("max", VB_OPT_MAX),
	fsparam_enum("stats", VB_OPT_STATS, vb_fs_stats_modes),
	{}
};

static int vb_fs_parse(struct fs_context *fc, struct fs_parameter *param)
{
	struct vb_fs_options *opts = fc->fs_private;
	struct fs_parse_result result;
	int opt = fs_parse(fc, vb_fs_parameters, param, &result);

	switch (opt) {
	case VB_OPT_MAX:
		if (result.uint_32 > VB_FS_MINORS)
			return invalfc(fc, "max=%u: at most %u", result.uint_32, VB_FS_MINORS);
		opts->max = result.uint_32;
		return 0;
	case VB_OPT_STATS:
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		opts->stats = true;
		return 0;
	}
	return opt;
}

static int vb_fs_reconfigure(struct fs_context *fc)
{
	struct vb_fs_options *opts = fc->fs_private;
	struct vb_fs *fs = vb_fs_of(fc->root->d_sb);

	if (fs->stats != opts->stats)
		return invalfc(fc, "stats= cannot be changed by a remount");
	fs->max = opts->max;
	return 0;
}

static int vb_fs_show_options(struct seq_file *m, struct dentry *root)
{
	struct vb_fs *fs = vb_fs_of(root->d_sb);

	seq_printf(m, ",max=%u", fs->max);
	if (fs->stats)
		seq_puts(m, ",stats=global");
	return 0;
}

static void vb_fs_evict_inode(struct inode *inode)
{
	clear_inode(inode);
	if (S_ISCHR(inode->i_mode))
		vb_fs_device_evict(inode);
	else
		kfree(inode->i_private);
}

static const struct super_operations vb_fs_super_ops = {
	.evict_inode = vb_fs_evict_inode,
	.show_options = vb_fs_show_options,
	.statfs = simple_statfs,
};

struct vb_fs *vb_fs_of_inode(const struct inode *inode)
{
	return inode->i_sb->s_op == &vb_fs_super_ops ? vb_fs_of(inode->i_sb) : NULL;
}

/* An inode of this mount's root user; ino 0 takes one behind all devices'. */
struct inode *vb_fs_inode(struct super_block *sb, umode_t mode, unsigned long ino)
{
	struct inode *inode = new_inode(sb);

	if (!inode)
		return NULL;
	inode->i_ino = ino ?: iunique(sb, VB_FS_INO_DEVICES + VB_FS_MINORS);
	inode->i_mode = mode;
	vb_inode_init_ts(inode);
	return inode;
}

static int vb_fs_rename(vb_idmap *idmap, struct inode *old_dir, struct dentry *old_dentry,
			struct inode *new_dir, struct dentry *new_dentry, unsigned int flags)
{
	struct vb_fs *fs = vb_fs_of(old_dir->i_sb);

	if (old_dentry == fs->control || new_dentry == fs->control)
		return -EPERM;
	return simple_rename(idmap, old_dir, old_dentry, new_dir, new_dentry, flags);
}

static int vb_fs_unlink(struct inode *dir, struct dentry *dentry)
{
	if (dentry == vb_fs_of(dir->i_sb)->control)
		return -EPERM;
	return simple_unlink(dir, dentry);
}

static const struct inode_operations vb_fs_root_ops = {
	.lookup = simple_lookup,
	.rename = vb_fs_rename,
	.unlink = vb_fs_unlink,
};

static struct vb_fs *vb_fs_new(struct super_block *sb, const struct vb_fs_options *opts)
{
	struct vb_fs *fs = kzalloc(sizeof(*fs), GFP_KERNEL);

	if (!fs)
		return ERR_PTR(-ENOMEM);
	fs->dev = vb_device_get_first();
	if (!fs->dev) {
		kfree(fs);
		return ERR_PTR(-ENODEV);
	}
	fs->uid = make_kuid(sb->s_user_ns, 0);
	if (!uid_valid(fs->uid))
		fs->uid = GLOBAL_ROOT_UID;
	fs->gid = make_kgid(sb->s_user_ns, 0);
	if (!gid_valid(fs->gid))
		fs->gid = GLOBAL_ROOT_GID;
	/* Not &init_ipc_ns: 6.1 does not export it. */
	fs->initial = current->nsproxy->ipc_ns == init_task.nsproxy->ipc_ns;
	fs->max = opts->max;
	fs->stats = opts->stats;
	return fs;
}

static int vb_fs_name_add(void *sb, const char *name)
{
	return vb_fs_device_add(sb, name, NULL);
}

/* On failure kill_sb() takes away what there is. */
static int vb_fs_fill(struct super_block *sb, struct fs_context *fc)
{
	struct vb_fs *fs;
	struct inode *inode;
	int err;

	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	/*
	 * Also in a user namespace: only binder-control makes devices here, and only
	 * binder devices.
	 */
	sb->s_iflags &= ~SB_I_NODEV;
	sb->s_iflags |= SB_I_NOEXEC;
	sb->s_magic = BINDERFS_SUPER_MAGIC;
	sb->s_op = &vb_fs_super_ops;
	sb->s_time_gran = 1;
	fs = vb_fs_new(sb, fc->fs_private);
	if (IS_ERR(fs))
		return PTR_ERR(fs);
	sb->s_fs_info = fs;

	inode = vb_fs_inode(sb, S_IFDIR | 0755, VB_FS_INO_ROOT);
	if (!inode)
		return -ENOMEM;
	inode->i_fop = &simple_dir_operations;
	inode->i_op = &vb_fs_root_ops;
	set_nlink(inode, 2);
	sb->s_root = d_make_root(inode);
	if (!sb->s_root)
		return -ENOMEM;

	err = vb_fs_control_add(sb);
	if (!err)
		err = vb_device_names(vb_fs_name_add, sb);
	if (!err)
		err = vb_fs_features_add(sb);
	if (!err && fs->stats)
		err = vb_fs_logs_add(sb);
	return err;
}

static int vb_fs_get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, vb_fs_fill);
}

static void vb_fs_free_context(struct fs_context *fc)
{
	kfree(fc->fs_private);
}

static const struct fs_context_operations vb_fs_context_ops = {
	.free = vb_fs_free_context,
	.get_tree = vb_fs_get_tree,
	.parse_param = vb_fs_parse,
	.reconfigure = vb_fs_reconfigure,
};

static int vb_fs_init_context(struct fs_context *fc)
{
	struct vb_fs_options *opts = kzalloc(sizeof(*opts), GFP_KERNEL);

	if (!opts)
		return -ENOMEM;
	opts->max = VB_FS_MINORS;
	fc->fs_private = opts;
	fc->ops = &vb_fs_context_ops;
	return 0;
}

/* Inodes go first: they give their devices back. */
static void vb_fs_kill_super(struct super_block *sb)
{
	struct vb_fs *fs = vb_fs_of(sb);

	kill_litter_super(sb);
	if (!fs)
		return;
	vb_device_put(fs->dev);
	kfree(fs);
}

static struct file_system_type vb_fs_type = {
	.owner = THIS_MODULE,
	.init_fs_context = vb_fs_init_context,
	.parameters = vb_fs_parameters,
	.kill_sb = vb_fs_kill_super,
	.fs_flags = FS_USERNS_MOUNT,
};
MODULE_ALIAS_FS("binder");

static bool vb_fs_registered;

/* The driver does without where the kernel has the name already. */
int vb_fs_init(void)
{
	int err = vb_fs_region_init();

	if (err)
		return err;
	vb_fs_type.name = fstype;
	err = register_filesystem(&vb_fs_type);
	vb_fs_registered = !err;
	if (err == -EBUSY) {
		pr_warn(VB_NAME ": this kernel has a \"%s\" file system, which is not on the virtio device; choose another name with fstype=\n",
			fstype);
		err = 0;
	}
	if (!vb_fs_registered)
		vb_fs_region_exit();
	return err;
}

void vb_fs_exit(void)
{
	if (!vb_fs_registered)
		return;
	unregister_filesystem(&vb_fs_type);
	vb_fs_region_exit();
}
