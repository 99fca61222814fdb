// SPDX-License-Identifier: GPL-2.0
/*
 * Failure reports in the guest: generic netlink family "binder", group "report",
 * as Linux has them from 6.18 on, for daemons that listen there.
 *
 * A report comes with the answer to the request whose command failed, and is sent
 * before the sender reads of the failure. While nobody listens the host is not
 * asked for any. As in the kernel's driver they go to the initial network
 * namespace, with pids of the initial pid namespace.
 */
#include <linux/module.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include "vbinder.h"

#define VB_CMD_REPORT	1

enum {
	VB_A_ERROR = 1,
	VB_A_CONTEXT,
	VB_A_FROM_PID,
	VB_A_FROM_TID,
	VB_A_TO_PID,
	VB_A_TO_TID,
	VB_A_IS_REPLY,
	VB_A_FLAGS,
	VB_A_CODE,
	VB_A_DATA_SIZE,
};

static bool reports = true;
module_param(reports, bool, 0444);
MODULE_PARM_DESC(reports, "multicast failure reports on netlink family \"binder\" where the kernel has none");

static const struct genl_multicast_group vb_report_groups[] = { { .name = "report" } };

static struct genl_family vb_report_family = {
	.name = "binder",
	.version = 1,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.mcgrps = vb_report_groups,
	.n_mcgrps = ARRAY_SIZE(vb_report_groups),
};

/* Fixed while there are devices. */
static bool vb_reporting;

int vb_report_init(void)
{
	int err;

	if (!reports)
		return 0;
	err = genl_register_family(&vb_report_family);
	if (err == -EEXIST) {
		pr_info(VB_NAME ": the netlink family \"binder\" is the kernel's own: failures on our devices are not reported there\n");
		return 0;
	}
	vb_reporting = !err;
	return err;
}

void vb_report_exit(void)
{
	if (vb_reporting)
		genl_unregister_family(&vb_report_family);
}

bool vb_reports_here(void)
{
	return vb_reporting;
}

u32 vb_report_cap(void)
{
	return vb_reporting && genl_has_listeners(&vb_report_family, &init_net, 0) ? VB_REPORT_CAP : 0;
}

static int vb_report_fill(struct sk_buff *skb, struct vb_proc *proc, u32 tid,
			  const struct vbinder_report *r)
{
	u32 flags = le32_to_cpu(r->flags);

	if (nla_put_u32(skb, VB_A_ERROR, le32_to_cpu(r->error)) ||
	    nla_put_string(skb, VB_A_CONTEXT, proc->context->name) ||
	    nla_put_u32(skb, VB_A_FROM_PID, pid_nr(proc->pid)) ||
	    nla_put_u32(skb, VB_A_FROM_TID, tid) ||
	    (flags & VBINDER_REPORT_TO &&
	     nla_put_u32(skb, VB_A_TO_PID, le32_to_cpu(r->to_pid))) ||
	    (flags & VBINDER_REPORT_TO_TID &&
	     nla_put_u32(skb, VB_A_TO_TID, le32_to_cpu(r->to_tid))) ||
	    (flags & VBINDER_REPORT_REPLY && nla_put_flag(skb, VB_A_IS_REPLY)) ||
	    nla_put_u32(skb, VB_A_FLAGS, le32_to_cpu(r->txn_flags)) ||
	    nla_put_u32(skb, VB_A_CODE, le32_to_cpu(r->code)) ||
	    nla_put_u32(skb, VB_A_DATA_SIZE, le32_to_cpu(r->data_size)))
		return -EMSGSIZE;
	return 0;
}

/* False if it could not even be tried; nobody is told what listeners miss. */
static bool vb_report_send(struct vb_proc *proc, u32 tid, const struct vbinder_report *r)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *head;

	if (!skb)
		return false;
	head = genlmsg_put(skb, 0, 0, &vb_report_family, 0, VB_CMD_REPORT);
	if (!head || vb_report_fill(skb, proc, tid, r)) {
		nlmsg_free(skb);
		return false;
	}
	genlmsg_end(skb, head);
	genlmsg_multicast(&vb_report_family, skb, 0, 0, GFP_KERNEL);
	return true;
}

void vb_reports_send(struct vb_proc *proc, const struct vb_req *req)
{
	const struct vbinder_report *r = (void *)(vb_req_fixes_start(req) + req->fix_cap);
	u32 n = min_t(u32, le16_to_cpu(req->resp->report_count), req->report_cap);
	u32 i, lost = req->report_cap ? le16_to_cpu(req->resp->reports_lost) : 0;

	for (i = 0; i < n; i++)
		lost += !vb_report_send(proc, le32_to_cpu(req->ctl->tid), &r[i]);
	atomic64_add(n, &proc->dev->reports);
	atomic64_add(lost, &proc->dev->reports_lost);
	if (lost)
		pr_warn_ratelimited(VB_NAME ": %u failure reports of process %d were lost\n",
				    lost, pid_nr(proc->pid));
}
