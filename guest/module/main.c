// SPDX-License-Identifier: GPL-2.0
/*
 * virtbinder: /dev/binder and its like on a virtio-binder device.
 *
 * Module parameters, the virtio driver, and the device nodes.
 */
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/suspend.h>
#include <linux/virtio_config.h>

#include "vbinder.h"

static char *devices = "binder,hwbinder,vndbinder";
module_param(devices, charp, 0444);
MODULE_PARM_DESC(devices, "comma-separated names of the device nodes, each a binder context");

static ushort mode = 0666;
module_param(mode, ushort, 0444);
MODULE_PARM_DESC(mode, "permissions of the device nodes");

static uint virtio_id;
module_param(virtio_id, uint, 0444);
MODULE_PARM_DESC(virtio_id, "a further virtio device id to look at, besides 63");

static DEFINE_MUTEX(vb_first_lock);
static struct vb_device *vb_first;

/* True if another driver has a node of this name; best effort, for a clear message. */
static bool vb_node_taken(const char *name)
{
	char path[sizeof("/sys/class/misc/") + BINDERFS_MAX_NAME];
	struct path found;

	snprintf(path, sizeof(path), "/sys/class/misc/%s", name);
	if (kern_path(path, 0, &found))
		return false;
	path_put(&found);
	return true;
}

static int vb_node_add(void *arg, const char *name)
{
	struct vb_device *dev = arg;
	struct vb_node *node;
	int err;

	if (strlen(name) >= sizeof(node->name)) {
		dev_err(&dev->vdev->dev, "devices=: \"%s\" is longer than %d bytes\n", name,
			BINDERFS_MAX_NAME);
		return -EINVAL;
	}
	if (vb_node_taken(name)) {
		dev_err(&dev->vdev->dev, "/dev/%s belongs to another driver: unload it or choose other names with devices=\n",
			name);
		return -EEXIST;
	}
	node = kzalloc(sizeof(*node), GFP_KERNEL);
	if (!node)
		return -ENOMEM;
	strscpy(node->name, name, sizeof(node->name));
	node->context = vb_context_new(dev, name);
	if (IS_ERR(node->context)) {
		err = PTR_ERR(node->context);
		kfree(node);
		return err;
	}
	node->misc.minor = MISC_DYNAMIC_MINOR;
	node->misc.name = node->name;
	node->misc.fops = &vb_fops;
	node->misc.mode = mode & 0777;
	err = misc_register(&node->misc);
	if (err) {
		dev_err(&dev->vdev->dev, "/dev/%s cannot be made (%d): name fewer devices with devices=, or mount binderfs\n",
			name, err);
		vb_context_put(node->context);
		kfree(node);
		return err;
	}
	list_add_tail(&node->link, &dev->nodes);
	return 0;
}

void vb_nodes_unregister(struct vb_device *dev)
{
	struct vb_node *node, *next;

	list_for_each_entry_safe(node, next, &dev->nodes, link) {
		misc_deregister(&node->misc);
		list_del(&node->link);
		vb_context_put(node->context);
		kfree(node);
	}
}

/* Calls f for each name of devices=, until it fails. */
int vb_device_names(int (*f)(void *arg, const char *name), void *arg)
{
	char *copy = kstrdup(devices, GFP_KERNEL), *rest = copy, *name;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	while (!err && (name = strsep(&rest, ","))) {
		name = strim(name);
		if (*name)
			err = f(arg, name);
	}
	kfree(copy);
	return err;
}

int vb_nodes_register(struct vb_device *dev)
{
	int err = vb_device_names(vb_node_add, dev);

	if (err)
		vb_nodes_unregister(dev);
	return err;
}

/* The device that binderfs mounts are made on, with a reference; NULL if there is none. */
struct vb_device *vb_device_get_first(void)
{
	struct vb_device *dev;

	mutex_lock(&vb_first_lock);
	dev = vb_first;
	if (dev)
		kref_get(&dev->ref);
	mutex_unlock(&vb_first_lock);
	return dev;
}

