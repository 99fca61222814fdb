/* SPDX-License-Identifier: GPL-2.0 */
/* What gather.c uses of the kernel, for userspace. Read fuzz.c. */
#ifndef _VBINDER_FUZZ_ENV_H
#define _VBINDER_FUZZ_ENV_H

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/types.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define cpu_to_le32(x)	htole32(x)
#define cpu_to_le64(x)	htole64(x)
#define le32_to_cpu(x)	le32toh(x)
#define le64_to_cpu(x)	le64toh(x)

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define min_t(type, a, b)	((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b)	((type)(a) > (type)(b) ? (type)(a) : (type)(b))

#define GFP_KERNEL_ACCOUNT	0

void *kvmalloc(size_t n, int gfp);
void kvfree(void *p);

struct vb_sender;
size_t vb_sender_read(struct vb_sender *s, void *to, u64 addr, size_t len);

#endif /* _VBINDER_FUZZ_ENV_H */
