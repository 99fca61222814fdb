// SPDX-License-Identifier: Apache-2.0
/*
 * More readers than the host keeps reads of: it has the rest wait in the guest. All are
 * interrupted and end. What is sent to the process then must come to who reads next.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storm.h"

#define READERS	600	/* of 512 that may wait at the host, half a ring; each processor has one */

static struct client client;

static void nothing(int sig)
{
	(void)sig;
}

/* Reads until a read fails; the error is what the thread leaves. */
static void *reader(void *arg)
{
	uint32_t enter = BC_ENTER_LOOPER;
	uint8_t in[256];
	size_t got;
	int err;

	do
		err = client_write_read(&client, &enter, sizeof(enter), in, sizeof(in), &got);
	while (!err);
	*(int *)arg = err;
	return NULL;
}

/* Reads until a read fails; whether cmd was among what came. */
static bool comes(uint32_t cmd)
{
	uint32_t next, enter = BC_ENTER_LOOPER;
	bool seen = false;
	uint8_t in[256];
	size_t got, at;

	while (!client_write_read(&client, &enter, sizeof(enter), in, sizeof(in), &got))
		for (at = 0; at < got; at += sizeof(next) + _IOC_SIZE(next)) {
			memcpy(&next, in + at, sizeof(next));
			seen |= next == cmd;
		}
	return seen;
}

/* All of this process from now on on one processor, so on one ring. */
static void stay(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void interrupt(pthread_t thread)
{
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		usleep(1000);
	}
}

/* Another process sends a oneway, which has arrived when this returns. */
static bool send(void)
{
	struct __attribute__((packed)) {
		uint32_t cmd;
		struct binder_transaction_data tr;
	} call = { BC_TRANSACTION, { .code = 1, .flags = TF_ONE_WAY } };
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct client c;
		size_t got;

		_exit(!client_open(&c, 4096) ||
		      client_write_read(&c, &call, sizeof(call), NULL, 0, &got));
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

int crowd(void)
{
	static pthread_t readers[READERS];
	static int errors[READERS];
	unsigned int i, interrupted = 0;
	pthread_attr_t small;
	bool sent;

	stay();
	setvbuf(stdout, NULL, _IONBF, 0);
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = nothing }, NULL);
	if (!client_open(&client, 1 << 20) || client_ioctl(&client, BINDER_SET_CONTEXT_MGR, NULL)) {
		printf("cannot be context manager of %s: %s\n", device, strerror(errno));
		return 1;
	}
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (i = 0; i < READERS; i++) {
		int err = pthread_create(&readers[i], &small, reader, &errors[i]);

		if (err) {
			printf("thread %u: %s\n", i, strerror(err));
			return 1;
		}
	}
	printf("ready\n");
	getchar();	/* until the host has enough of them */

	for (i = 0; i < READERS; i++) {
		interrupt(readers[i]);
		interrupted += errors[i] == EINTR;
	}
	sent = send();
	fcntl(client.fd, F_SETFL, O_NONBLOCK);
	if (interrupted == READERS && sent && comes(BR_TRANSACTION)) {
		printf("passed\n");
		return 0;
	}
	printf("%u of %u readers were interrupted; the oneway %s\n", interrupted, READERS,
	       sent ? "was sent, and nobody got it" : "could not be sent");
	return 1;
}
