/* SPDX-License-Identifier: Apache-2.0 */
/* glibc's, with the hooks that bionic has and glibc no longer does: tests/malloc-hooks.cpp. */
#pragma once
#include_next <malloc.h>
#include <sys/cdefs.h>

__BEGIN_DECLS
extern void *(*volatile __malloc_hook)(size_t bytes, const void *caller);
extern void *(*volatile __realloc_hook)(void *ptr, size_t bytes, const void *caller);
__END_DECLS