static void vb_first_set(struct vb_device *from, struct vb_device *to)
{
	mutex_lock(&vb_first_lock);
	if (vb_first == from)
		vb_first = to;
	mutex_unlock(&vb_first_lock);
}

/* Resuming resets the device, and with it the host releases every process. */
static int vb_freeze(struct virtio_device *vdev)
{
	dev_err(&vdev->dev, "suspending would end every open binder file: unbind the driver first\n");
	return -EBUSY;
}

/*
 * Refuses before any device sleeps: by the time that vb_freeze() is called, which a
 * kexec that comes back does without asking, others may have slept already, and the
 * guest's vsock connections do not survive that.
 */
static int vb_pm_notify(struct notifier_block *nb, unsigned long event, void *unused)
{
	struct vb_device *dev = container_of(nb, struct vb_device, pm);

	if (event != PM_SUSPEND_PREPARE && event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	return notifier_from_errno(vb_freeze(dev->vdev));
}

static void vb_remove(struct virtio_device *vdev)
{
	struct vb_device *dev = vdev->priv;

	unregister_pm_notifier(&dev->pm);
	vb_first_set(dev, NULL);
	vb_device_stop(dev, NULL);
	cancel_work_sync(&dev->reset_work);
	vb_device_put(dev);
}

static int vb_probe(struct virtio_device *vdev)
{
	struct vb_device *dev = vb_device_new(vdev);
	int err;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	vdev->priv = dev;
	err = vb_device_start(dev);
	if (err) {
		vb_device_put(dev);
		return err;
	}
	dev->pm.notifier_call = vb_pm_notify;
	err = register_pm_notifier(&dev->pm);
	if (!err)
		err = vb_nodes_register(dev);
	if (err)
		vb_remove(vdev);
	else
		vb_first_set(NULL, dev);
	return err;
}

static void vb_config_changed(struct virtio_device *vdev)
{
	struct vb_device *dev = vdev->priv;

	if (vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET)
		schedule_work(&dev->reset_work);
}

static struct virtio_device_id vb_ids[] = {
	{ VBINDER_ID_DEFAULT, VIRTIO_DEV_ANY_ID },
	{ 0 },	/* virtio_id= */
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, vb_ids);

static const unsigned int vb_features[] = { VBINDER_F_INLINE };

static struct virtio_driver vb_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = vb_ids,
	.feature_table = vb_features,
	.feature_table_size = ARRAY_SIZE(vb_features),
	.probe = vb_probe,
	.remove = vb_remove,
	.config_changed = vb_config_changed,
#ifdef CONFIG_PM
	.freeze = vb_freeze,
#endif
};

static int __init vb_init(void)
{
	int err;

	if (virtio_id) {
		vb_ids[1].device = virtio_id;
		vb_ids[1].vendor = VIRTIO_DEV_ANY_ID;
	}
	err = vb_call_cache_init();
	if (err)
		return err;
	err = vb_lsm_init();
	if (err)
		goto out_cache;
	err = vb_report_init();
	if (err)
		goto out_lsm;
	err = register_virtio_driver(&vb_driver);
	if (err)
		goto out_report;
	err = vb_fs_init();
	if (err)
		goto out_driver;
	return 0;
out_driver:
	unregister_virtio_driver(&vb_driver);
	rcu_barrier();
out_report:
	vb_report_exit();
out_lsm:
	vb_lsm_exit();
out_cache:
	vb_call_cache_exit();
	return err;
}

static void __exit vb_exit(void)
{
	vb_fs_exit();
	unregister_virtio_driver(&vb_driver);
	rcu_barrier();	/* vb_proc_free_rcu() */
	vb_report_exit();
	vb_lsm_exit();
	vb_call_cache_exit();
}

module_init(vb_init);
module_exit(vb_exit);

MODULE_DESCRIPTION("Android binder on a virtio-binder device");
MODULE_LICENSE("GPL");
