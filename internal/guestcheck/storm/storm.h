/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm: processes that use a binder device in every way they can think of, and
 * are killed at it. See main.c.
 */
#ifndef STORM_H
#define STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/android/binder.h>

/* What happened, counted by all processes together. */
struct counts {
	atomic_ulong exchanges, calls, oneways, replies, dead, failed, frozen, interrupted, faults;
	atomic_ulong fds, arrays, handles, deaths, forwarded;
	atomic_ulong kills, born;
};

extern struct counts *counts;
extern const char *device;

/* ---- client.c: an open binder file ---- */

struct client {
	int fd;
	uint8_t *map;
	size_t map_len;
};

/* False if there is no device any more. */
bool client_open(struct client *c, size_t map_len);
/* As the ioctl: 0 or an errno. */
int client_write_read(struct client *c, const void *out, size_t out_len, void *in,
		      size_t in_room, size_t *in_len);
int client_ioctl(struct client *c, unsigned long cmd, void *arg);

/* ---- random.c: xorshift, one state a thread ---- */

void random_seed(uint64_t seed);
/* Below n; 0 for n 0. */
uint32_t random_below(uint32_t n);
static inline bool one_in(uint32_t n) { return random_below(n) == 0; }

/* ---- message.c: transactions made up ---- */

#define MESSAGE_ROOM	(256 * 1024)
#define MESSAGE_OBJECTS	24

/* A transaction's data, offsets and scatter-gather buffers, and the files made for it. */
struct message {
	uint8_t *data;		/* MESSAGE_ROOM */
	size_t len;
	binder_size_t offsets[MESSAGE_OBJECTS];
	size_t objects;
	size_t sg_len;
	uint32_t words[16];	/* an array object's descriptors */
	uint8_t blob[20000];
	int fds[2 * MESSAGE_OBJECTS];
	size_t nr_fds;
};

/* Handles that the process knows; threads race for them, as they may. */
#define HANDLES	32
extern _Atomic uint32_t handles[HANDLES];
/* Most often one of those, 0 if there are none. */
uint32_t random_handle(void);
void remember_handle(uint32_t handle);

void message_make(struct message *m);
void message_close(struct message *m);
void message_fill(const struct message *m, struct binder_transaction_data_sg *sg);

/* ---- peer.c: one process of the storm; never returns ---- */

/* How a peer ends by itself. */
#define PEER_GONE	3	/* the device is not there any more */
#define PEER_BROKEN	4	/* something that must not happen, said on standard error */

_Noreturn void peer(uint64_t seed, bool manager);

/* ---- witness.c: what an open file is after its device was unbound ---- */

int witness(void);

/* ---- crowd.c: more readers than the host keeps reads of ---- */

int crowd(void);

#endif /* STORM_H */
