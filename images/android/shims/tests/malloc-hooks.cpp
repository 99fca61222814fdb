// SPDX-License-Identifier: Apache-2.0
//
// Bionic's malloc hooks on glibc, for the test that counts allocations: the program's malloc and realloc go through the
// hooks, which lead to glibc's unless somebody has set them.
#include <malloc.h>

extern "C" {

void *__libc_malloc(size_t bytes);
void *__libc_realloc(void *ptr, size_t bytes);

static void *plain_malloc(size_t bytes, const void *) { return __libc_malloc(bytes); }
static void *plain_realloc(void *ptr, size_t bytes, const void *) { return __libc_realloc(ptr, bytes); }

void *(*volatile __malloc_hook)(size_t, const void *) = plain_malloc;
void *(*volatile __realloc_hook)(void *, size_t, const void *) = plain_realloc;

void *malloc(size_t bytes) { return __malloc_hook(bytes, __builtin_return_address(0)); }
void *realloc(void *ptr, size_t bytes) { return __realloc_hook(ptr, bytes, __builtin_return_address(0)); }

}
