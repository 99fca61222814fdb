// SPDX-License-Identifier: GPL-2.0
/*
 * A context: what one device node stands for, with its own context manager.
 *
 * The host makes it before the node is there for anyone to open, and ends it when
 * the last who holds it lets go: the node, and every process that has it open.
 */
#include "vbinder.h"

static void vb_context_free(struct kref *ref)
{
	struct vb_context *ctx = container_of(ref, struct vb_context, ref);
	struct vbinder_context_end *body = ctx->end_msg->body;

	body->context = cpu_to_le64(ctx->id);
	vb_req_detach(ctx->dev, &ctx->end_msg->req);
	vb_device_put(ctx->dev);
	kfree(ctx);
}

void vb_context_put(struct vb_context *ctx)
{
	kref_put(&ctx->ref, vb_context_free);
}

/* Has the host make the context; -ENOSPC if the VM has as many as it may. */
static int vb_context_ask(struct vb_context *ctx)
{
	struct vb_msg *msg = vb_msg_new(VBINDER_OP_CONTEXT, sizeof(struct vbinder_context), 0, 0,
					GFP_KERNEL);
	struct vbinder_context *body;
	int err;

	if (!msg)
		return -ENOMEM;
	body = msg->body;
	strscpy(body->name, ctx->name, sizeof(body->name));
	err = vb_req_run(ctx->dev, vb_request_queue(ctx->dev), &msg->req, false);
	if (err)
		return err;
	err = (s32)le32_to_cpu(msg->req.resp->status);
	ctx->id = le64_to_cpu(msg->req.resp->val);
	vb_msg_free(msg);
	return min(err, 0);
}

struct vb_context *vb_context_new(struct vb_device *dev, const char *name)
{
	struct vb_context *ctx;
	int err = -ENOMEM;

	if (READ_ONCE(dev->dead))
		return ERR_PTR(-ENODEV);
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return ERR_PTR(err);
	kref_init(&ctx->ref);
	ctx->dev = dev;
	strscpy(ctx->name, name, sizeof(ctx->name));
	ctx->end_msg = vb_msg_new(VBINDER_OP_CONTEXT_END, sizeof(struct vbinder_context_end), 0, 0,
				  GFP_KERNEL_ACCOUNT);
	if (ctx->end_msg)
		err = vb_context_ask(ctx);
	if (err) {
		vb_msg_free(ctx->end_msg);
		kfree(ctx);
		return ERR_PTR(err);
	}
	kref_get(&dev->ref);
	return ctx;
}
