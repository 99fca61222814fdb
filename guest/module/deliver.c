// SPDX-License-Identifier: GPL-2.0
/*
 * The answer to a WRITE_READ (step 8 of docs/data-path.md): fix-ups, files,
 * identities, the reader's bytes, the nice value.
 *
 * Order matters. Files are reserved and their numbers written into the buffer
 * first; then the reader gets its bytes; only then do the files appear in its
 * table. Until then everything can be taken back, and the host is told so.
 * A fix-up that names a file uses its token up, whether or not that works.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/resource.h>

#include "compat.h"
#include "vbinder.h"

/* No answer has more fix-ups than a buffer has room for descriptors. */
#define VB_MAX_FIXES	SZ_1M

struct vb_fixes {
	struct vbinder_fix *fix;	/* own copy */
	u32 count;
	u32 cap;
};

/* A file on its way into the reader's table. */
struct vb_install {
	struct file *file;
	int fd;
};

struct vb_installs {
	struct vb_install *list;
	u32 count;
	struct vb_fda *fda;		/* those to remember, or NULL */
};

static int vb_fixes_add(struct vb_fixes *all, const struct vbinder_fix *fix, u32 n)
{
	if (n > all->cap - all->count) {
		u32 cap = max(2 * all->cap, all->count + n);
		struct vbinder_fix *p;

		if (cap > VB_MAX_FIXES)
			return -E2BIG;
		p = kvmalloc_array(cap, sizeof(*p), GFP_KERNEL_ACCOUNT);
		if (!p)
			return -ENOMEM;
		memcpy(p, all->fix, all->count * sizeof(*p));
		kvfree(all->fix);
		all->fix = p;
		all->cap = cap;
	}
	memcpy(all->fix + all->count, fix, n * sizeof(*fix));
	all->count += n;
	return 0;
}

static void vb_put_tokens(struct vb_device *dev, const struct vbinder_fix *fix, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (le32_to_cpu(fix[i].kind) != VBINDER_FIX_FREE)
			vb_token_put(&dev->tokens, le32_to_cpu(fix[i].token));
}

