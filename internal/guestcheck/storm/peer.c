// SPDX-License-Identifier: Apache-2.0
/*
 * One process of the storm: a few threads that call each other and every process
 * they have a handle of, answer, nest, hold and free buffers, forward them, watch
 * deaths, and now and then do what no sane program does. None of them means to
 * end: they are killed, or the device goes away.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "storm.h"

/* Younger than the headers of Debian 12. */
#define STORM_BR_TRANSACTION_PENDING_FROZEN	_IO('r', 20)

#define HELD	16
#define DEPTH	12

struct thread {
	struct client *client;
	uint64_t seed;
	bool server;			/* calls nobody of its own accord */
	bool alone;			/* the only one of its process */
	bool replied;			/* the last exchange has brought a reply */
	struct message msg;
	uint8_t out[8192];
	size_t out_len;
	uint8_t in[2048];
	binder_uintptr_t held[HELD];	/* received buffers, not yet freed */
	unsigned int nr_held;
	struct binder_transaction_data last; /* the youngest of them */
	enum side { OUTGOING, INCOMING } stack[DEPTH];
	unsigned int depth;
	int fail_nth;			/* /proc/thread-self/fail-nth, or -1 */
};

static void emit(struct thread *t, uint32_t cmd, const void *arg)
{
	size_t len = _IOC_SIZE(cmd);

	if (t->out_len + sizeof(cmd) + len > sizeof(t->out))
		return;
	memcpy(t->out + t->out_len, &cmd, sizeof(cmd));
	memcpy(t->out + t->out_len + sizeof(cmd), arg, len);
	t->out_len += sizeof(cmd) + len;
}

static void push(struct thread *t, enum side side)
{
	if (t->depth < DEPTH)
		t->stack[t->depth++] = side;
}

static bool top_is(const struct thread *t, enum side side)
{
	return t->depth && t->stack[t->depth - 1] == side;
}

_Noreturn static void broken(const char *what, uint32_t cmd)
{
	fprintf(stderr, "storm: %s (command %#x)\n", what, cmd);
	_exit(PEER_BROKEN);
}

/* ---- what comes ---- */

static void free_buffer(struct thread *t, unsigned int i)
{
	if (t->held[i] == t->last.data.ptr.buffer)
		t->last.data_size = 0;
	emit(t, BC_FREE_BUFFER, &t->held[i]);
	t->held[i] = t->held[--t->nr_held];
}

static void hold(struct thread *t, const struct binder_transaction_data *tr)
{
	if (t->nr_held == HELD)
		free_buffer(t, random_below(HELD));
	t->held[t->nr_held++] = tr->data.ptr.buffer;
	t->last = *tr;
}

static void absorb_object(struct thread *t, const uint8_t *at)
{
	struct flat_binder_object flat;
	struct binder_fd_object fd;

	memcpy(&flat, at, sizeof(flat));
	switch (flat.hdr.type) {
	case BINDER_TYPE_HANDLE:
	case BINDER_TYPE_WEAK_HANDLE:
		counts->handles++;
		remember_handle(flat.handle);
		if (one_in(2))
			emit(t, BC_ACQUIRE, &flat.handle);
		break;
	case BINDER_TYPE_FD:
		counts->fds++;
		memcpy(&fd, at, sizeof(fd));
		if (!one_in(10))
			close(fd.fd);
		break;
	case BINDER_TYPE_FDA:
		counts->arrays++;
	}
}

static void absorb(struct thread *t, const struct binder_transaction_data *tr)
{
	const struct client *c = t->client;
	const uint8_t *data = (void *)(uintptr_t)tr->data.ptr.buffer;
	const binder_size_t *offsets = (void *)(uintptr_t)tr->data.ptr.offsets;
	size_t i;

	if (!c->map)
		return;
	if (data < c->map || tr->data_size > c->map_len ||
	    data - c->map > (ptrdiff_t)(c->map_len - tr->data_size))
		broken("a delivered buffer lies outside of the mapping", BR_TRANSACTION);
	hold(t, tr);
	for (i = 0; i < tr->offsets_size / sizeof(*offsets); i++)
		absorb_object(t, data + offsets[i]);
}

/* Answers to what this thread called. */
static void answered(struct thread *t, atomic_ulong *count)
{
	++*count;
	if (top_is(t, OUTGOING))
		t->depth--;
}

