// SPDX-License-Identifier: GPL-2.0
/*
 * The buffer mapping of a process: a range of the device's window, read only,
 * mapped at once. Userspace may map more than the device gives: the rest, like
 * everything after the device is gone, answers with SIGBUS.
 */
#include "compat.h"
#include "vbinder.h"

static vm_fault_t vb_vma_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

/* Any part of the mapping going away ends it, as in the binder driver. */
static void vb_vma_close(struct vm_area_struct *vma)
{
	struct vb_proc *proc = vma->vm_private_data;
	struct vb_msg *msg;

	if (atomic_xchg(&proc->unmapped, 1))
		return;
	msg = proc->unmap_msg;
	proc->unmap_msg = NULL;
	vb_req_address(&msg->req, proc);
	vb_req_detach(proc->dev, &msg->req);
}

/* For ptrace and /proc/PID/mem: the window is not memory that they can pin. */
static int vb_vma_access(struct vm_area_struct *vma, unsigned long addr, void *buf,
			 int len, int write)
{
	struct vb_proc *proc = vma->vm_private_data;
	unsigned long off = addr - vma->vm_start + (vma->vm_pgoff << PAGE_SHIFT) - proc->map_addr;

	if (write)
		return -EACCES;
	if (off >= proc->map_len)
		return -EFAULT;
	len = min_t(unsigned long, len, proc->map_len - off);
	return vb_window_read(proc->dev, proc->map_off + off, buf, len) ?: len;
}

static const struct vm_operations_struct vb_vm_ops = {
	.close = vb_vma_close,
	.fault = vb_vma_fault,
	.access = vb_vma_access,
};

/* Asks the host for a range of the window for len bytes at the mapping's address. */
static int vb_map_ask(struct vb_proc *proc, unsigned long addr, unsigned long len)
{
	struct vb_msg *msg = vb_msg_new(VBINDER_OP_MMAP, sizeof(struct vbinder_mmap), 0, 0,
					GFP_KERNEL);
	struct vbinder_mmap *body;
	int err;

	if (!msg)
		return -ENOMEM;
	body = msg->body;
	body->addr = cpu_to_le64(addr);
	body->len = cpu_to_le64(len);
	vb_req_address(&msg->req, proc);
	err = vb_req_run(proc->dev, vb_request_queue(proc->dev), &msg->req, false);
	if (err)
		return err;
	err = (s32)le32_to_cpu(msg->req.resp->status);
	proc->map_off = le64_to_cpu(msg->req.resp->val);
	vb_msg_free(msg);
	if (err < 0)
		return err;
	if (!PAGE_ALIGNED(proc->map_off) || proc->map_off > proc->dev->window_size ||
	    len > proc->dev->window_size - proc->map_off)
		return -EIO;
	return 0;
}

/*
 * In two pieces: for one that fills its vma x86 reserves the memory type, and loses
 * the reservation for good when only a part of the vma is unmapped. The mapping of
 * the whole window has reserved it already.
 */
static int vb_map_pages(struct vm_area_struct *vma, unsigned long pfn, unsigned long len)
{
	unsigned long first = len > PAGE_SIZE ? len - PAGE_SIZE : len;
	int err = remap_pfn_range(vma, vma->vm_start, pfn, first, vma->vm_page_prot);

	if (!err && first < len)
		err = remap_pfn_range(vma, vma->vm_start + first, pfn + PHYS_PFN(first),
				      len - first, vma->vm_page_prot);
	return err;
}

static int vb_map_insert(struct vb_proc *proc, struct vm_area_struct *vma)
{
	struct vb_device *dev = proc->dev;
	int err = -ENODEV, idx = srcu_read_lock(&dev->srcu);

	if (!READ_ONCE(dev->dead))
		err = vb_map_pages(vma, PHYS_PFN(dev->window_phys + proc->map_off), proc->map_len);
	srcu_read_unlock(&dev->srcu, idx);
	return err;
}

int vb_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vb_proc *proc = file->private_data;
	unsigned long len = min_t(unsigned long, vma->vm_end - vma->vm_start,
				  proc->dev->limits.max_map);
	int err;

	if (!vb_proc_is_mine(proc))
		return -EINVAL;
	if (vma->vm_flags & VM_WRITE)
		return -EPERM;
	/* As the binder driver has it: not after an exec(). */
	if (vma->vm_mm != proc->mm)
		return -EINVAL;
	if (proc->mapped)
		return -EBUSY;
	err = vb_map_ask(proc, vma->vm_start, len);
	if (err)
		return err;
	proc->mapped = true;
	/* vm_pgoff stands for the place in the mapping, whatever happens to the vma. */
	proc->map_addr = vma->vm_pgoff << PAGE_SHIFT;
	proc->map_len = len;
	vb_vm_flags_mod(vma, VM_DONTCOPY, VM_MAYWRITE);
	vma->vm_private_data = proc;
	err = vb_map_insert(proc, vma);
	vma->vm_ops = &vb_vm_ops;
	if (err)
		vb_vma_close(vma);
	return err;
}

/*
 * Takes the pages of a dead device away from the process. Whoever was inside
 * vb_mmap() has left it or has seen that the device is dead; its vma is found
 * here once its mmap() call is over, which the lock waits for.
 */
void vb_mmap_zap(struct vb_proc *proc)
{
	if (proc->mm) {
		mmap_read_lock(proc->mm);
		mmap_read_unlock(proc->mm);
	}
	mutex_lock(&proc->map_lock);
	if (!proc->closed)
		unmap_mapping_range(proc->mapping, 0, 0, 1);
	mutex_unlock(&proc->map_lock);
}
