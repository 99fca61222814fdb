/* SPDX-License-Identifier: Apache-2.0 */
/* The system's binder header, with two additions.
 *
 * libbinder asks the preprocessor which newer names the header has; there they are enumerators, so each is made a
 * macro of itself. And the scheduling flags exist in Android's common kernel only; mainline ignores the bits. */
#pragma once
#include_next <linux/android/binder.h>

#define BINDER_FREEZE BINDER_FREEZE
#define BINDER_GET_FROZEN_INFO BINDER_GET_FROZEN_INFO
#define BINDER_ENABLE_ONEWAY_SPAM_DETECTION BINDER_ENABLE_ONEWAY_SPAM_DETECTION
#define BR_FROZEN_REPLY BR_FROZEN_REPLY
#define BR_ONEWAY_SPAM_SUSPECT BR_ONEWAY_SPAM_SUSPECT
#define BR_TRANSACTION_PENDING_FROZEN BR_TRANSACTION_PENDING_FROZEN

enum {
	FLAT_BINDER_FLAG_SCHED_POLICY_SHIFT = 9,
	FLAT_BINDER_FLAG_SCHED_POLICY_MASK = 3U << FLAT_BINDER_FLAG_SCHED_POLICY_SHIFT,
	FLAT_BINDER_FLAG_INHERIT_RT = 0x800,
};