static void take(struct thread *t, uint32_t cmd, const uint8_t *arg)
{
	struct binder_transaction_data tr;
	uint64_t cookie;

	switch (cmd) {
	case BR_TRANSACTION:
	case BR_TRANSACTION_SEC_CTX:
	case BR_REPLY:
		memcpy(&tr, arg, sizeof(tr));
		absorb(t, &tr);
		if (cmd == BR_REPLY) {
			answered(t, &counts->replies);
			t->replied = true;
		}
		else if (!(tr.flags & TF_ONE_WAY))
			push(t, INCOMING);
		break;
	case BR_DEAD_REPLY:
		answered(t, &counts->dead);
		break;
	case BR_FAILED_REPLY:
		answered(t, &counts->failed);
		break;
	case BR_FROZEN_REPLY:
		answered(t, &counts->frozen);
		break;
	case BR_INCREFS:
		emit(t, BC_INCREFS_DONE, arg);
		break;
	case BR_ACQUIRE:
		emit(t, BC_ACQUIRE_DONE, arg);
		break;
	case BR_DEAD_BINDER:
		counts->deaths++;
		memcpy(&cookie, arg, sizeof(cookie));
		emit(t, BC_DEAD_BINDER_DONE, &cookie);
		break;
	case BR_SPAWN_LOOPER:
		emit(t, BC_REGISTER_LOOPER, NULL);
		break;
	case BR_NOOP:
	case BR_OK:
	case BR_ERROR:
	case BR_RELEASE:
	case BR_DECREFS:
	case BR_TRANSACTION_COMPLETE:
	case BR_CLEAR_DEATH_NOTIFICATION_DONE:
	case BR_ONEWAY_SPAM_SUSPECT:
	case STORM_BR_TRANSACTION_PENDING_FROZEN:
		break;
	default:
		broken("an answer that there is not", cmd);
	}
}

static void take_all(struct thread *t, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint32_t cmd;

		memcpy(&cmd, t->in + at, sizeof(cmd));
		at += sizeof(cmd);
		if (len - at < _IOC_SIZE(cmd))
			broken("half an answer", cmd);
		take(t, cmd, t->in + at);
		at += _IOC_SIZE(cmd);
	}
}

/* ---- what goes ---- */

static void emit_message(struct thread *t, uint32_t cmd, struct binder_transaction_data_sg *sg)
{
	message_make(&t->msg);
	message_fill(&t->msg, sg);
	if (t->last.data_size && one_in(8)) {	/* as it came, from where it lies */
		counts->forwarded++;
		sg->transaction_data.data_size = t->last.data_size;
		sg->transaction_data.offsets_size = t->last.offsets_size;
		sg->transaction_data.data = t->last.data;
	}
	emit(t, cmd, sg);
}

static void call(struct thread *t, bool oneway)
{
	struct binder_transaction_data_sg sg = { .transaction_data.code = 1 };

	sg.transaction_data.target.handle = one_in(4) ? 0 : random_handle();
	sg.transaction_data.flags = TF_ACCEPT_FDS | (oneway ? TF_ONE_WAY : 0) |
				    (one_in(8) ? TF_CLEAR_BUF : 0) |
				    (one_in(8) ? TF_UPDATE_TXN : 0);
	++*(oneway ? &counts->oneways : &counts->calls);
	emit_message(t, BC_TRANSACTION_SG, &sg);
	if (!oneway)
		push(t, OUTGOING);
}

static void reply(struct thread *t)
{
	struct binder_transaction_data_sg sg = { .transaction_data.flags = TF_ACCEPT_FDS };

	emit_message(t, BC_REPLY_SG, &sg);
	t->depth--;
}

/* References, deaths, buffers: what a process does besides calling. */
static void housekeep(struct thread *t)
{
	static const uint32_t refs[] = { BC_INCREFS, BC_ACQUIRE, BC_RELEASE, BC_DECREFS };
	uint32_t handle = random_handle();
	struct binder_handle_cookie death = { .handle = handle, .cookie = handle };

	while (t->nr_held && one_in(2))
		free_buffer(t, random_below(t->nr_held));
	if (one_in(3))
		emit(t, refs[random_below(4)], &handle);
	if (one_in(6))
		emit(t, BC_REQUEST_DEATH_NOTIFICATION, &death);
	if (one_in(20))
		emit(t, BC_CLEAR_DEATH_NOTIFICATION, &death);
}

static void plan(struct thread *t)
{
	bool nested = top_is(t, INCOMING);

	housekeep(t);
	if (top_is(t, OUTGOING))
		return;
	if (nested && (t->depth > DEPTH / 2 || !one_in(8)))
		reply(t);
	else if (nested || !t->server)
		call(t, one_in(3));
}

/* Only servers and who waits for an answer read at any price. */
static bool reads(struct thread *t)
{
	struct pollfd p = { .fd = t->client->fd, .events = POLLIN };

	if (t->server || top_is(t, OUTGOING))
		return !one_in(50) || poll(&p, 1, 5) > 0;
	return t->alone ? poll(&p, 1, 1) > 0 : one_in(20);
}

/* ---- one call of the driver ---- */

/*
 * The n-th allocation or copy of the next system call fails, where the kernel can do
 * that. No signal meanwhile: its frame could be what fails, which is deadly.
 */
