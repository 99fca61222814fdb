// SPDX-License-Identifier: GPL-2.0
/*
 * The device: found, started, stopped.
 *
 * Stopping happens once, on unbind, PCI removal or DEVICE_NEEDS_RESET, with
 * processes open: new work is refused, the device is reset, everything on the
 * rings is answered as gone, mappings are zapped, files in flight dropped. What
 * remains is memory that the open files still refer to; the last one frees it.
 */
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/interrupt.h>
#include <linux/virtio_config.h>
#ifdef CONFIG_X86
#include <asm/pgtable_types.h>
#endif

#include "compat.h"
#include "vbinder.h"

/* Below these a device makes no sense. */
#define VB_LEAST_CTL	SZ_32K
#define VB_LEAST_READ	256

static int vb_config_check(struct virtio_device *vdev)
{
	u32 magic, version;

	virtio_cread_le(vdev, struct vbinder_config, magic, &magic);
	virtio_cread_le(vdev, struct vbinder_config, version, &version);
	if (magic != VBINDER_MAGIC) {
		dev_err(&vdev->dev, "not a virtio-binder device (magic %#x)\n", magic);
		return -ENODEV;
	}
	if (version != VBINDER_VERSION) {
		dev_err(&vdev->dev, "device speaks protocol version %u, this driver %u: update the older one\n",
			version, VBINDER_VERSION);
		return -ENODEV;
	}
	return 0;
}

static int vb_config_read(struct vb_device *dev)
{
	struct virtio_device *vdev = dev->vdev;
	u32 queues;

	virtio_cread_le(vdev, struct vbinder_config, request_queues, &queues);
	virtio_cread_le(vdev, struct vbinder_config, max_ctl, &dev->limits.max_ctl);
	virtio_cread_le(vdev, struct vbinder_config, max_read, &dev->max_read);
	virtio_cread_le(vdev, struct vbinder_config, max_map, &dev->limits.max_map);
	virtio_cread_le(vdev, struct vbinder_config, window_size, &dev->window_size);
	dev->limits.max_map = min_t(u32, dev->limits.max_map, SZ_4M) & PAGE_MASK;
	dev->limits.max_payload = 2ULL * dev->limits.max_map;
	if (!queues || dev->limits.max_ctl < VB_LEAST_CTL ||
	    dev->max_read < VB_LEAST_READ || !dev->limits.max_map) {
		dev_err(&vdev->dev, "device offers too little: %u queues, max_ctl %u, max_read %u, max_map %u\n",
			queues, dev->limits.max_ctl, dev->max_read, dev->limits.max_map);
		return -EINVAL;
	}
	dev->nr_queues = VBINDER_Q_REQUEST + min(queues, nr_cpu_ids);
	dev->inline_kick = virtio_has_feature(vdev, VBINDER_F_INLINE);
	return 0;
}

/* Buffers are shared with processes that map them write-back; no other type will do. */
static bool vb_window_is_write_back(void *window)
{
#ifdef CONFIG_X86
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)window, &level);

	return pte && !(pte_flags(*pte) & (_PAGE_PWT | _PAGE_PCD));
#else
	return true;
#endif
}

static int vb_window_map(struct vb_device *dev)
{
	struct virtio_device *vdev = dev->vdev;
	struct virtio_shm_region region;

	if (!virtio_get_shm_region(vdev, &region, VBINDER_SHM_WINDOW)) {
		dev_err(&vdev->dev, "device has no shared-memory region %u for buffers\n",
			VBINDER_SHM_WINDOW);
		return -ENODEV;
	}
	if (!dev->window_size || dev->window_size > region.len) {
		dev_err(&vdev->dev, "buffer window of %llu bytes in a region of %llu\n",
			dev->window_size, region.len);
		return -EINVAL;
	}
	if (!request_mem_region(region.addr, dev->window_size, VB_NAME)) {
		dev_err(&vdev->dev, "buffer window at %#llx is in use\n", region.addr);
		return -EBUSY;
	}
	dev->window_phys = region.addr;
	dev->window = memremap(region.addr, dev->window_size, MEMREMAP_WB);
	if (!dev->window) {
		dev_err(&vdev->dev, "cannot map the buffer window (%llu bytes at %#llx)\n",
			dev->window_size, region.addr);
		release_mem_region(region.addr, dev->window_size);
		return -ENOMEM;
	}
	if (!vb_window_is_write_back(dev->window)) {
		dev_err(&vdev->dev, "the buffer window is not write-back: the VMM must set the MTRR default type\n");
		memunmap(dev->window);
		dev->window = NULL;
		release_mem_region(region.addr, dev->window_size);
		return -EINVAL;
	}
	return 0;
}

