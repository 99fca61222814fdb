// SPDX-License-Identifier: GPL-2.0
/*
 * gather.c in userspace, under ASan and UBSan, against a hostile sender.
 *
 * An input is a sender's memory: its first bytes choose limits and where the
 * stream begins, the rest lies at ADDR. Memory is readable by chunks, some are
 * missing, and a second read may see other bytes than the first, as when another
 * thread of the sender writes meanwhile. After each piece the tables must hold
 * together, and at the end nothing may be left allocated or taken.
 *
 * With clang this is a libFuzzer target; with gcc, main() makes inputs from a
 * seed: fuzz RUNS SEED. See Makefile.
 */
#include <stdio.h>

#include "gather.h"

#include <linux/android/binder.h>

#define ADDR		0x100000ULL
#define CHUNK		64
#define HEAD		16
#define PAYLOAD_RUN	4096

struct vb_sender {
	const u8 *mem;
	size_t size;
	u8 holes;		/* about holes/256 of the chunks are unreadable */
	bool racing;		/* memory changes between reads */
	u32 reads;
	u64 len;		/* payload */
	u64 runs;
	u32 tokens;		/* taken and not put */
	u32 next_token;
	int fail_alloc;		/* countdown to failing allocations, -1 for never */
};

static struct vb_sender sender;
static long allocated;

