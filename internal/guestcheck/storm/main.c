// SPDX-License-Identifier: Apache-2.0
/*
 * storm DEVICE run EXCHANGES SEED PEERS	peers on the device, killed and born again
 * storm DEVICE witness			see witness.c
 * storm DEVICE crowd			see crowd.c
 *
 * run keeps PEERS processes going (peer.c) and, every few of their calls, kills one
 * with SIGKILL wherever it is, or signals, stops or freezes one. The first of them is
 * the context manager and lives longer. It ends after
 * EXCHANGES calls of the driver, all peers killed, or when the device has gone: then every peer has to end
 * by itself. It prints what happened as "name number" lines; exit code 0 if nothing
 * did that must not.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "storm.h"

#define MAX_PEERS	64
/* For every peer of a device that has gone to end, on a machine however slow. */
#define PATIENCE	120

struct counts *counts;
const char *device;

static pid_t peers[MAX_PEERS];
static unsigned int nr_peers;
static int broken_peers;
static bool gone;

static void nothing(int sig)
{
	(void)sig;
}

static void birth(unsigned int i)
{
	uint64_t seed = ((uint64_t)random_below(1 << 30) << 8) + i;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		peer(seed, i == 0);
	}
	if (pid < 0) {
		perror("storm: fork");
		exit(1);
	}
	counts->born++;
	peers[i] = pid;
}

static unsigned int index_of(pid_t pid)
{
	unsigned int i;

	for (i = 0; i < nr_peers && peers[i] != pid; i++)
		;
	return i;
}

/* A peer that ended; SIGKILL is ours, nothing else but a device that has gone may end it. */
static void bury(pid_t pid, int status)
{
	unsigned int i = index_of(pid);

	if (i == nr_peers)
		return;
	peers[i] = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == PEER_GONE) {
		gone = true;
	} else if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		fprintf(stderr, "storm: a peer ended with status %#x\n", status);
		broken_peers++;
	}
	if (!gone)
		birth(i);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		bury(pid, status);
}

/* Freezes a peer for a moment. */
static void freeze(struct client *c, pid_t pid)
{
	struct binder_freeze_info info = { .pid = pid, .enable = 1, .timeout_ms = random_below(10) };

	client_ioctl(c, BINDER_FREEZE, &info);
	usleep(random_below(5000));
	info.enable = 0;
	client_ioctl(c, BINDER_FREEZE, &info);
}

static void disturb(struct client *c)
{
	unsigned int i = random_below(nr_peers);
	pid_t pid = peers[i];

	if (!pid || (!i && !one_in(5)))
		return;
	switch (random_below(8)) {
	case 0:
	case 1:
		kill(pid, SIGUSR1);
		break;
	case 2:
		kill(pid, SIGSTOP);
		usleep(random_below(5000));
		kill(pid, SIGCONT);
		break;
	case 3:
		freeze(c, pid);
		break;
	default:
		counts->kills++;
		kill(pid, SIGKILL);
	}
}

static unsigned int alive(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr_peers; i++)
		n += peers[i] != 0;
	return n;
}

/* The device has gone: nobody is killed any more, everybody has to notice. */
static unsigned int stuck(void)
{
	time_t end = time(NULL) + PATIENCE;

	while (alive() && time(NULL) < end) {
		usleep(10000);
		reap();
	}
	return alive();
}

static void kill_all(void)
{
	unsigned int i;

	gone = true;	/* no births */
	for (i = 0; i < nr_peers; i++)
		if (peers[i])
			kill(peers[i], SIGKILL);
	while (alive()) {
		usleep(1000);
		reap();
	}
}

static void print_counts(void)
{
	printf("exchanges %lu\ncalls %lu\noneways %lu\nreplies %lu\ndead %lu\nfailed %lu\nfrozen %lu\n"
	       "interrupted %lu\nfaults %lu\nfds %lu\narrays %lu\nhandles %lu\ndeaths %lu\n"
	       "forwarded %lu\nkills %lu\nborn %lu\n",
	       counts->exchanges, counts->calls, counts->oneways, counts->replies, counts->dead, counts->failed,
	       counts->frozen, counts->interrupted, counts->faults, counts->fds, counts->arrays,
	       counts->handles, counts->deaths, counts->forwarded, counts->kills, counts->born);
}

/* Lets the peers make a few calls; a while at most, for they may all wait. */
static void let_work(void)
{
	unsigned long begun = counts->exchanges, few = random_below(100);
	unsigned int waits = 0;

	while (counts->exchanges - begun < few && waits++ < 40)
		usleep(5000);
}

static int run(unsigned long exchanges, uint64_t seed, unsigned int n)
{
	struct client client;
	unsigned int i, left = 0;

	random_seed(seed);
	signal(SIGUSR1, SIG_IGN);
	if (!client_open(&client, 4096) || client.fd < 0) {
		fprintf(stderr, "storm: %s: %s\n", device, strerror(errno));
		return 1;
	}
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = nothing }, NULL);
	nr_peers = n;
	for (i = 0; i < n; i++)
		birth(i);
	while (!gone && counts->exchanges < exchanges) {
		let_work();
		disturb(&client);
		reap();
	}
	if (gone) {
		left = stuck();
		printf("gone 1\n");
	}
	printf("stuck %u\nbroken %d\n", left, broken_peers);
	kill_all();
	print_counts();
	return left || broken_peers;
}

int main(int argc, char **argv)
{
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		return 1;
	device = argc > 1 ? argv[1] : NULL;
	if (argc == 3 && !strcmp(argv[2], "witness"))
		return witness();
	if (argc == 3 && !strcmp(argv[2], "crowd"))
		return crowd();
	if (argc == 6 && !strcmp(argv[2], "run") && atoi(argv[5]) > 0 && atoi(argv[5]) <= MAX_PEERS)
		return run(strtoul(argv[3], NULL, 0), strtoull(argv[4], NULL, 0), atoi(argv[5]));
	fprintf(stderr, "usage: storm DEVICE run EXCHANGES SEED PEERS | storm DEVICE witness|crowd\n");
	return 2;
}
