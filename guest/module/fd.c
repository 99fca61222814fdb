// SPDX-License-Identifier: GPL-2.0
/*
 * Files on their way from one process to another.
 *
 * A file is taken in its sender's context and held in the token table; the host
 * moves the token; whoever receives it installs the file. The host gives each
 * token back exactly once: in a fix-up, or in an event. Descriptors that arrived
 * in array objects are remembered per buffer and closed when it is freed.
 */
#include <linux/file.h>

#include "compat.h"
#include "vbinder.h"

void vb_tokens_init(struct vb_tokens *t)
{
	xa_init_flags(&t->files, XA_FLAGS_ALLOC | XA_FLAGS_LOCK_IRQ);
	t->next = 1;
}

/* Takes over the caller's reference on success. */
int vb_token_add(struct vb_tokens *t, struct file *file, u32 *token)
{
	int err = xa_alloc_cyclic_irq(&t->files, token, file, XA_LIMIT(1, U32_MAX),
				      &t->next, GFP_KERNEL_ACCOUNT);

	return err < 0 ? err : 0;
}

/* Removes the token and returns its file, or NULL. Any context. */
struct file *vb_token_take(struct vb_tokens *t, u32 token)
{
	struct file *file;
	unsigned long flags;

	xa_lock_irqsave(&t->files, flags);
	file = __xa_erase(&t->files, token);
	xa_unlock_irqrestore(&t->files, flags);
	return file;
}

void vb_token_put(struct vb_tokens *t, u32 token)
{
	struct file *file = vb_token_take(t, token);

	if (file)
		fput(file);
}

void vb_tokens_put_all(struct vb_tokens *t)
{
	struct file *file;
	unsigned long token;

	xa_for_each(&t->files, token, file)
		vb_token_put(t, token);
}

int vb_sender_get_fd(struct vb_sender *s, u32 fd, u32 *token)
{
	struct file *file = fget(fd);
	int err;

	if (!file)
		return -EBADF;
	err = vb_sender_judge_file(s, file);
	if (!err)
		err = vb_token_add(&s->dev->tokens, file, token);
	if (err)
		fput(file);
	return err;
}

void vb_sender_put_token(struct vb_sender *s, u32 token)
{
	vb_token_put(&s->dev->tokens, token);
}

struct vb_late_put {
	struct callback_head work;
	struct file *file;
};

static void vb_late_put(struct callback_head *work)
{
	struct vb_late_put *late = container_of(work, struct vb_late_put, work);

	fput(late->file);
	kfree(late);
}

/*
 * The ioctl that we are in may have borrowed its own file without a reference.
 * Keeps that file until the ioctl has returned, so that its descriptors can be
 * closed; false if the kernel does not let us.
 */
static bool vb_keep_file(struct file *self)
{
	struct vb_late_put *late;

	if (!task_work_add)
		return false;
	late = kmalloc(sizeof(*late), GFP_KERNEL | __GFP_NOFAIL);
	late->file = get_file(self);
	init_task_work(&late->work, vb_late_put);
	if (task_work_add(current, &late->work, TWA_RESUME))
		vb_late_put(&late->work); /* exiting: in no ioctl */
	return true;
}

static bool vb_is_open_as(struct file *self, unsigned int fd)
{
	struct file *file = fget(fd);

	if (file)
		fput(file);
	return file == self;
}

/* Closes the array descriptors of a freed buffer of the current process. */
void vb_fdas_close(struct vb_proc *proc, struct file *self, u64 buffer)
{
	struct vb_fda *fda = xa_erase(&proc->fdas, buffer);
	bool kept;
	u32 i;

	if (!fda)
		return;
	kept = vb_keep_file(self);
	for (i = 0; i < fda->count; i++)
		if (kept || !vb_is_open_as(self, fda->fds[i]))
			close_fd(fda->fds[i]);
	kvfree(fda);
}

void vb_fdas_forget(struct vb_proc *proc)
{
	struct vb_fda *fda;
	unsigned long buffer;

	xa_for_each(&proc->fdas, buffer, fda)
		kvfree(fda);
	xa_destroy(&proc->fdas);
}