static void fail_nth(struct thread *t, uint32_t n)
{
	char text[12];
	sigset_t set;

	if (t->fail_nth < 0)
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (n)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)!pwrite(t->fail_nth, text, snprintf(text, sizeof(text), "%u", n), 0);
	if (!n)
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void exchange_with(struct thread *t, size_t room)
{
	bool spoil = one_in(10);
	size_t got;
	int err;

	if (spoil)
		fail_nth(t, 1 + random_below(24));
	err = client_write_read(t->client, t->out, t->out_len, t->in, room, &got);
	if (spoil)
		fail_nth(t, 0);
	counts->exchanges++;
	t->out_len = 0;
	message_close(&t->msg);
	if (err == ENODEV)
		_exit(PEER_GONE);
	if (err == EINTR) {
		counts->interrupted++;
		if (one_in(4))
			t->depth = 0;
	} else if (err) {
		counts->faults++;
		t->depth = 0;
	}
	take_all(t, got);
}

static void exchange(struct thread *t)
{
	t->replied = false;
	exchange_with(t, !reads(t) ? 0 : one_in(30) ? random_below(300) : sizeof(t->in));
	if (t->replied && t->nr_held && !t->out_len && one_in(2)) {	/* as libbinder's threads do that serve nobody */
		free_buffer(t, t->nr_held - 1);
		exchange_with(t, 0);
	}
}

/* ---- what no sane program does; only where no other thread minds ---- */

static void leave_to_child(void)
{
	if (!fork()) {	/* it has the file open a little longer than its opener may live */
		usleep(random_below(20000));
		_exit(0);
	}
}

static void reopen(struct thread *t)
{
	if (t->client->map)
		munmap(t->client->map, t->client->map_len);
	close(t->client->fd);
	t->nr_held = 0;
	t->last.data_size = 0;
	t->depth = 0;
	if (!client_open(t->client, t->client->map_len))
		_exit(PEER_GONE);
}

static void unmap(struct thread *t)
{
	t->last.data_size = 0;
	if (t->client->map)
		munmap(t->client->map, 4096);
	t->client->map = NULL;
}

static void odd(struct thread *t)
{
	struct binder_node_debug_info info = {};

	switch (random_below(8)) {
	case 0:
		client_ioctl(t->client, BINDER_THREAD_EXIT, NULL);
		t->depth = 0;
		break;
	case 1:
		leave_to_child();
		break;
	case 2:
		reopen(t);
		break;
	case 3:
		unmap(t);
		break;
	case 4:
		close(dup(t->client->fd));
		break;
	case 5:
		setpriority(PRIO_PROCESS, 0, random_below(10));
		break;
	case 6:
		client_ioctl(t->client, BINDER_GET_NODE_DEBUG_INFO, &info);
		break;
	case 7:
		client_ioctl(t->client, BINDER_SET_CONTEXT_MGR, NULL);
	}
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	random_seed(t->seed);
	t->fail_nth = open("/proc/thread-self/fail-nth", O_WRONLY | O_CLOEXEC);
	if (t->server || t->alone || one_in(5))
		emit(t, BC_ENTER_LOOPER, NULL);
	for (;;) {
		plan(t);
		exchange(t);
		if (t->alone && one_in(40))
			odd(t);
	}
	return NULL;
}

static struct thread *thread_new(struct client *c, uint64_t seed)
{
	struct thread *t = calloc(1, sizeof(*t));

	t->client = c;
	t->seed = seed;
	t->msg.data = calloc(1, MESSAGE_ROOM);
	return t;
}

static void manage(struct client *c)
{
	struct flat_binder_object o = { .flags = FLAT_BINDER_FLAG_ACCEPTS_FDS |
						 FLAT_BINDER_FLAG_TXN_SECURITY_CTX };

	client_ioctl(c, BINDER_SET_CONTEXT_MGR_EXT, &o);
}

_Noreturn void peer(uint64_t seed, bool manager)
{
	static const size_t maps[] = { 64 << 10, 1 << 20, 4 << 20, 6 << 20 };
	static struct client client;
	struct rlimit few = { 48, 48 };	/* so that descriptors run out */
	struct thread *first;
	unsigned int i;
	pthread_t id;

	random_seed(seed);
	setrlimit(RLIMIT_NOFILE, &few);
	signal(SIGCHLD, SIG_IGN);
	if (!client_open(&client, maps[random_below(4)]))
		_exit(PEER_GONE);
	first = thread_new(&client, seed * 7);
	first->alone = !manager && one_in(4);
	first->server = !first->alone;
	if (manager)
		manage(&client);
	for (i = first->alone ? 0 : random_below(4); i; i--)
		pthread_create(&id, NULL, thread_main, thread_new(&client, seed * 7 + i));
	thread_main(first);
	abort();
}
