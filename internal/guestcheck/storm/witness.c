// SPDX-License-Identifier: Apache-2.0
/*
 * What an open file is after its device was unbound. Waits, with a read parked, for
 * a line on standard input; then looks at everything a file can be asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storm.h"

static struct client client;
static sigjmp_buf after_fault;

static void *parked(void *arg)
{
	uint32_t enter = BC_ENTER_LOOPER;
	uint8_t in[256];
	size_t got;
	int err;

	/* The first answer is a BR_NOOP alone; the second read stays. */
	do
		err = client_write_read(&client, &enter, sizeof(enter), in, sizeof(in), &got);
	while (!err);
	*(int *)arg = err;
	return NULL;
}

static void on_fault(int sig)
{
	siglongjmp(after_fault, sig);
}

static int signal_of_read(const volatile uint8_t *at)
{
	int sig = sigsetjmp(after_fault, 1);

	if (!sig)
		(void)*at;
	return sig;
}

static int failures;

static void expect(const char *what, long got, long want)
{
	if (got != want) {
		printf("%s: %ld, not %ld\n", what, got, want);
		failures++;
	}
}

int witness(void)
{
	struct binder_version version;
	struct pollfd p = { .events = POLLIN };
	int parked_err = 0;
	pthread_t reader;
	size_t got;

	setvbuf(stdout, NULL, _IONBF, 0);
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	if (!client_open(&client, 1 << 20) || client.fd < 0 || !client.map) {
		printf("cannot open and map %s: %s\n", device, strerror(errno));
		return 1;
	}
	p.fd = client.fd;
	expect("a read of the mapping, bound", signal_of_read(client.map), 0);
	pthread_create(&reader, NULL, parked, &parked_err);
	printf("ready\n");
	getchar();

	pthread_join(reader, NULL);
	expect("the parked read", parked_err, ENODEV);
	expect("BINDER_VERSION", client_ioctl(&client, BINDER_VERSION, &version), ENODEV);
	expect("BINDER_WRITE_READ", client_write_read(&client, NULL, 0, &version, sizeof(version),
						      &got), ENODEV);
	expect("poll", poll(&p, 1, 0), 1);
	expect("its events", p.revents & (POLLERR | POLLHUP | POLLIN), POLLERR | POLLHUP);
	expect("a read of the mapping", signal_of_read(client.map), SIGBUS);
	expect("its end", signal_of_read(client.map + client.map_len - 1), SIGBUS);
	expect("munmap", munmap(client.map, client.map_len), 0);
	expect("mmap", mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, client.fd, 0) != MAP_FAILED, 0);
	expect("close", close(client.fd), 0);
	expect("open", open(device, O_RDWR) >= 0, 0);
	printf(failures ? "failed\n" : "passed\n");
	return failures != 0;
}
