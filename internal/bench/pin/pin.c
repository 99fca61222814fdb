/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program that has no option for it: says on which processors it and
 * the processes that it forks run.
 *
 * PIN is a list of processors: the program's own, then that of the first process it
 * forks, and so on; the last one is that of all others, too.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int forks;

/* The n-th number of PIN, or the last. */
static int processor(int n)
{
	const char *list = getenv("PIN");
	char *end;
	long cpu;

	do {
		cpu = strtol(list, &end, 10);
		if (end == list || (*end && *end != ',')) {
			fprintf(stderr, "pin: PIN is no list of processors: %s\n", getenv("PIN"));
			_exit(96);
		}
		list = end + 1;
	} while (*end && n--);
	return cpu;
}

static void pin(int n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor(n), &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("pin: sched_setaffinity");
		_exit(96);
	}
}

static void count(void) { forks++; }
static void child(void) { pin(forks); }

__attribute__((constructor)) static void begin(void)
{
	if (!getenv("PIN"))
		return;
	pin(0);
	if (pthread_atfork(count, NULL, child)) {
		fprintf(stderr, "pin: pthread_atfork failed\n");
		_exit(96);
	}
}
