// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that has a generic netlink family "binder" already, as Linux from 6.18 on
 * has with its own driver: this module has it, and nothing else.
 */
#include <linux/module.h>
#include <net/genetlink.h>

static struct genl_family family = {
	.name = "binder",
	.version = 1,
	.module = THIS_MODULE,
};

static int __init family_init(void)
{
	return genl_register_family(&family);
}

static void __exit family_exit(void)
{
	genl_unregister_family(&family);
}

module_init(family_init);
module_exit(family_exit);

MODULE_DESCRIPTION("The netlink family of binder, for tests");
MODULE_LICENSE("GPL");
