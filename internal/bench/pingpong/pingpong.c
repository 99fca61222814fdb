// SPDX-License-Identifier: Apache-2.0
/*
 * pingpong: the time of a synchronous call between two processes, on several binder
 * devices in turn.
 *
 *	pingpong [-n CALLS] [-r ROUNDS] [-s SIZE,...] [-p CPU,CPU] DEVICE...
 *
 * On each device one process becomes the context manager and answers; the other calls
 * it as libbinder does, with three ioctls a call: the client's, the server's reply,
 * and the server's free and next read. Each round makes CALLS calls of each size on
 * each device, so that whatever disturbs the machine disturbs all of them; -p pins
 * the client to the first processor and the server to the second. Says for each
 * size and device a line of JSON; times are nanoseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/android/binder.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* The map holds some of the largest payloads: a server on another processor frees one after the next has come. */
enum { MAX_SIZES = 16, MAX_DEVICES = 4, MAX_PAYLOAD = 1 << 20, MAP_SIZE = 4 << 20, READ_SIZE = 256 };

static int calls = 200, rounds = 20;
static int sizes[MAX_SIZES] = { 0 }, nr_sizes = 1;
static int client_cpu = -1, server_cpu = -1;
static char payload[MAX_PAYLOAD];

/* ---- one side of a device ---- */