#define INVARIANT(what)							\
	do {								\
		if (!(what)) {						\
			fprintf(stderr, "fuzz: broken: %s (line %d)\n", #what, __LINE__); \
			abort();					\
		}							\
	} while (0)

static bool alloc_fails(void)
{
	return sender.fail_alloc >= 0 && sender.fail_alloc-- == 0;
}

void *kvmalloc(size_t n, int gfp)
{
	(void)gfp;
	INVARIANT(n <= 16 << 20);
	if (alloc_fails())
		return NULL;
	allocated++;
	return malloc(n);
}

void kvfree(void *p)
{
	if (p)
		allocated--;
	free(p);
}

static bool readable(const struct vb_sender *s, u64 addr)
{
	u64 chunk = (addr - ADDR) / CHUNK;

	if (addr < ADDR || addr - ADDR >= s->size)
		return false;
	return (u8)(chunk * 0x9d + 7) >= s->holes;
}

size_t vb_sender_read(struct vb_sender *s, void *to, u64 addr, size_t len)
{
	u8 *p = to;
	size_t i;

	s->reads++;
	for (i = 0; i < len && readable(s, addr + i); i++)
		p[i] = s->mem[addr + i - ADDR] ^ (s->racing && s->reads % 5 == 0 ? 1 << (i & 7) : 0);
	memset(p + i, 0, len - i);
	return len - i;
}

int vb_sender_get_fd(struct vb_sender *s, u32 fd, u32 *token)
{
	if (fd > 1000)
		return -EBADF;
	if (alloc_fails())
		return -ENOMEM;
	s->tokens++;
	*token = ++s->next_token;
	return 0;
}

void vb_sender_put_token(struct vb_sender *s, u32 token)
{
	INVARIANT(token && token <= s->next_token);
	INVARIANT(s->tokens);
	s->tokens--;
}

/* Denies by handle, at any time. */
void vb_sender_judge(struct vb_sender *s, u32 handle, bool reply, struct vbinder_txn *rec)
{
	(void)s;
	rec->flags |= VBINDER_TXN_JUDGED;
	rec->lsm_proc = handle;
	rec->lsm_error = !reply && handle % 3 == 0 ? -EPERM : 0;
}

int vb_sender_judge_binder(struct vb_sender *s)
{
	return s->reads % 7 == 0 ? -EPERM : 0;
}

int vb_sender_add(struct vb_sender *s, u64 addr, u64 len, u64 *got)
{
	*got = 0;
	if (alloc_fails())
		return -ENOMEM;
	while (*got < len && readable(s, addr + *got))
		++*got;
	s->len += *got;
	s->runs += len ? len / PAYLOAD_RUN + 2 : 0;
	return 0;
}

u64 vb_sender_len(const struct vb_sender *s)
{
	return s->len;
}

u64 vb_sender_runs(const struct vb_sender *s)
{
	return s->runs;
}

void vb_sender_mark(const struct vb_sender *s, struct vb_payload_mark *m)
{
	m->len = s->len;
	m->runs = s->runs;
}

void vb_sender_cut(struct vb_sender *s, const struct vb_payload_mark *m)
{
	s->len = m->len;
	s->runs = m->runs;
}

/* ---- what must hold after a piece ---- */

/* Each descriptor belongs to one object: *fds counts those that came before. */
static void check_objects(const struct vb_gather *g, const struct vbinder_txn *t, u64 *fds)
{
	const struct vbinder_obj *o = (const struct vbinder_obj *)g->obj.p + t->obj_first;
	u32 i;

	for (i = 0; i < t->obj_count; i++) {
		INVARIANT(o[i].raw_len <= sizeof(o[i].raw));
		INVARIANT(!o[i].fd_count || o[i].fd_first == *fds);
		*fds += o[i].fd_count;
		INVARIANT(o[i].seg_len <= g->limits->max_map);
		INVARIANT(!o[i].seg_len || o[i].seg_pos + o[i].seg_len <= sender.len);
	}
}

static void check_piece(const struct vb_gather *g)
{
	const struct vbinder_txn *t = (const struct vbinder_txn *)g->txn.p;
	const struct vbinder_fd *fd = (const struct vbinder_fd *)g->fd.p;
	u32 i, taken = 0, objects = 0, n = g->txn.len / sizeof(*t);
	u64 fds = 0;

	INVARIANT(vb_gather_ctl_len(g) + sender.runs * sizeof(struct vbinder_extent) <=
		  g->limits->max_ctl);
	INVARIANT(n == 1 || sender.len <= g->limits->max_payload);
	for (i = 0; i < n; i++) {
		INVARIANT(t[i].cmd_pos < g->stream.len);
		INVARIANT(!i || t[i].cmd_pos > t[i - 1].cmd_pos);
		INVARIANT(t[i].data_pos + t[i].data_len <= sender.len);
		INVARIANT(!t[i].obj_count || t[i].obj_first == objects);
		objects += t[i].obj_count;
		check_objects(g, &t[i], &fds);
	}
	INVARIANT(fds == g->fd.len / sizeof(*fd));
	INVARIANT(objects == g->obj.len / sizeof(struct vbinder_obj));
	for (i = 0; i < g->fd.len / sizeof(*fd); i++)
		taken += !fd[i].error;
	INVARIANT(taken == sender.tokens);
}

static void lend(struct vb_vec *v, u8 *p, u32 cap)
{
	*v = (struct vb_vec){ .p = p, .cap = cap };
}

/* Gathers the stream piece by piece, as write_read.c does. */
static void run(const struct vb_limits *limits, u64 buf, u64 size)
{
	static u8 stream[256], txn[96] __attribute__((aligned(8)));
	static u8 obj[160] __attribute__((aligned(8))), fd[32] __attribute__((aligned(8)));
	u64 pos = 0;
	int i;

	for (i = 0; i < 1000; i++) {
		struct vb_gather g = { .limits = limits, .sender = &sender };
		u32 flags, done;
		int err;

		lend(&g.stream, stream, sizeof(stream));
		lend(&g.txn, txn, sizeof(txn));
		lend(&g.obj, obj, sizeof(obj));
		lend(&g.fd, fd, sizeof(fd));
		sender.len = 0;
		sender.runs = 0;
		err = vb_gather_piece(&g, buf, pos, size);
		INVARIANT(!err || err == -ENOMEM);
		INVARIANT(!err || !g.stream.len);
		check_piece(&g);
		flags = g.flags;
		done = g.stream.len;
		vb_gather_drop_tokens(&g);
		vb_gather_free(&g);
		INVARIANT(!sender.tokens);
		INVARIANT(!allocated);
		if (err || !(flags & VBINDER_WR_PARTIAL))
			return;
		INVARIANT(done);
		pos += done;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct vb_limits limits;

	if (size < HEAD)
		return 0;
	/* The real driver refuses a device with less than 32 KiB. */
	limits.max_ctl = 32768 + (data[0] << 8);
	limits.max_map = 4096 << (data[1] % 11);
	limits.max_payload = 2ULL * limits.max_map;
	sender = (struct vb_sender){
		.mem = data + HEAD,
		.size = size - HEAD,
		.holes = data[2] & 1 ? data[3] / 4 : 0,
		.racing = data[2] & 2,
		.fail_alloc = data[2] & 4 ? data[4] : -1,
	};
	run(&limits, ADDR + data[5], data[2] & 8 ? size : (u64)data[6] << 4);
	return 0;
}

#ifndef LIBFUZZER
/* ---- inputs from a seed: mostly well-formed streams, a little spoiled ---- */

static u64 seed;

static u32 rnd(u32 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return n ? (u32)(seed >> 11) % n : 0;
}

#define MEM	(1 << 16)

static u8 input[HEAD + MEM];

static void put(u32 at, const void *p, u32 n)
{
	if (at <= MEM && n <= MEM - at)
		memcpy(input + HEAD + at, p, n);
}

static u64 spoil(u64 v)
{
	static const u64 odd[] = { 0, 1, 7, 4096, 1ULL << 22, 1ULL << 32, ~0ULL, ~7ULL };

	return rnd(24) ? v : odd[rnd(8)] + rnd(3);
}

/* Makes a data section at at with n objects, its offsets array behind it. */
static u32 make_objects(u32 at, u32 n, struct binder_transaction_data *tr)
{
	u32 i, pos = 0, offsets = at + n * 48;

	for (i = 0; i < n; i++) {
		union {
			struct binder_fd_object fd;
			struct binder_buffer_object ptr;
			struct binder_fd_array_object fda;
			struct flat_binder_object flat;
		} o;
		u64 offset = spoil(pos);

		memset(&o, 0, sizeof(o));
		switch (rnd(4)) {
		case 0:
			o.fd.hdr.type = BINDER_TYPE_FD;
			o.fd.fd = spoil(rnd(1100));
			break;
		case 1:
			o.ptr.hdr.type = BINDER_TYPE_PTR;
			o.ptr.buffer = spoil(ADDR + rnd(MEM));
			o.ptr.length = spoil(rnd(n > 12 ? 40 : rnd(4) ? 600 : 5000));
			break;
		case 2:
			o.fda.hdr.type = BINDER_TYPE_FDA;
			o.fda.num_fds = spoil(rnd(80));
			o.fda.parent = spoil(rnd(i + 1));
			o.fda.parent_offset = spoil(rnd(8) * 4);
			break;
		default:
			o.flat.hdr.type = rnd(8) ? BINDER_TYPE_HANDLE : rnd(0);
		}
		put(at + pos, &o, sizeof(o));
		put(offsets + i * 8, &offset, 8);
		pos += 40;
	}
	tr->data.ptr.buffer = spoil(ADDR + at);
	tr->data_size = spoil(pos);
	tr->data.ptr.offsets = spoil(ADDR + offsets);
	tr->offsets_size = spoil(n * 8);
	return offsets + n * 8;
}

static u32 make_input(void)
{
	u32 at = 0, heap = 4096 + rnd(4096), i, commands = rnd(40);

	for (i = 0; i < HEAD; i++)
		input[i] = rnd(256);
	input[2] = rnd(4) ? 8 : rnd(256);
	input[5] = 0;
	for (i = 0; i < MEM; i++)
		input[HEAD + i] = (u8)(i * 37);
	for (i = 0; i < commands && at < 4000; i++) {
		struct binder_transaction_data_sg sg;
		u32 cmd = rnd(5) ? rnd(2) ? BC_TRANSACTION_SG : BC_REPLY : BC_FREE_BUFFER;

		memset(&sg, 0, sizeof(sg));
		heap = make_objects(heap, rnd(rnd(10) ? 12 : 600), &sg.transaction_data);
		if (heap > MEM - 4096)
			heap = 4096;
		sg.buffers_size = spoil(rnd(20000) & ~7);
		put(at, &cmd, sizeof(cmd));
		put(at + sizeof(cmd), &sg, _IOC_SIZE(cmd));
		at += sizeof(cmd) + _IOC_SIZE(cmd);
	}
	return HEAD + MEM - rnd(rnd(4) ? 64 : MEM);
}

int main(int argc, char **argv)
{
	unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000, i;
	u64 first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	for (i = 0; i < runs; i++) {
		seed = (first + i) * 0x9e3779b97f4a7c15ULL | 1;
		u32 n = make_input();
		/* Of its own size, so that ASan sees what is read beyond it. */
		u8 *exact = malloc(n);

		memcpy(exact, input, n);
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
	printf("fuzz: %lu inputs from seed %llu: no invariant broken\n", runs,
	       (unsigned long long)first);
	return 0;
}
#endif