static void vb_window_unmap(struct vb_device *dev)
{
	if (!dev->window)
		return;
	memunmap(dev->window);
	dev->window = NULL;
	release_mem_region(dev->window_phys, dev->window_size);
}

/* Writes a descriptor number into a delivered buffer. */
int vb_window_write(struct vb_device *dev, u64 off, u32 value)
{
	int err = -ENODEV, idx = srcu_read_lock(&dev->srcu);

	if (!READ_ONCE(dev->dead)) {
		if (off > dev->window_size - sizeof(value)) {
			err = -EINVAL;
		} else {
			memcpy(dev->window + off, &value, sizeof(value));
			err = 0;
		}
	}
	srcu_read_unlock(&dev->srcu, idx);
	return err;
}

int vb_window_read(struct vb_device *dev, u64 off, void *to, size_t len)
{
	int err = -ENODEV, idx = srcu_read_lock(&dev->srcu);

	if (!READ_ONCE(dev->dead)) {
		if (len > dev->window_size || off > dev->window_size - len) {
			err = -EINVAL;
		} else {
			memcpy(to, dev->window + off, len);
			err = 0;
		}
	}
	srcu_read_unlock(&dev->srcu, idx);
	return err;
}

/* Names and callbacks of the queues, in arrays that the caller frees. */
static int vb_queues_find(struct vb_device *dev)
{
	unsigned int i, n = dev->nr_queues;
	struct irq_affinity affinity = { .pre_vectors = VBINDER_Q_REQUEST - 1 };
	struct virtqueue **vqs = kcalloc(n, sizeof(*vqs), GFP_KERNEL);
	vq_callback_t **callbacks = kcalloc(n, sizeof(*callbacks), GFP_KERNEL);
	const char **names = kcalloc(n, sizeof(*names), GFP_KERNEL);
	int err = -ENOMEM;

	if (!vqs || !callbacks || !names)
		goto out;
	for (i = 0; i < n; i++) {
		names[i] = i == VBINDER_Q_CONTROL ? "control" :
			   i == VBINDER_Q_EVENT ? "event" :
			   i == VBINDER_Q_DEFERRED ? "deferred" : "request";
		callbacks[i] = i == VBINDER_Q_EVENT ? vb_event_done :
			       i == VBINDER_Q_DEFERRED ? NULL : vb_queue_done;
	}
	err = vb_find_vqs(dev->vdev, n, vqs, callbacks, names, &affinity);
	for (i = 0; i < n && !err; i++)
		dev->queues[i].vq = vqs[i];
out:
	kfree(names);
	kfree(callbacks);
	kfree(vqs);
	return err;
}

static int vb_queues_alloc(struct vb_device *dev)
{
	unsigned int i;

	dev->queues = kcalloc(dev->nr_queues, sizeof(*dev->queues), GFP_KERNEL);
	dev->events = kcalloc(VB_EVENTS, sizeof(*dev->events), GFP_KERNEL);
	if (!dev->queues || !dev->events)
		return -ENOMEM;
	for (i = 0; i < dev->nr_queues; i++) {
		struct vb_queue *q = &dev->queues[i];

		q->dev = dev;
		spin_lock_init(&q->lock);
		init_waitqueue_head(&q->room);
	}
	/* It has no interrupt: who defers something takes off what was answered. */
	dev->queues[VBINDER_Q_DEFERRED].watchers = 1;
	return 0;
}

static void vb_reset_work(struct work_struct *work)
{
	vb_device_stop(container_of(work, struct vb_device, reset_work), "the device asks for a reset");
}