/* Fetches one more batch; *more says whether that was the last. */
static int vb_fixes_fetch(struct vb_proc *proc, struct vb_fixes *all, bool *more)
{
	struct vb_device *dev = proc->dev;
	const struct vbinder_fix *fix;
	struct vbinder_fetch *body;
	struct vb_msg *msg;
	u32 n;
	int err;

	*more = false;
	msg = vb_msg_new(VBINDER_OP_FETCH_FIX, sizeof(*body), VB_FETCH_CAP, 0, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	body = msg->body;
	body->fix_cap = cpu_to_le32(VB_FETCH_CAP);
	vb_req_address(&msg->req, proc);
	err = vb_req_run(dev, vb_request_queue(dev), &msg->req, false);
	if (err)
		return err;
	err = (s32)le32_to_cpu(msg->req.resp->status);
	fix = vb_req_fixes(&msg->req, &n);
	if (!err)
		err = vb_fixes_add(all, fix, n);
	if (err)
		vb_put_tokens(dev, fix, n);
	*more = !err && n && (le32_to_cpu(msg->req.resp->flags) & VBINDER_RESP_MORE_FIX);
	vb_msg_free(msg);
	return min(err, 0);
}

/*
 * All fix-ups of the answer, in memory of our own. On failure those that we have
 * are there nevertheless, to be dropped.
 */
static int vb_fixes_collect(struct vb_delivery *d, struct vb_fixes *all)
{
	const struct vbinder_fix *fix;
	bool more;
	u32 n;
	int err;

	fix = vb_req_fixes(d->req, &n);
	more = le32_to_cpu(d->req->resp->flags) & VBINDER_RESP_MORE_FIX;
	if (!n && !more)
		return 0;
	err = vb_fixes_add(all, fix, n);
	if (err)
		vb_put_tokens(d->proc->dev, fix, n);
	while (!err && more)
		err = vb_fixes_fetch(d->proc, all, &more);
	return err;
}

static bool vb_fix_installs(const struct vbinder_fix *fix)
{
	u32 kind = le32_to_cpu(fix->kind);

	return kind == VBINDER_FIX_FD || kind == VBINDER_FIX_FDA;
}

/* Drops the files that are not to be installed after all. */
static void vb_fixes_drop(struct vb_device *dev, const struct vb_fixes *all)
{
	u32 i;

	for (i = 0; i < all->count; i++)
		if (vb_fix_installs(&all->fix[i]))
			vb_token_put(&dev->tokens, le32_to_cpu(all->fix[i].token));
}

/* What does not depend on the delivery: freed buffers, dropped files. */
static void vb_fixes_settle(struct vb_delivery *d, const struct vb_fixes *all)
{
	u32 i;

	for (i = 0; i < all->count; i++) {
		const struct vbinder_fix *fix = &all->fix[i];

		switch (le32_to_cpu(fix->kind)) {
		case VBINDER_FIX_PUT:
			vb_token_put(&d->proc->dev->tokens, le32_to_cpu(fix->token));
			break;
		case VBINDER_FIX_FREE:
			vb_fdas_close(d->proc, d->file, le64_to_cpu(fix->off));
			break;
		}
	}
}

static void vb_installs_undo(struct vb_installs *in)
{
	u32 i;

	for (i = 0; i < in->count; i++) {
		if (in->list[i].fd >= 0)
			put_unused_fd(in->list[i].fd);
		if (in->list[i].file)
			fput(in->list[i].file);
	}
	kvfree(in->list);
	kvfree(in->fda);
}

/* Reserves a descriptor for fix and writes its number into the buffer. */
static int vb_reserve(struct vb_device *dev, const struct vbinder_fix *fix,
		      struct vb_install *to)
{
	if (!to->file)
		return -EBADF;
	to->fd = get_unused_fd_flags(O_CLOEXEC);
	if (to->fd < 0)
		return to->fd;
	return vb_window_write(dev, le64_to_cpu(fix->off), to->fd);
}

/*
 * Takes the file of every fix-up and reserves descriptors up to the first
 * failure. in can be undone at any time.
 */
static int vb_reserve_all(struct vb_device *dev, const struct vb_fixes *all,
			  struct vb_installs *in)
{
	u32 i, n = 0, array = 0;
	int err = 0;

	for (i = 0; i < all->count; i++) {
		n += vb_fix_installs(&all->fix[i]);
		array += le32_to_cpu(all->fix[i].kind) == VBINDER_FIX_FDA;
	}
	if (!n)
		return 0;
	in->list = kvmalloc_array(n, sizeof(*in->list), GFP_KERNEL_ACCOUNT);
	if (array)
		in->fda = kvmalloc(struct_size(in->fda, fds, array), GFP_KERNEL_ACCOUNT);
	if (!in->list || (array && !in->fda)) {
		vb_fixes_drop(dev, all);
		return -ENOMEM;
	}
	if (in->fda)
		in->fda->count = 0;
	for (i = 0; i < all->count; i++) {
		const struct vbinder_fix *fix = &all->fix[i];
		struct vb_install *to = &in->list[in->count];

		if (!vb_fix_installs(fix))
			continue;
		in->count++;
		to->fd = -1;
		to->file = vb_token_take(&dev->tokens, le32_to_cpu(fix->token));
		if (err)
			continue;
		err = vb_reserve(dev, fix, to);
		if (!err && le32_to_cpu(fix->kind) == VBINDER_FIX_FDA)
			in->fda->fds[in->fda->count++] = to->fd;
	}
	return err;
}

/* Remembers array descriptors under the buffer they are in. */
static int vb_remember(struct vb_delivery *d, struct vb_installs *in)
{
	struct vb_fda *old;

	if (!in->fda)
		return 0;
	old = xa_store(&d->proc->fdas, le64_to_cpu(d->req->resp->val), in->fda,
		       GFP_KERNEL_ACCOUNT);
	if (xa_is_err(old))
		return xa_err(old);
	kvfree(old);
	return 0;
}

/* Another thread may have freed the buffer meanwhile, and what was remembered with it. */
static void vb_forget(struct vb_delivery *d, struct vb_installs *in)
{
	if (in->fda && xa_cmpxchg(&d->proc->fdas, le64_to_cpu(d->req->resp->val), in->fda, NULL,
				  GFP_KERNEL) != in->fda)
		in->fda = NULL;
}

static void vb_install_all(struct vb_installs *in)
{
	u32 i;

	for (i = 0; i < in->count; i++)
		fd_install(in->list[i].fd, in->list[i].file);
	kvfree(in->list);
}

/*
 * The binder driver's rule: as far as the caller's RLIMIT_NICE goes, else not at
 * all, even if that is less than the caller has.
 */
static void vb_set_nice(struct vb_delivery *d)
{
	s32 nice = (s32)le32_to_cpu(d->req->resp->nice);

	if (nice == VBINDER_NO_NICE)
		return;
	if (nice_to_rlimit(nice) > rlimit(RLIMIT_NICE) && !capable(CAP_SYS_NICE))
		nice = rlimit_to_nice(rlimit(RLIMIT_NICE));
	/* Beyond MAX_NICE, where there is no such limit, this does nothing. */
	set_user_nice(current, nice);
}

/* The BR commands, the reader's to see: an area in kernel memory. */
struct vb_br {
	u8 *p;
	u32 len;
	u32 txn;		/* where the transaction or reply stands, or len */
};

static struct vb_br vb_br_of(const struct vb_delivery *d)
{
	struct vb_req *req = d->req;
	u32 head = sizeof(*req->resp) + req->fix_cap * sizeof(struct vbinder_fix) +
		   req->report_cap * sizeof(struct vbinder_report);
	struct vb_br br = { .p = (u8 *)req->resp + head };
	u32 pos = le32_to_cpu(req->resp->txn_pos);

	if (req->used > head)
		br.len = min3(req->used - head, le32_to_cpu(req->resp->br_len), d->room);
	br.txn = br.len;
	if (pos != VBINDER_NO_POS && !(pos % 4) && br.len > pos &&
	    br.len - pos >= sizeof(u32) + sizeof(struct binder_transaction_data))
		br.txn = pos;
	return br;
}

/* Fills in who the sender is, as the reader's namespaces have it. */
static void vb_br_identify(struct vb_delivery *d, struct vb_br *br)
{
	struct vbinder_resp *resp = d->req->resp;
	struct binder_transaction_data *tr = (void *)(br->p + br->txn + sizeof(u32));
	kuid_t uid = make_kuid(&init_user_ns, le32_to_cpu(resp->sender_euid));

	if (br->txn == br->len)
		return;
	vb_lsm_serves(d->proc, le64_to_cpu(resp->sender_proc));
	tr->sender_pid = vb_proc_pid(d->proc->dev, le64_to_cpu(resp->sender_proc));
	tr->sender_euid = from_kuid(current_user_ns(), uid);
}

/* Notes what the host has said of the reply, if there is one and its reader has it. */
static void vb_br_note_plain(struct vb_delivery *d, const struct vb_br *br)
{
	const struct binder_transaction_data *tr = (void *)(br->p + br->txn + sizeof(u32));

	if (br->txn != br->len && le32_to_cpu(d->req->resp->flags) & VBINDER_RESP_PLAIN)
		vb_plain_note(d->proc, tr->data.ptr.buffer);
}

/*
 * Takes a delivery whose files failed out of the BR area: a reply becomes
 * BR_FAILED_REPLY, a call is as if it had never come.
 */
static void vb_br_strip(struct vb_delivery *d, struct vb_br *br)
{
	u32 code;

	if (br->txn == br->len)
		return;
	memcpy(&code, br->p + br->txn, sizeof(code));
	br->len = br->txn;
	if (code == BR_REPLY) {
		code = BR_FAILED_REPLY;
		memcpy(br->p + br->len, &code, sizeof(code));
		br->len += sizeof(code);
		return;
	}
	memcpy(&code, br->p, sizeof(code));
	if (!br->len || (br->len == sizeof(code) && code == BR_NOOP)) {
		br->len = 0;
		d->nothing = true;
	}
}

/* Applies what an answer without delivery carries. */
void vb_deliver_fixes(struct vb_delivery *d)
{
	struct vb_fixes all = {};

	vb_fixes_collect(d, &all);
	vb_fixes_settle(d, &all);
	vb_fixes_drop(d->proc->dev, &all);
	kvfree(all.fix);
	vb_set_nice(d);
}

/*
 * Gives the reader what the host has for it. Returns 0 with d->copied bytes of
 * BR commands in its buffer, or -EFAULT.
 */
int vb_deliver(struct vb_delivery *d)
{
	struct vb_device *dev = d->proc->dev;
	struct vb_br br = vb_br_of(d);
	struct vb_installs in = {};
	struct vb_fixes all = {};
	int err;

	err = vb_fixes_collect(d, &all);
	vb_fixes_settle(d, &all);
	if (err)
		vb_fixes_drop(dev, &all);
	else
		err = vb_reserve_all(dev, &all, &in);
	kvfree(all.fix);
	if (!err)
		err = vb_remember(d, &in);
	vb_set_nice(d);
	if (err) {
		vb_installs_undo(&in);
		memset(&in, 0, sizeof(in));
		vb_send_undo(dev, d->req, VBINDER_UNDO_FDS, err);
		vb_br_strip(d, &br);
	} else {
		vb_br_identify(d, &br);
	}
	if (copy_to_user((void __user *)(uintptr_t)d->buffer, br.p, br.len)) {
		if (!err)
			vb_send_undo(dev, d->req, VBINDER_UNDO_COPY, -EFAULT);
		vb_forget(d, &in);
		vb_installs_undo(&in);
		return -EFAULT;
	}
	vb_install_all(&in);
	vb_br_note_plain(d, &br);
	d->copied = br.len;
	return 0;
}