struct side {
	int fd;
	uint8_t out[256];	/* commands for the next ioctl */
	size_t out_len;
	uint8_t in[READ_SIZE];
	size_t in_len, in_pos;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "pingpong: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static void open_side(struct side *s, const char *device)
{
	struct binder_version version;

	s->fd = open(device, O_RDWR | O_CLOEXEC);
	if (s->fd < 0)
		die(device);
	if (ioctl(s->fd, BINDER_VERSION, &version))
		die("BINDER_VERSION");
	if (mmap(NULL, MAP_SIZE, PROT_READ, MAP_PRIVATE, s->fd, 0) == MAP_FAILED)
		die("mmap");
}

static void put(struct side *s, uint32_t cmd, const void *arg)
{
	memcpy(s->out + s->out_len, &cmd, sizeof(cmd));
	memcpy(s->out + s->out_len + sizeof(cmd), arg, _IOC_SIZE(cmd));
	s->out_len += sizeof(cmd) + _IOC_SIZE(cmd);
}

static void put_transaction(struct side *s, uint32_t cmd, size_t size)
{
	struct binder_transaction_data t = { .data_size = size };

	t.data.ptr.buffer = (uintptr_t)payload;
	put(s, cmd, &t);
}

/* One ioctl: what was put is written, and something is read. */
static void exchange(struct side *s)
{
	struct binder_write_read bwr = {
		.write_size = s->out_len, .write_buffer = (uintptr_t)s->out,
		.read_size = sizeof(s->in), .read_buffer = (uintptr_t)s->in,
	};

	if (ioctl(s->fd, BINDER_WRITE_READ, &bwr))
		die("BINDER_WRITE_READ");
	s->out_len = 0;
	s->in_len = bwr.read_consumed;
	s->in_pos = 0;
}

/* Reads until want comes; the only others in a pair that works are BR_NOOP and completions. */
static void await(struct side *s, uint32_t want, struct binder_transaction_data *t)
{
	for (;;) {
		uint32_t cmd;

		if (s->in_pos == s->in_len)
			exchange(s);
		memcpy(&cmd, s->in + s->in_pos, sizeof(cmd));
		s->in_pos += sizeof(cmd);
		if (t && _IOC_SIZE(cmd) == sizeof(*t))
			memcpy(t, s->in + s->in_pos, sizeof(*t));
		s->in_pos += _IOC_SIZE(cmd);
		if (cmd == want)
			return;
		if (cmd != BR_NOOP && cmd != BR_TRANSACTION_COMPLETE) {
			fprintf(stderr, "pingpong: BR %#x, want %#x\n", cmd, want);
			exit(1);
		}
	}
}

/* ---- the two processes ---- */

static void serve(const char *device, int ready)
{
	struct side s = {};
	struct binder_transaction_data t;
	uint32_t zero = 0, enter = BC_ENTER_LOOPER;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(server_cpu);
	open_side(&s, device);
	if (ioctl(s.fd, BINDER_SET_CONTEXT_MGR, &zero))
		die("BINDER_SET_CONTEXT_MGR");
	if (write(ready, "", 1) != 1)
		die("write");
	put(&s, enter, NULL);
	for (;;) {
		await(&s, BR_TRANSACTION, &t);
		put_transaction(&s, BC_REPLY, 0);
		await(&s, BR_TRANSACTION_COMPLETE, NULL);
		put(&s, BC_FREE_BUFFER, &t.data.ptr.buffer);
	}
}

static void start_server(const char *device)
{
	int ready[2];
	char c;

	if (pipe(ready))
		die("pipe");
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		serve(device, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		exit(1);
	close(ready[0]);
}

/* The reply's buffer is freed by the next call, as libbinder does. */
static void call(struct side *s, size_t size)
{
	struct binder_transaction_data t;

	put_transaction(s, BC_TRANSACTION, size);
	await(s, BR_REPLY, &t);
	put(s, BC_FREE_BUFFER, &t.data.ptr.buffer);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- figures ---- */

struct samples {
	uint64_t *ns;
	size_t n;
};

static void measure(struct side *s, size_t size, struct samples *to)
{
	for (int i = 0; i < calls; i++) {
		uint64_t begun = now();

		call(s, size);
		to->ns[to->n++] = now() - begun;
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void say(const char *device, int size, struct samples *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += s->ns[i];
	qsort(s->ns, s->n, sizeof(*s->ns), compare);
	printf("{\"device\":\"%s\",\"bytes\":%d,\"calls\":%zu,\"min\":%llu,\"p50\":%llu,\"p99\":%llu,\"mean\":%llu}\n",
	       device, size, s->n, (unsigned long long)s->ns[0], (unsigned long long)s->ns[s->n / 2],
	       (unsigned long long)s->ns[s->n * 99 / 100], (unsigned long long)(sum / s->n));
}

static int numbers(char *text, int *to, int max)
{
	int n = 0;

	for (char *word = strtok(text, ","); word && n < max; word = strtok(NULL, ","))
		to[n++] = atoi(word);
	return n;
}

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: pingpong [-n CALLS] [-r ROUNDS] [-s SIZE,...] [-p CPU,CPU] DEVICE...\n");
	exit(2);
}

static void options(int argc, char **argv)
{
	int cpus[2], opt;

	while ((opt = getopt(argc, argv, "n:r:s:p:")) != -1) {
		switch (opt) {
		case 'n':
			calls = atoi(optarg);
			break;
		case 'r':
			rounds = atoi(optarg);
			break;
		case 's':
			nr_sizes = numbers(optarg, sizes, MAX_SIZES);
			break;
		case 'p':
			if (numbers(optarg, cpus, 2) != 2)
				usage();
			client_cpu = cpus[0];
			server_cpu = cpus[1];
			break;
		default:
			usage();
		}
	}
	if (calls < 1 || rounds < 1 || optind == argc || argc - optind > MAX_DEVICES)
		usage();
	for (int i = 0; i < nr_sizes; i++)
		if (sizes[i] < 0 || sizes[i] > MAX_PAYLOAD)
			usage();
}

int main(int argc, char **argv)
{
	static struct samples all[MAX_DEVICES][MAX_SIZES];
	static struct side client[MAX_DEVICES];
	int nr;

	options(argc, argv);
	nr = argc - optind;
	argv += optind;
	for (int d = 0; d < nr; d++) {
		start_server(argv[d]);
		open_side(&client[d], argv[d]);
		for (int s = 0; s < nr_sizes; s++) {
			all[d][s].ns = calloc((size_t)calls * rounds, sizeof(uint64_t));
			call(&client[d], sizes[s]);
		}
	}
	pin(client_cpu);
	for (int r = 0; r < rounds; r++)
		for (int s = 0; s < nr_sizes; s++)
			for (int d = 0; d < nr; d++)
				measure(&client[d], sizes[s], &all[d][s]);
	for (int s = 0; s < nr_sizes; s++)
		for (int d = 0; d < nr; d++)
			say(argv[d], sizes[s], &all[d][s]);
	return 0;
}