static void vb_device_free(struct kref *ref)
{
	struct vb_device *dev = container_of(ref, struct vb_device, ref);

	vb_tokens_put_all(&dev->tokens);
	xa_destroy(&dev->tokens.files);
	xa_destroy(&dev->procs);
	cleanup_srcu_struct(&dev->srcu);
	kvfree(dev->ping_ns);
	kfree(dev->events);
	kfree(dev->queues);
	kfree(dev);
}

void vb_device_put(struct vb_device *dev)
{
	kref_put(&dev->ref, vb_device_free);
}

/* A device with one reference, or an error; nothing of it runs yet. */
struct vb_device *vb_device_new(struct virtio_device *vdev)
{
	struct vb_device *dev;
	int err = vb_config_check(vdev);

	if (err)
		return ERR_PTR(err);
	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	err = init_srcu_struct(&dev->srcu);
	if (err) {
		kfree(dev);
		return ERR_PTR(err);
	}
	kref_init(&dev->ref);
	dev->vdev = vdev;
	mutex_init(&dev->stop_lock);
	mutex_init(&dev->ping_lock);
	mutex_init(&dev->debug_lock);
	INIT_WORK(&dev->reset_work, vb_reset_work);
	INIT_WORK(&dev->orphan_work, vb_orphan_work);
	init_llist_head(&dev->orphans);
	INIT_LIST_HEAD(&dev->nodes);
	xa_init(&dev->procs);
	vb_tokens_init(&dev->tokens);
	return dev;
}

/* Brings the rings and the window up; on failure nothing is left running. */
int vb_device_start(struct vb_device *dev)
{
	int err = vb_config_read(dev);

	if (err)
		return err;
	err = vb_queues_alloc(dev);
	if (err)
		return err;
	err = vb_window_map(dev);
	if (err)
		return err;
	err = vb_queues_find(dev);
	if (err) {
		dev_err(&dev->vdev->dev, "cannot set up %u queues: error %d\n", dev->nr_queues, err);
		vb_window_unmap(dev);
		return err;
	}
	virtio_device_ready(dev->vdev);
	vb_events_post(dev);
	vb_debug_add(dev);
	dev_info(&dev->vdev->dev, "%u request queues, %s doorbell, window %llu MiB at %#llx\n",
		 dev->nr_queues - VBINDER_Q_REQUEST, dev->inline_kick ? "inline" : "worker",
		 dev->window_size >> 20, (u64)dev->window_phys);
	return 0;
}

static void vb_queues_kill(struct vb_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++) {
		spin_lock_irq(&dev->queues[i].lock);
		WRITE_ONCE(dev->queues[i].dead, true);
		spin_unlock_irq(&dev->queues[i].lock);
	}
	/* Notifies run outside the locks, with preemption disabled. */
	synchronize_rcu();
}

static void vb_queues_drain(struct vb_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++) {
		if (i == VBINDER_Q_EVENT)
			while (virtqueue_detach_unused_buf(dev->queues[i].vq))
				;
		else
			vb_queue_detach_all(&dev->queues[i]);
	}
}

/* Stops a started device, once; processes may be open. */
void vb_device_stop(struct vb_device *dev, const char *why)
{
	unsigned int i;

	mutex_lock(&dev->stop_lock);
	if (dev->stopped)
		goto out;
	dev->stopped = true;
	if (why)
		dev_err(&dev->vdev->dev, "%s: every open binder file is dead from now on\n", why);
	WRITE_ONCE(dev->dead, true);
	vb_queues_kill(dev);
	virtio_reset_device(dev->vdev);
	vb_queues_drain(dev);
	/* Only now: an open() that waited for the host holds what this takes. */
	vb_nodes_unregister(dev);
	synchronize_srcu(&dev->srcu);
	vb_proc_stop_all(dev);
	flush_work(&dev->orphan_work);
	vb_debug_remove(dev);
	dev->vdev->config->del_vqs(dev->vdev);
	for (i = 0; i < dev->nr_queues; i++)
		dev->queues[i].vq = NULL;
	vb_window_unmap(dev);
	vb_tokens_put_all(&dev->tokens);
out:
	mutex_unlock(&dev->stop_lock);
}
