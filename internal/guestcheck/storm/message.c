// SPDX-License-Identifier: Apache-2.0
/*
 * Transactions made up: objects of every kind, mostly well formed, with data that is
 * sometimes copied and sometimes long enough to be pinned.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "storm.h"

_Atomic uint32_t handles[HANDLES];

uint32_t random_handle(void)
{
	unsigned int i, from = random_below(HANDLES);

	if (one_in(50))
		return random_below(1000);
	for (i = 0; i < HANDLES && !handles[(from + i) % HANDLES]; i++)
		;
	return handles[(from + i) % HANDLES];
}

void remember_handle(uint32_t handle)
{
	handles[random_below(HANDLES)] = handle;
}

/* Puts an object into the data and returns its index, or -1 if there is no room. */
static int put(struct message *m, const void *object, size_t len)
{
	if (m->objects == MESSAGE_OBJECTS)
		return -1;
	memcpy(m->data + m->len, object, len);
	m->offsets[m->objects] = one_in(200) ? m->len + 1 : m->len;
	m->len += len;
	return m->objects++;
}

/*
 * Not of binder files: two of them on their way to each other's process keep each other
 * open for ever, with the kernel's driver as with ours.
 */
static int make_fd(struct message *m)
{
	int ends[2];

	if (one_in(40))
		return 4000;
	if (m->nr_fds + 2 > sizeof(m->fds) / sizeof(m->fds[0]) || pipe2(ends, O_CLOEXEC))
		return 1;
	m->fds[m->nr_fds++] = ends[0];
	m->fds[m->nr_fds++] = ends[1];
	return ends[0];
}

static void put_flat(struct message *m)
{
	struct flat_binder_object o = { .flags = FLAT_BINDER_FLAG_ACCEPTS_FDS };

	uint32_t handle = random_handle();

	if (!handle || one_in(2)) {
		o.hdr.type = one_in(4) ? BINDER_TYPE_WEAK_BINDER : BINDER_TYPE_BINDER;
		o.binder = 8 + 8 * random_below(16);
		o.cookie = o.binder + !random_below(300);
	} else {
		o.hdr.type = one_in(4) ? BINDER_TYPE_WEAK_HANDLE : BINDER_TYPE_HANDLE;
		o.handle = handle;
	}
	put(m, &o, sizeof(o));
}

static void put_fd(struct message *m)
{
	struct binder_fd_object o = { .hdr.type = BINDER_TYPE_FD };

	o.fd = make_fd(m);
	put(m, &o, sizeof(o));
}

static int put_buffer(struct message *m, void *p, size_t len, int parent, size_t parent_offset)
{
	struct binder_buffer_object o = {
		.hdr.type = BINDER_TYPE_PTR,
		.buffer = (uintptr_t)p,
		.length = len,
	};

	if (parent >= 0) {
		o.flags = BINDER_BUFFER_FLAG_HAS_PARENT;
		o.parent = parent;
		o.parent_offset = parent_offset;
	}
	m->sg_len += (len + 7) & ~7UL;
	return put(m, &o, sizeof(o));
}

/* A native_handle: a buffer of words, some of them descriptors, and an array object. */
static void put_array(struct message *m)
{
	struct binder_fd_array_object o = { .hdr.type = BINDER_TYPE_FDA };
	uint32_t i;
	int parent;

	o.num_fds = random_below(6);
	for (i = 0; i < o.num_fds; i++)
		m->words[2 + i] = make_fd(m);
	parent = put_buffer(m, m->words, sizeof(m->words), -1, 0);
	o.parent = one_in(100) ? 7 : parent;
	o.parent_offset = 8;
	put(m, &o, sizeof(o));
}

/* A string: a struct whose pointer is patched to the child buffer. */
static void put_string(struct message *m)
{
	size_t len = one_in(3) ? sizeof(m->blob) : 1 + random_below(300);
	int parent = put_buffer(m, m->words, 16, -1, 0);

	put_buffer(m, one_in(100) ? NULL : m->blob, len, parent, 0);
}

void message_make(struct message *m)
{
	uint32_t n = random_below(one_in(8) ? MESSAGE_OBJECTS : 4);

	m->len = 16;	/* the driver takes no object at 0 for a parent */
	m->objects = 0;
	m->sg_len = 0;
	m->nr_fds = 0;
	while (n--) {
		switch (random_below(6)) {
		case 0:
			put_fd(m);
			break;
		case 1:
			put_array(m);
			break;
		case 2:
			put_string(m);
			break;
		default:
			put_flat(m);
		}
	}
	m->len += random_below(one_in(100) ? MESSAGE_ROOM - 4096 : one_in(10) ? 65536 : 300);
}

void message_close(struct message *m)
{
	while (m->nr_fds)
		close(m->fds[--m->nr_fds]);
}

void message_fill(const struct message *m, struct binder_transaction_data_sg *sg)
{
	sg->transaction_data.data_size = m->len;
	sg->transaction_data.data.ptr.buffer = (uintptr_t)m->data;
	sg->transaction_data.offsets_size = m->objects * sizeof(m->offsets[0]);
	sg->transaction_data.data.ptr.offsets = (uintptr_t)m->offsets;
	sg->buffers_size = m->sg_len;
	if (one_in(300))
		sg->transaction_data.data.ptr.buffer += MESSAGE_ROOM;
	if (one_in(300))
		sg->transaction_data.data.ptr.offsets = 8;
}
